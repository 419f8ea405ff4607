"""Where messages and progress go: standard error, so that standard output stays readable."""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

stderr = Console(stderr=True, highlight=False)


def complain(sentence: str) -> None:
    """One sentence about what went wrong."""
    stderr.print("[red]error:[/red]", end=" ")
    stderr.print(sentence, markup=False, soft_wrap=True)


def warn(sentences: Iterable[str], name: str = "") -> None:
    """Sentences about what may be wrong, after a name where there are several scans."""
    for sentence in sentences:
        text = f"warning: {name}{sentence}"
        stderr.print(text, style="yellow", markup=False, soft_wrap=True)


def tell_making(
    source: Path,
    facts: Mapping[str, Any],
    *,
    foretold: Mapping[str, Any] = MappingProxyType({}),
    several: bool = False,
) -> None:
    """What the user should know of how a result is made of the scan `source`.

    foretold: what was told of it already. several: there are others, so that it is named.
    """
    from arssr.grid import spacing_in_words

    new = {name: value for name, value in facts.items() if foretold.get(name) != value}
    name = f"{source.name}: " if several else ""
    if "taken" in new:
        stderr.print(f"{source} {new['taken']}", markup=False, soft_wrap=True)
    if "target" in new:
        stderr.print(f"{name}{new['target']}", markup=False, soft_wrap=True)
    if "method" in new:
        line = f"{name}{new['method']}: no network had a part in it"
        stderr.print(line, markup=False, soft_wrap=True)
    if "note" in new:
        stderr.print(f"note: {name}{new['note']}", markup=False, soft_wrap=True)
    before = foretold.get("warnings", ())
    warn((told for told in facts.get("warnings", ()) if told not in before), name)
    if cut := new.get("cut_to_band"):
        stored, measured = (spacing_in_words(grid["spacing_mm"]) for grid in (facts["input"], cut))
        stderr.print(
            f"{name}stored on {stored}, measured on {measured}, from where it is super-resolved "
            "(--as-stored: from what is stored)",
            markup=False,
            soft_wrap=True,
        )


def size_in_words(facts: Mapping[str, Any]) -> str:
    """The output's voxels in words."""
    from arssr.grid import spacing_in_words

    grid = facts["output"]
    size = "×".join(map(str, grid["shape"]))
    return f"{size} voxels of {spacing_in_words(grid['spacing_mm'])}"


def print_json(value: Any) -> None:
    """A machine-readable result on standard output."""
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


def progress_bar(*, counted: bool = False) -> Progress:
    """A progress bar with the time left; `counted` shows how many of how many."""
    count = MofNCompleteColumn() if counted else TaskProgressColumn()
    return Progress(
        TextColumn("{task.description}", markup=False),  # [brackets] in file names
        BarColumn(),
        count,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=stderr,
        disable=not stderr.is_terminal,
    )
