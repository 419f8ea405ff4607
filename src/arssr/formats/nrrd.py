"""What the text at the beginning of a NRRD file says and SimpleITK passes over: units, and whether
the image has a place at all. Format: https://teem.sourceforge.net/nrrd/format.html
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from isal.igzip import IGzipFile
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.formats.place import require_positive
from arssr.formats.samples import too_many
from arssr.formats.streams import TRAILER
from arssr.formats.units import millimetres_per
from arssr.grid import Shape

_LONGEST_HEADER = 2**20
_OF_POSITION = ("domain", "space", "time", "???", "none")  # kinds of axes; others are of values
_GZIP = ("gzip", "gz")
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


def is_one_file(path: Path) -> bool:
    """Whether the samples of a .nrrd file surely lie in itself.

    SimpleITK reads the header with a parser of its own, so whatever may be a field that names
    another file counts as one, in whichever spelling; so does a header that does not end.
    """
    with path.open("rb") as file:
        head = file.read(_LONGEST_HEADER)
    ends = re.search(rb"\r?\n\r?\n", head) is not None
    return ends and re.search(rb"data[\s_-]*file", head, re.IGNORECASE) is None


def mm_per_unit(fields: Mapping[str, str], label: str) -> float:
    """Millimetres in the unit of the first three axes; 1 where none is given.

    Raises ArSSRError where they have several units, one of no length, or negative spacings, and
    where time comes before an axis of space.
    """
    kinds = fields.get("kinds", "").lower().split()
    if "time" in [kind for kind in kinds if kind in _OF_POSITION][:3]:
        raise ArSSRError(f"{label}: time is not its last axis; move it there")
    spacings = [_number(word) for word in fields.get("spacings", "").split()]
    require_positive([mm for mm in spacings if math.isfinite(mm)] or [1.0], label)
    named = re.findall(r'"([^"]*)"', fields.get("space units", fields.get("units", "")))
    named = [name for name in named if name not in ("", "???")][:3]
    units = {millimetres_per(name) for name in named}
    if len(units) > 1 or None in units:
        raise ArSSRError(f"{label}: its axes have the units {', '.join(named)}, not millimetres")
    return units.pop() or 1.0 if units else 1.0


def turned_to_lps(fields: Mapping[str, str]) -> NDArray[np.float64]:
    """(4, 4) from the axes that SimpleITK gives to LPS: it turns those of RAS and LAS, but leaves
    them as they are where time is the fourth axis of the space.
    """
    space = fields.get("space", "").lower()
    for short, name, turn in (
        ("rast", "right-anterior-superior-time", (-1.0, -1, 1, 1)),
        ("last", "left-anterior-superior-time", (1.0, -1, 1, 1)),
    ):
        if space in (short, name):
            return np.diag(turn)
    return np.eye(4)


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
    encoding, file = fields.get("encoding", "raw").lower(), _file_of_samples(fields, path)
    if not file.is_file():  # a list of several, or a pattern of their names
        return found
    lines, skipped = _skips(fields)
    if encoding == "raw" and dtype is not None and lines == 0 and skipped >= 0:
        behind = file.stat().st_size - (header_end if file == path else 0) - skipped
        behind -= math.prod(map(int, fields["sizes"].split())) * dtype.itemsize
        found += too_many(behind, shape, dtype)
    elif encoding in _TEXT and not _ends_in_blank(file):
        found.append("its text ends in a digit: the last number may be cut short")
    return found


def require_check_sum(fields: Mapping[str, str], header_end: int, path: Path) -> None:
    """Read samples in gzip to their end, as SimpleITK does not: their check sum comes last.

    Raises what damaged content does (`streams.DAMAGE`, OSError, EOFError).
    """
    file = _file_of_samples(fields, path)
    if fields.get("encoding", "raw").lower() not in _GZIP or not file.is_file():
        return
    with file.open("rb") as packed:
        packed.seek(header_end if file == path else 0)
        for _ in range(_skips(fields)[0]):
            packed.readline()
        with IGzipFile(fileobj=packed, mode="rb") as stream:
            while stream.read(TRAILER):
                pass


def _file_of_samples(fields: Mapping[str, str], path: Path) -> Path:
    beside = fields.get("data file", fields.get("datafile"))
    return path if beside is None else path.parent / beside


def _skips(fields: Mapping[str, str]) -> tuple[int, int]:
    """How many lines of the file of samples are passed over, and how many bytes behind them; -1
    bytes where the samples are the last of the file.
    """
    lines, count = (
        int(fields.get(f"{what} skip", fields.get(f"{what}skip", "0"))) for what in ("line", "byte")
    )
    return lines, count


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _ends_in_blank(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1).isspace()
