"""What the text at the beginning of a NRRD file says and SimpleITK passes over: units, and whether
the image has a place at all. Format: https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from arssr.errors import ArSSRError
from arssr.formats.place import require_positive
from arssr.formats.samples import Shape, too_many
from arssr.formats.units import millimetres_per

_LONGEST_HEADER = 2**20
_OF_POSITION = ("domain", "space", "time", "???", "none")  # kinds of axes; others are of values
_TEXT = ("ascii", "text", "txt")


def read_fields(path: Path) -> tuple[dict[str, str], int]:
    """The lines `name: value` of the header, and the byte behind it."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        file.readline(_LONGEST_HEADER)  # which says that it is NRRD
        while (line := file.readline(_LONGEST_HEADER).strip()) and file.tell() < _LONGEST_HEADER:
            name, colon, value = line.decode("utf-8", errors="replace").partition(": ")
            if colon and not name.startswith("#"):
                fields[name.strip().lower()] = value.strip()
        return fields, file.tell()


def mm_per_unit(fields: Mapping[str, str], label: str) -> float:
    """Millimetres in the unit of the first three axes; 1 where none is given.

    Raises ArSSRError where they have several units, one of no length, or negative spacings, and
    where time comes before an axis of space.
    """
    kinds = fields.get("kinds", "").lower().split()
    if "time" in [kind for kind in kinds if kind in _OF_POSITION][:3]:
        raise ArSSRError(f"{label}: time is not its last axis; move it there.")
    spacings = [_number(word) for word in fields.get("spacings", "").split()]
    require_positive([mm for mm in spacings if math.isfinite(mm)] or [1.0], label)
    named = re.findall(r'"([^"]*)"', fields.get("space units", fields.get("units", "")))
    named = [name for name in named if name not in ("", "???")][:3]
    units = {millimetres_per(name) for name in named}
    if len(units) > 1 or None in units:
        raise ArSSRError(f"{label}: its axes have the units {', '.join(named)}, not millimetres.")
    return units.pop() or 1.0 if units else 1.0


def doubts(
    fields: Mapping[str, str],
    header_end: int,
    path: Path,
    shape: Shape,
    dtype: np.dtype[Any] | None,
) -> list[str]:
    """Sentences about what the header leaves open or has wrong."""
    found = []
    anatomical = re.fullmatch(
        r"(right|left)-(anterior|posterior)-superior(-time)?|(RA|LA|LP)ST?",
        fields.get("space", ""),
        re.IGNORECASE,
    )
    if not (anatomical and "space directions" in fields):
        found.append(
            "the header does not say where the scan lies (space, space directions): its axes are "
            "taken to run to the left, to the back and up"
        )
        if not {"space directions", "spacings"} & fields.keys():
            found.append("the header does not say how large the voxels are: 1 mm is taken")
    encoding = fields.get("encoding", "raw").lower()
    if not {"data file", "datafile"} & fields.keys():
        if encoding == "raw" and dtype is not None:
            behind = path.stat().st_size - header_end
            behind -= math.prod(map(int, fields["sizes"].split())) * dtype.itemsize
            found += too_many(behind, shape, dtype)
        elif encoding in _TEXT and not _ends_in_blank(path):
            found.append("its text ends in a digit: the last number may be cut short")
    return found


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _ends_in_blank(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1).isspace()
