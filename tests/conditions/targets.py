"""Slices and grids: how slices lie, the grid that a scan has already, and images that lend one."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tests.conditions.files import AFFINE, SHAPE, STORED, coloured, dicom, nifti, write
from tests.conditions.table import FAMILIES, ONE_OF_EACH, Condition, Seen, Table
from tests.conditions.trying import UNTOLD, misplaced, result_on, upsample
from tests.phantoms import rotated, smooth, volume

from arssr.grid import Grid
from arssr.volume import Volume, read_quietly

_SCAN = (1000 * smooth(SHAPE, sigma=1)).astype(np.int16)
_LIKE = rotated(Grid((7, 6, 5), AFFINE @ np.diag([0.9, 0.8, 0.7, 1])), (0, 10, 5))


def _sliced(
    thickness: float, kind: str, gap: float, must_tell: bool = False
) -> Callable[[str, Path], Seen | None]:
    """Slices 3 mm apart, of this thickness; asked for at half the distance."""
    described = {"SliceThickness": thickness, "MRAcquisitionType": kind}

    def attempt(variant: str, folder: Path) -> Seen | None:
        if variant in FAMILIES["DICOM"]:
            scan = dicom(variant, folder, _SCAN, **described)
        else:
            written = write(variant, folder, _SCAN)
            assert written is not None
            scan = written
            (folder / "scan.json").write_text(json.dumps(described))

        def fault(_: Path) -> str:
            slices = read_quietly(scan).slices
            if slices is None or abs(slices.gap - gap) > 1e-3 or slices.axis != 2:
                return f"it is taken for {slices}"
            return UNTOLD if must_tell else ""

        return upsample(scan, "--scale", 1, 1, 2, fault=fault)

    return attempt


def _own_grid(variant: str, folder: Path) -> Seen | None:
    def fault(out: Path) -> str:
        same = np.array_equal(result_on(out, (1, 1, 1), _SCAN), _SCAN)
        return "" if same else "samples have other values"

    scan = write(variant, folder, _SCAN)
    return upsample(scan, "--like", scan, fault=fault)


def _like(
    make: Callable[[str, Path], Path | None], must_tell: bool = False
) -> Callable[[str, Path], Seen | None]:
    """A scan on the grid of an image that is not to be read as one."""

    def attempt(variant: str, folder: Path) -> Seen | None:
        (folder / "scan").mkdir()
        scan = volume(_SCAN, AFFINE).write(folder / "scan" / "scan.nii.gz")
        reference = make(variant, folder)
        if reference is None:
            return None

        def fault(out: Path) -> str:
            if must_tell:
                return UNTOLD
            return misplaced(Volume.read(out).grid, _LIKE)

        return upsample(scan, "--like", reference, fault=fault)

    return attempt


def _lent(stored: np.ndarray) -> Callable[[str, Path], Path | None]:
    return lambda variant, folder: write(variant, folder, stored, _LIKE.affine)


def _in_colour(variant: str, folder: Path) -> Path | None:
    return coloured(variant, folder, _LIKE.affine, _LIKE.shape)


def _contradictory(variant: str, folder: Path) -> Path | None:
    return nifti(variant, folder, STORED, _LIKE.affine, qform=AFFINE)


def _elsewhere(variant: str, folder: Path) -> Path | None:
    away = _LIKE.affine.copy()
    away[0, 3] += 500
    return write(variant, folder, STORED, away)


_EMPTY = np.zeros(_LIKE.shape, np.int16)

TABLE = Table(
    "Slices and grids",
    (
        Condition(
            "slices that touch",
            "Nothing to do.",
            _sliced(3, "2D", 0),
        ),
        Condition(
            "slices with small gaps",
            "Nothing to do, with weights that have seen such gaps: `arssr info` on the scan and "
            "`arssr models` tell of both.",
            _sliced(2.25, "2D", 0.25),
        ),
        Condition(
            "slices with large gaps",
            "Between slices lies tissue that nobody measured: the result there is a guess. With "
            "`--strict` it is refused.",
            _sliced(1, "2D", 2 / 3, must_tell=True),
        ),
        Condition(
            "slices that overlap",
            "Weights have not seen such slices. With `--strict` it is refused.",
            _sliced(6, "2D", -1, must_tell=True),
        ),
        Condition(
            "partitions of a 3D acquisition",
            "Nothing to do: a thickness that is not the distance speaks of interpolation.",
            _sliced(6, "3D", 0),
        ),
        Condition(
            "a scan on the grid that is asked for",
            "Nothing to do: its samples are copied.",
            _own_grid,
            ONE_OF_EACH,
        ),
        Condition(
            "`--like` a 4D image",
            "Nothing to do: only the grid counts.",
            _like(_lent(np.zeros((*_LIKE.shape, 3), np.int16))),
            ONE_OF_EACH[:4],
        ),
        Condition(
            "`--like` an image with NaN",
            "Nothing to do: only the grid counts.",
            _like(_lent(np.full(_LIKE.shape, np.nan, np.float32))),
            ONE_OF_EACH,
        ),
        Condition(
            "`--like` an image of complex numbers",
            "Nothing to do: only the grid counts.",
            _like(_lent(np.zeros(_LIKE.shape, np.complex64))),
            ONE_OF_EACH,
        ),
        Condition(
            "`--like` an image in colour",
            "Nothing to do: only the grid counts.",
            _like(_in_colour),
            (".nii.gz", ".nrrd", ".mha", "folder"),
        ),
        Condition(
            "`--like` a label map or a scan",
            "Nothing to do: only the grid counts.",
            _like(_lent(_EMPTY)),
        ),
        Condition(
            "`--like` an image that contradicts itself",
            "The result lies where that header says, rightly or not: mend it first.",
            _like(_contradictory, must_tell=True),
            (".nii.gz",),
        ),
        Condition(
            "`--like` an image elsewhere",
            "Nothing but air would come of it: look where both images lie, and whether a "
            "registration is missing (`--transform`).",
            _like(_elsewhere, must_tell=True),
        ),
    ),
    FAMILIES,
)
