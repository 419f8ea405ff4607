"""The command line in Markdown, from the commands themselves."""

import re
from typing import Any

import typer

from arssr.cli.examples import EXAMPLES
from arssr.cli.main import app

_PAGE = re.compile(r"docs/(\w+\.md)")


def commands() -> str:
    """All commands: usage, examples, and what each argument and option means."""
    group: Any = typer.main.get_command(app)
    return "\n\n".join(_command(name, command) for name, command in group.commands.items())


def _command(name: str, command: Any) -> str:
    context = command.context_class(command, info_name=name)
    usage = " ".join(["arssr", name, *command.collect_usage_pieces(context)])
    examples = [f"# {meaning}\narssr {name} {words}" for words, meaning in EXAMPLES[name]]
    parts = [f"## arssr {name}", command.help, _fenced([usage]), _fenced(examples)]
    panels: dict[str, list[str]] = {}
    for param in command.params:
        names, meaning = param.get_help_record(context)
        panel = getattr(param, "rich_help_panel", None) or "What is named"
        panels.setdefault(panel, []).append(f"`{names}`\n: {_linked(meaning) or '…'}")
    for panel, entries in panels.items():
        parts += [f"**{panel}**", *entries]
    return "\n\n".join(parts)


def _fenced(lines: list[str]) -> str:
    return "\n".join(["```sh", *lines, "```"])


def _linked(meaning: str) -> str:
    """Names of pages as links, and nothing else taken for Markdown or HTML."""
    return _PAGE.sub(r"[\1](\1)", re.sub(r"([<>*_\[\]\\])", r"\\\1", meaning))
