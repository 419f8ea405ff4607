"""The shape of the code: imports go one way, and what must be read at once fits on a screen."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "arssr"
PAGE = ROOT / "docs" / "architecture.md"
ENTRIES = {"__init__", "__main__"}  # of the package itself; they open every door


def layers() -> list[list[str]]:
    """Packages and modules of `arssr`, from the highest line to the lowest."""
    found = re.search(r"```layers\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    return [line.split() for line in found[1].splitlines()]


def unit_of(path: Path) -> str:
    """The part of the package that a file belongs to: `engine` of `engine/plan.py`."""
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Parts of `arssr` that a module imports, with the line; imports for types do not count."""
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "arssr":
            names = [f"arssr.{name.name}" for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        else:
            continue
        yield from ((name.split(".")[1], node.lineno) for name in names if "arssr." in name)


def prints(tree: ast.Module) -> Iterator[int]:
    """Lines that call `print`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
            yield node.lineno


FILES = sorted(path for path in SOURCE.rglob("*.py") if unit_of(path) not in ENTRIES)


def test_every_part_of_the_package_has_one_line() -> None:
    listed = [unit for line in layers() for unit in line]
    assert sorted(listed) == sorted({unit_of(path) for path in FILES})


def test_the_map_names_every_module() -> None:
    found = re.search(r"## The map\n\n```\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    words = set(re.findall(r"\w+", found[1])) | {"__init__", "__main__"}
    assert not [str(path) for path in FILES if path.stem not in words]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down(path: Path) -> None:
    height = {unit: -number for number, line in enumerate(layers()) for unit in line}
    own = unit_of(path)
    against = [
        f"line {line}: {own} imports {other}"
        for other, line in imported(ast.parse(path.read_text()))
        if other != own and height[other] >= height[own]
    ]
    assert not against


def test_only_commands_print() -> None:
    printing = {
        unit_of(path) for path in FILES if any(True for _ in prints(ast.parse(path.read_text())))
    }
    assert printing <= {"cli", "compat", "demo"}


def test_files_and_functions_are_short() -> None:
    """Of commands, and of `Model.upsample` as wide as they are, signatures do not count, nor are
    kernels taken apart.
    """
    files = {p.name: n for p in FILES if (n := len(p.read_text().splitlines())) > 400}
    functions = {}
    for path in FILES:
        wide = unit_of(path) in {"cli", "api"} or path.stem == "triton_kernel"
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[0].lineno if wide else node.lineno
                functions[f"{path.name} {node.name}"] = (node.end_lineno or 0) - first + 1
    assert not files and not {name: n for name, n in functions.items() if n > 60}
