"""Conditions of images, crossed with formats: what a user sees of each, found out by trying.

A condition makes a small file, has it read or super-resolved, and compares with what is known to be
right. A cell is WRONG where the result is not right and nothing was said, or where anything but one
sentence came of it.
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

FAMILIES = {
    "NIfTI": (".nii", ".nii.gz", ".nii.zst", "NIfTI-2"),
    "MGH": (".mgh", ".mgz"),
    "NRRD": (".nrrd", ".nhdr"),
    "MetaImage": (".mha", ".mhd"),
    "DICOM": ("folder", ".zip"),
}
VARIANTS = tuple(variant for variants in FAMILIES.values() for variant in variants)
# Where only the samples count, one of each family stands for the others.
ONE_OF_EACH = (".nii.gz", ".mgz", ".nrrd", ".mha", "folder")
WRONG, NONE = "WRONG", "–"
_LONGEST = 100


@dataclass(frozen=True)
class Seen:
    """What a user saw.

    refusal: the sentence of an error. warnings: sentences beside a result. note: what the image was
    taken for. fault: what is not right about the result, or about what was not said of it.
    """

    refusal: str = ""
    warnings: tuple[str, ...] = ()
    note: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Condition:
    """A row of a table.

    advice: what the user sees, and what to do. attempt: column, empty folder → what is seen; None
    where there is no such thing. columns: those that are tried.
    """

    name: str
    advice: str
    attempt: Callable[[str, Path], Seen | None]
    columns: Sequence[str] = VARIANTS


@dataclass(frozen=True)
class Table:
    """Conditions that belong together. families: its columns, and what each stands for."""

    title: str
    conditions: Sequence[Condition]
    families: dict[str, tuple[str, ...]]


def cell(condition: Condition, column: str, folder: Path) -> str:
    """What becomes of it, in a few words."""
    try:
        seen = condition.attempt(column, folder)
    except Exception as error:  # a user would see a traceback
        return f"{WRONG}: {type(error).__name__}: {' '.join(str(error).split())}"
    if seen is None:
        return NONE
    if seen.refusal:
        is_one = "\n" not in seen.refusal and str(folder) in seen.refusal
        return f"refused: {_brief(seen.refusal)}" if is_one else f"{WRONG}: {seen.refusal!r}"
    if seen.warnings:
        return f"warned: {'; '.join(map(_brief, seen.warnings))}"
    if seen.fault:
        return f"{WRONG}: {seen.fault}"
    return f"read, {seen.note}" if seen.note else "read"


def rows(table: Table) -> list[list[str]]:
    """The cells of each condition, by family, with its name before them."""
    found = []
    for condition in table.conditions:
        row = [condition.name]
        for variants in table.families.values():
            cells = {}
            for variant in variants:
                if variant in condition.columns:
                    with tempfile.TemporaryDirectory(prefix="conditions-") as folder:
                        cells[variant] = cell(condition, variant, Path(folder).resolve())
            row.append(_together(cells))
        found.append(row)
    return found


def page(tables: Iterable[Table], introduction: str) -> str:
    """All of them in Markdown, each with the advice below."""
    parts = [introduction]
    for table in tables:
        heads = ["Condition", *table.families]
        lines = [heads, ["---"] * len(heads), *rows(table)]
        parts.append(f"## {table.title}\n")
        parts += [f"| {' | '.join(word.replace('|', ' ') for word in line)} |" for line in lines]
        parts.append("")
        parts += [f"* **{each.name}**: {each.advice}" for each in table.conditions]
        parts.append("")
    return "\n".join(parts)


def _together(cells: dict[str, str]) -> str:
    """What the variants of a family have in common once, and the rest with their names."""
    groups: dict[str, list[str]] = {}
    for variant, text in cells.items():
        if text != NONE:
            groups.setdefault(text, []).append(variant)
    if len(groups) <= 1:
        return next(iter(groups), NONE)
    return "<br>".join(f"{', '.join(names)}: {text}" for text, names in groups.items())


def _brief(sentence: str) -> str:
    """The beginning of a sentence, without the file that it names, and reasons.

    >>> _brief("here/a/scan.nii: the axes differ (3 and 4); the first are used")
    'the axes differ'
    """
    text = re.sub(r"^\S*/\S*?:? (?=\S)", "", sentence)
    text = re.sub(r"\b(\d{4}\.\d|\d{6})\b", "a file", text)  # of a DICOM series
    text = re.split(r" \(|; |: ", text)[0].rstrip(".")
    return shorten(text, _LONGEST, placeholder=" …")
