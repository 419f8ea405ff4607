"""Having a file read or super-resolved as a user does, in this process, and comparing."""

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import nibabel as nib
import numpy as np
from tests.conditions.files import AFFINE, STORED
from tests.conditions.table import Seen
from tests.phantoms import tiny_network

from arssr.cli.main import main
from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.volume import Volume, read_quietly
from arssr.weights.files import save_weights

_FAR_MM = 1e-3
# Of random weights, which promise nothing but to know small gaps between slices.
_CARD = {"licence": "none", "note": "random", "valid": {"slice_gap": [0, 0.25]}}
UNTOLD = "nothing is said of it"


def read(
    path: Path | None,
    stored: np.ndarray | None = STORED,
    affine: np.ndarray = AFFINE,
    must_tell: bool = False,
) -> Seen | None:
    """A 3D image, which has these samples (I, J, K) at these places.

    stored: None where nobody can know. must_tell: even if it is read so.
    """
    if path is None:
        return None
    try:
        found = read_quietly(path)
    except ArSSRError as error:
        return Seen(str(error))
    fault = UNTOLD if must_tell or stored is None else unlike(found, stored, affine)
    return Seen(warnings=found.warnings, fault=fault)


def unlike(found: Volume, stored: np.ndarray, affine: np.ndarray = AFFINE) -> str:
    """Where samples have other values or places, in words; however its axes run."""
    wanted = Grid(stored.shape, affine)
    if fault := misplaced(found.grid, wanted):
        return fault
    i, j, k = np.moveaxis(_nearest(found.grid, wanted), -1, 0)
    if not np.array_equal(found.data[i, j, k], stored.astype(np.float32)):
        return "samples have other values"
    return ""


def misplaced(found: Grid, wanted: Grid) -> str:
    """Where its voxels are not those that are wanted, in words; however its axes run."""
    if sorted(found.shape) != sorted(wanted.shape):
        return f"it has {'×'.join(map(str, found.shape))} voxels"
    index = _nearest(found, wanted)
    far = np.abs(found.to_world(index) - _places(wanted)).max()
    if far > _FAR_MM or index.min() < 0 or (index >= found.shape).any():
        return "it lies elsewhere"
    return ""


def _nearest(found: Grid, wanted: Grid) -> np.ndarray:
    return np.rint(found.to_index(_places(wanted))).astype(int)


def _places(grid: Grid) -> np.ndarray:
    return grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))


def upsample(scan: Path | None, *words: object, fault: Callable[[Path], str]) -> Seen | None:
    """`arssr upsample` with these words. fault: what is not right about a result, "" if nothing."""
    if scan is None:
        return None
    out = scan.parent / "out" / "result.nii"
    weights = scan.parent / "weights" / "tiny.safetensors"
    save_weights(weights, tiny_network(), _CARD)
    code, told = arssr("upsample", scan, "-o", out, "-m", weights, *words)
    lines = told.splitlines()
    if code and out.parent.is_dir() and (left := [*out.parent.iterdir()]):
        return Seen(fault=f"it is refused, and leaves {left[0].name}")
    if code:
        [line] = lines  # or it is more than a sentence
        return Seen(line.removeprefix("error: "))
    warnings = tuple(
        line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")
    )
    taken = next((line.partition(" was ")[2] for line in lines if " was taken for " in line), "")
    return Seen(warnings=warnings, note=taken.split(",")[0], fault=fault(out))


def result_on(out: Path, scale: tuple[int, int, int], stored: np.ndarray) -> np.ndarray:
    """The samples of a result, which must lie on the scan's grid scaled so; axes as the scan's."""
    wanted = Grid(stored.shape, AFFINE).scaled(scale)
    made = nib.load(out)
    index = nib.orientations.io_orientation(np.linalg.inv(wanted.affine) @ made.affine)
    turned = made.as_reoriented(index)  # a DICOM series is read in the order of its places
    if not Grid(turned.shape, turned.affine).matches(wanted):
        raise AssertionError("the result does not lie on the grid of the scan")
    return np.asarray(turned.dataobj)


def arssr(*words: object) -> tuple[int, str]:
    """Exit code, and what came on standard error."""
    with (
        mock.patch.object(sys, "argv", ["arssr", *map(str, words)]),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()) as told,
    ):
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), told.getvalue()
    return 0, told.getvalue()
