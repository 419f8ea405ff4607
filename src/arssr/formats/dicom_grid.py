"""Where the slices of a DICOM image lie, as one grid, or in words why they are no volume."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from arssr.errors import ArSSRError
from arssr.formats.dicom_header import Slice
from arssr.formats.dicom_images import FRAMES, by_place
from arssr.formats.lps import lps_to_ras
from arssr.grid import Floats, Grid

_SAME_STEP = 0.01  # of the distance of slices
_ROUNDED_MM = 2e-3  # positions have some three decimals


def arranged(slices: Sequence[Slice], label: Path) -> tuple[list[list[Slice]], Grid]:
    """The frames of an image, each its slices in order along their normal, and their grid.

    slices: parallel, of one size and spacing.

    Raises ArSSRError where they are no volume: missing, unequally spaced, without a place.
    """
    for each in slices:
        if each.place is None:
            raise ArSSRError(
                f"{label}: the DICOM headers do not say where the images lie ({each.lacks} is "
                "missing)"
            )
    places = by_place(slices)
    count = max(map(len, places))
    for number, here in enumerate(places, start=1):
        if len(here) < count:
            raise ArSSRError(
                f"{label}: it is no whole 4D series: at slice {number} of {len(places)} there are "
                f"{len(here)} images, at others {count}"
            )
    frames = [list(frame) for frame in zip(*places, strict=True)]
    for number, frame in enumerate(frames, start=1):
        said = {tuple(each.varied[name] for name in FRAMES) for each in frame}
        if count > 1 and len(said) > 1:
            raise ArSSRError(
                f"{label}: its images are mixed up: those of frame {number} of {count} differ in "
                "b-value or label"
            )
    placed = [[each.place for each in frame if each.place is not None] for frame in frames]
    positions = np.array([[place.position for place in frame] for frame in placed])
    if np.ptp(positions, axis=0).max() > _ROUNDED_MM:
        raise ArSSRError(f"{label}: its images lie beside one another; one volume is needed")
    first, place = frames[0][0], placed[0][0]
    affine = np.eye(4)
    affine[:3, :2] = (place.directions * place.spacing_ij[:, None]).T
    normal = np.cross(*place.directions)
    affine[:3, 2] = even_step(positions[0], normal, first.distance_mm, label)
    affine[:3, 3] = positions[0, 0]
    try:
        return frames, Grid((*first.shape_ij, len(places)), lps_to_ras(affine))
    except ArSSRError as error:
        raise ArSSRError(f"{label}: {error}") from error


def doubts_about_order(frames: Sequence[Sequence[Slice]]) -> list[str]:
    """A sentence where nothing says which of two frames came first."""
    moments = [[each.order for each in frame] for frame in frames]
    if all(one != other for one, other in pairwise(moments)):
        return []
    return [
        "nothing says in which order its frames were measured; they are in the order of the names "
        "of their files"
    ]


def even_step(positions: Floats, normal: Floats, stated_mm: float | None, label: object) -> Floats:
    """(3,) mm from a slice to the next, the same for all; as stated where there is only one.

    positions: (n, 3) mm, of the slices in order along their normal. Raises ArSSRError, naming
    `label`, where slices are missing or unequally spaced.
    """
    if len(positions) == 1:
        if stated_mm is None:
            raise ArSSRError(f"{label}: this is a single slice of unknown thickness")
        return normal * stated_mm
    gaps = np.diff(positions @ normal)
    usual = float(np.median(gaps))
    skipped = np.rint(gaps / usual) - 1
    if skipped.any() and np.allclose(gaps, usual * (skipped + 1), rtol=_SAME_STEP):
        raise ArSSRError(
            f"{label}: {int(skipped.sum())} slices are missing, the first of them after slice "
            f"{int(np.argmax(skipped > 0)) + 1} of {len(positions)}"
        )
    step: Floats = (positions[-1] - positions[0]) / (len(positions) - 1)
    strays = np.linalg.norm(np.diff(positions, axis=0) - step, axis=1).max()
    if strays > _SAME_STEP * np.linalg.norm(step) + _ROUNDED_MM:
        raise ArSSRError(
            f"{label}: its slices are not equally spaced, from {gaps.min():.4g} to "
            f"{gaps.max():.4g} mm; resample them first"
        )
    return step
