"""Python as a plain `pip install arssr` leaves it: what extras bring cannot be imported."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]

# Before anything else is imported: the modules of these names are not found.
_BLOCK = """
import sys
from importlib.machinery import PathFinder
missing = frozenset({missing!r})
class Plain(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        found = name.partition(".")[0] not in missing
        return super().find_spec(name, path, target) if found else None
sys.meta_path[sys.meta_path.index(PathFinder)] = Plain
"""
# Then `arssr` with the words of each line of standard input, one after the other.
_COMMANDS = """
import io, json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from arssr.cli.main import main
for line in sys.stdin.read().splitlines():
    sys.argv = ["arssr", *line.split()]
    before = set(Path().rglob("*"))
    with redirect_stderr(io.StringIO()) as said, redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    made = [str(path) for path in set(Path().rglob("*")) - before]
    print(json.dumps({"code": code, "said": said.getvalue(), "made": made}))
"""


def requirements(extra: str = "") -> list[Requirement]:
    """What pyproject.toml names, for everybody or for an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return [Requirement(name) for name in names]


@cache
def brought() -> frozenset[str]:
    """The names of the packages that a plain installation brings, as far as they are here."""
    found: set[str] = set()
    wanted = requirements()
    while wanted:
        one = wanted.pop()
        if canonical(one.name) in found or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        found.add(canonical(one.name))
        wanted += map(Requirement, distribution(one.name).requires or ())
    return frozenset(found)


def canonical(name: str) -> str:
    """A name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def missing() -> frozenset[str]:
    """Modules of packages that are installed here and that a plain installation lacks."""
    kept = {*brought(), "arssr"}
    return frozenset(
        module
        for module, packages in packages_distributions().items()
        if not kept & set(map(canonical, packages))
    )


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code, what it said, and the files that it made."""

    code: int
    said: str
    made: list[str]


def run_plainly(commands: Iterable[str], cwd: Path) -> dict[str, Done]:
    """Each of them, `arssr` without its first word, in one process that lacks what extras bring."""
    commands = list(commands)
    done = python_plainly(_COMMANDS, cwd, "\n".join(commands))
    assert done.returncode == 0, done.stderr
    answers = [Done(**json.loads(line)) for line in done.stdout.splitlines()]
    return dict(zip(commands, answers, strict=True))


def python_plainly(program: str, cwd: Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """A program in a Python that lacks what extras bring."""
    code = _BLOCK.format(missing=sorted(missing())) + program
    return subprocess.run(
        [sys.executable, "-c", code], input=given, capture_output=True, text=True, cwd=cwd
    )
