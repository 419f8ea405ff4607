"""Python as a plain `pip install arssr` leaves it: what extras bring cannot be imported."""

import re
import subprocess
import sys
import tomllib
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
_ARSSR = """
from arssr.cli.main import main
main()
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


def run_plainly(
    *words: object, program: str = _ARSSR, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`arssr` (or a program) with these words, in a Python that lacks them."""
    code = _BLOCK.format(missing=sorted(missing())) + program
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
