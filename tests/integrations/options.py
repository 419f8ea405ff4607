"""The options of `arssr upsample`, and those that pipelines leave out."""

import click
import typer

from arssr.cli.main import app

# A pipeline says itself what is to do, in which order and where, and what is done already.
OF_THE_PIPELINE = {
    "--jobs", "--dask", "--slurm", "--slurm-option", "--dry-run", "--skip-existing", "--json",
    "--quiet", "--log-file",
}  # fmt: skip


def options() -> dict[str, click.Parameter]:
    """By their long names, without --help."""
    command = typer.main.get_command(app).commands["upsample"]  # type: ignore[attr-defined]
    named = {max(p.opts, key=len): p for p in command.params if p.param_type_name == "option"}
    return {name: option for name, option in named.items() if name != "--help"}


def switches() -> set[str]:
    """Those without a value."""
    return {name for name, option in options().items() if getattr(option, "is_flag", False)}
