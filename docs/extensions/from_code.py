"""Tables in Markdown that are made of the code: file formats, fields of sidecars."""

import ast
import inspect

from arssr.files import FORMATS
from arssr.upsampling.facts import Facts


def sidecar_fields() -> str:
    """What `Facts` says of a sidecar, and its keys under the headings that it puts them under."""
    source = inspect.getsource(Facts)
    lines, (tree,) = source.splitlines(), ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    made = [inspect.getdoc(Facts) or ""]
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            above = lines[node.lineno - 2].strip()
            if above.startswith("# "):
                made += ["", f"## {above[2:]}", "", "| key | |", "|---|---|"]
            made.append(f"| `{node.target.id}` | {_said_by(after)} |")
    return "\n".join(made)


def _said_by(node: ast.stmt | None) -> str:
    """The text that a statement consists of, in one line."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return " ".join(str(node.value.value).split())
    return ""


def file_formats() -> str:
    """Every format that is read or written."""
    rows = ["| format | its names end in | a result's name ends in |", "|---|---|---|"]
    for each in FORMATS:
        names = ", ".join(f"`{suffix}`" for suffix in each.suffixes)
        result = f"`{each.written_as}`" if each.written_as else names
        rows.append(f"| {each.name.partition(' ')[2]} | {names} | {result} |")
    return "\n".join(rows)
