"""How the slices of a scan lie: how thick each is, and how far it is to the next."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.formats.bids import metadata
from arssr.grid import Grid, spacing_in_words

_TOUCHING = 0.1 + 1e-3  # share of the distance; the rest is what headers round
_SAME_DISTANCE = 0.1
_SAME_PIXEL = 0.01
# Slices reconstructed at half their thickness, partitions interpolated four times: more is made
# nowhere, and a larger thickness is that of a slab, or of the scan before it was resampled.
_THICKEST = 4.0
_SAME_PLANE = 1e-3  # voxels
# Slices of a pass begin evenly within a repetition time, and the next pass begins when all their
# echo trains have been measured. A pass of three slices and two trains or more leaves a pause of
# four times what lies between two slices.
_PAUSE = 3.0
_AT_ONCE_S = 0.01  # slices that are measured together are told to differ by what headers round
_AXES = "ijk"


@dataclass(frozen=True)
class Slices:
    """The slices of a scan, as its headers and sidecars describe them.

    axis: of the array, along which they follow one another.
    thickness_mm: of each; None where nothing credible is said.
    distance_mm: from the middle of one to that of the next, at right angles to them.
    three_d: a slab was measured as a whole, in k-space; what is called slices are its partitions.
    times_s: when the measurement of each began, in seconds from whenever; None where not all are
        said.

    >>> Slices(2, 3.0, 4.0).gap
    0.25
    """

    axis: int
    thickness_mm: float | None
    distance_mm: float
    three_d: bool = False
    times_s: tuple[float, ...] | None = None

    @property
    def gap(self) -> float:
        """The share of the distance that no slice covers, negative where slices overlap.

        0 where the thickness is not known, and in 3D, where a thickness that is not the distance
        speaks of interpolation.
        """
        if self.thickness_mm is None or self.three_d:
            return 0.0
        return 1 - self.thickness_mm / self.distance_mm

    @property
    def touch(self) -> bool:
        """Whether each ends where the next begins, to 10 % of the distance."""
        return abs(self.gap) <= _TOUCHING

    @property
    def passes(self) -> tuple[int, ...]:
        """In which pass each slice was measured, counted from 0 in time; () where there is but one,
        or times do not tell.

        In passes (concatenations, packages) some slices are measured to the end before others
        begin.

        >>> Slices(2, 3.0, 4.0, times_s=(0, 40, 2, 42, 1, 41)).passes
        (0, 1, 0, 1, 0, 1)
        """
        times = np.sort(self.times_s or ())
        steps = np.diff(times)
        apart = steps[steps > _AT_ONCE_S]
        if len(apart) == 0:
            return ()
        last = times[:-1][steps > _PAUSE * np.median(apart)]
        return tuple(np.searchsorted(last, self.times_s or ()).tolist()) if len(last) else ()

    def __str__(self) -> str:
        kind = "partitions of a 3D acquisition" if self.three_d else "slices"
        thickness = "" if self.thickness_mm is None else f" of {self.thickness_mm:.3g} mm"
        return f"{kind}{thickness} every {self.distance_mm:.3g} mm along {_AXES[self.axis]}"

    def describe(self) -> dict[str, Any]:
        """Plain values, for a file."""
        thickness = self.thickness_mm
        return {
            "axis": _AXES[self.axis],
            "thickness_mm": None if thickness is None else round(thickness, 6),
            "distance_mm": round(self.distance_mm, 6),
            "acquired_in_3d": self.three_d,
        }

    def on(self, before: Grid, after: Grid) -> "Slices | None":
        """The same slices in an image on another grid, if it has them still.

        They are kept by a part of the image, by an image that is finer within the slices only, and
        by one whose axes are swapped or reversed; not by one that has other planes.
        """
        along = after.index_map_to(before)[self.axis]  # voxels along the slice axis
        axis = int(np.argmax(np.abs(along[:3])))
        step = np.eye(4)[axis] * np.sign(along[axis])
        step[3] = np.rint(along[3])
        if not np.allclose(along, step, atol=_SAME_PLANE):
            return None
        times_s, planes = self.times_s, step[axis] * np.arange(after.shape[axis]) + step[3]
        if times_s is not None:
            known = planes.min() >= 0 and planes.max() < len(times_s)
            times_s = tuple(times_s[int(k)] for k in planes) if known else None
        return replace(self, axis=axis, times_s=times_s)


def slices_of(
    described: Mapping[str, Any], grid: Grid, header_axis: int | None = None
) -> Slices | None:
    """What is said of the slices of an image on `grid`, if it can be true.

    described: by the names of DICOM and BIDS, which are the same. Of these count SliceThickness,
        MRAcquisitionType, SliceTiming, and for the axis, SliceEncodingDirection and
        SpacingBetweenSlices.
    header_axis: the axis that the image's own header names.

    The distance is that of the grid: where SpacingBetweenSlices is none of its distances, the
    image was resampled, and what is said of the thickness is no longer true. None where neither
    a thickness nor a 3D acquisition is left. Nothing is raised, whatever the values are.
    """
    distances_mm = _distances(grid)
    stated_mm = millimetres(described.get("SpacingBetweenSlices"))
    fits = np.ones(3, bool)
    if stated_mm is not None:
        fits = np.abs(distances_mm - stated_mm) <= _SAME_DISTANCE * stated_mm
    direction = str(described.get("SliceEncodingDirection"))
    named = {"i": 0, "j": 1, "k": 2}.get(direction.removesuffix("-"))
    candidates = [axis for axis in (named, header_axis) if axis is not None]
    candidates += _by_look(distances_mm)
    axis = next((axis for axis in candidates if fits[axis]), candidates[0])
    distance_mm = float(distances_mm[axis])
    thickness_mm = millimetres(described.get("SliceThickness"))
    if thickness_mm is not None and not (fits[axis] and thickness_mm <= _THICKEST * distance_mm):
        thickness_mm = None
    three_d = str(described.get("MRAcquisitionType")).strip().upper() == "3D"
    if thickness_mm is None and not three_d:
        return None
    times_s = _times(described.get("SliceTiming"), grid.shape[axis])
    if times_s is not None and direction.endswith("-"):
        times_s = times_s[::-1]
    return Slices(axis, thickness_mm, distance_mm, three_d, times_s)


def slices_beside(
    image: Path, grid: Grid, header: nib.Nifti1Header | None = None
) -> tuple[Slices | None, list[str]]:
    """What the sidecars of an image say of its slices, see `bids.metadata`; and a sentence where
    they say another distance than its own header.

    Sidecars that cannot be read say nothing: they are no reason to refuse an image.
    """
    described: Mapping[str, Any] = {}
    with suppress(ArSSRError, OSError):
        described = metadata(image)
    slices = slices_of(described, grid, None if header is None else header.get_dim_info()[2])
    stated_mm, distances_mm = millimetres(described.get("SpacingBetweenSlices")), _distances(grid)
    if stated_mm is None or (np.abs(distances_mm - stated_mm) <= _SAME_DISTANCE * stated_mm).any():
        return slices, []
    return slices, [
        f"the JSON beside it says that slices lie {stated_mm:.4g} mm apart (SpacingBetweenSlices), "
        f"but its voxels are {spacing_in_words(distances_mm)}; the voxels are used"
    ]


def _distances(grid: Grid) -> NDArray[np.float64]:
    """(3,) mm from plane to plane along each axis, at right angles to the planes."""
    distances: NDArray[np.float64] = 1 / np.linalg.norm(np.linalg.inv(grid.affine[:3, :3]), axis=1)
    return distances


def _times(stated: Any, count: int) -> tuple[float, ...] | None:
    """Seconds, one of each slice; None for what is not that."""
    try:
        times = np.array(stated, np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    whole = times.shape == (count,) and np.isfinite(times).all()
    return tuple(times.tolist()) if whole else None


def _by_look(distances_mm: NDArray[np.float64]) -> list[int]:
    """The axes, the likeliest slice axis first: pixels are square and slices thick; else the last.

    >>> _by_look(np.array([3.5, 3.5, 3.0]))[0], _by_look(np.array([1.0, 5.0, 0.9]))[0]
    (2, 1)
    """
    i, j, k = distances_mm.tolist()
    pixels = {2: (i, j), 1: (i, k), 0: (j, k)}
    square = [axis for axis, sides in pixels.items() if math.isclose(*sides, rel_tol=_SAME_PIXEL)]
    return square[:1] + sorted((2, 1, 0), key=lambda axis: -distances_mm[axis])


def millimetres(value: Any) -> float | None:
    """A length as a header or a sidecar has it; None for what is none."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None
