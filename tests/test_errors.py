"""One style of error message: it follows `error: `, begins in lower case and has no full stop."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "arssr"
_NAMED = r"(\{[^:]*\}[^:{]*: )?"  # what the sentence is about


def messages(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every message that is written where its error is raised."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args):
            continue
        message = node.exc.args[0]
        if isinstance(message, ast.Constant | ast.JoinedStr):
            parts = message.values if isinstance(message, ast.JoinedStr) else [message]
            texts = [str(p.value) if isinstance(p, ast.Constant) else "{…}" for p in parts]
            yield node.lineno, "".join(texts)


@pytest.mark.parametrize(
    ("message", "is_right"),
    [
        ("{…}: cannot be read ({…})", True),
        ("{…}: DICOM has none", True),
        ("the affine is singular", True),
        ("The affine is singular", False),
        ("{…}: Cannot be read", False),
        ("{…}: cannot be read.", False),
    ],
)
def test_the_rule_itself(message: str, is_right: bool) -> None:
    assert bool(in_style(message)) == is_right


def in_style(message: str) -> bool:
    """Names such as DICOM keep their capitals."""
    begins_a_sentence = re.match(_NAMED + r"([A-Z][a-z]+|A)\b", message)
    return not begins_a_sentence and not message.endswith(".")


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE))
)
def test_messages_are_in_one_style(path: Path) -> None:
    found = messages(ast.parse(path.read_text()))
    assert [f"line {line}: {text}" for line, text in found if not in_style(text)] == []
