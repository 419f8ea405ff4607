"""docs/conditions.md as it should be."""

from tests.conditions import damaged, placed, samples, several, targets, transforms
from tests.conditions.table import page

TABLES = [each.TABLE for each in (damaged, placed, several, samples, targets, transforms)]
_INTRODUCTION = """\
# What becomes of which image

Look up what happens to yours.

* **read**: the result is right, and there is nothing to be said.
* **warned**: there is a result, and a warning, which its JSON and the page of `--report` repeat;
  with `--strict` it is refused.
* **refused**: one sentence and exit code 1; nothing is written.
* –: the format has no such thing, or one file stands for all.

Cells have the beginning of the sentence that `arssr` says. Where the files of a format fare
differently, each is named; *folder* and *.zip* are how a DICOM series comes.

This page is made by `python tools/conditions.py`, which builds a small file for every cell, has it
read or super-resolved, and compares every sample and every place with what is known to be right.
"""


def whole_page() -> str:
    """Every cell is tried for it."""
    return page(TABLES, _INTRODUCTION)
