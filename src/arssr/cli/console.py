"""Where messages and progress go: standard error, so that standard output stays readable."""

import json
import sys
from collections.abc import Iterable, Mapping
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


def warn(sentences: Iterable[str]) -> None:
    """Sentences about what may be wrong."""
    for sentence in sentences:
        stderr.print(f"warning: {sentence}", style="yellow", markup=False, soft_wrap=True)


def tell_making(source: object, facts: Mapping[str, Any]) -> None:
    """What the user should know of how a result was made of the scan `source`."""
    from arssr.grid import spacing_in_words

    if "taken" in facts:
        stderr.print(f"{source} {facts['taken']}", markup=False, soft_wrap=True)
    if "method" in facts:
        stderr.print(f"{facts['method']}: no network had a part in it", markup=False)
    warn(facts.get("warnings", ()))
    if cut := facts.get("cut_to_band"):
        stored, measured = (spacing_in_words(grid["spacing_mm"]) for grid in (facts["input"], cut))
        stderr.print(
            f"stored on {stored}, measured on {measured}, from where it was super-resolved "
            "(--as-stored: from what is stored)",
            markup=False,
            soft_wrap=True,
        )


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
