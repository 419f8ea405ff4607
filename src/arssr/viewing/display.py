"""Volumes as pictures: which way up, how bright, and where to look.

Everything is shown in the radiological convention: patient's right on the viewer's left, anterior
on the left of a sagittal plane. Axes are permuted and flipped to run right, anterior, superior as
nearly as they can without interpolation; an oblique volume is shown along its own axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray
from scipy import ndimage

from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.interpolation import Kind, resample
from arssr.planes import OBJECT, brightness
from arssr.planes import PLANES as PLANES
from arssr.planes import Plane as Plane
from arssr.planes import slice_in_words as slice_in_words
from arssr.volume import Volume

# The byte for voxels outside an image's field of view; 0 to 254 stand for intensities.
OUTSIDE = 255
_SAME_PLACE = 1e-3  # voxels that a grid may stray
# Of larger images every n-th voxel or slice decides on windows and details.
_ENOUGH_VOXELS = 2**25


@dataclass(frozen=True)
class Window:
    """The intensities shown black and white."""

    low: float
    high: float

    @property
    def width(self) -> float:
        """high − low, in the units of the image."""
        return self.high - self.low

    @classmethod
    def fit(cls, data: NDArray[np.float32]) -> "Window":
        """From the 1st percentile of all voxels to the 99.8th of the object.

        Raises ArSSRError for a constant image: there is nothing to see.
        """
        samples = data.ravel(order="K")[:: every_nth(data)]
        low, high = brightness(samples)
        if not high > low:
            low, high = float(data.min()), float(data.max())
        if not high > low:
            raise ArSSRError(f"the image is constant (every voxel is {low:g}): nothing to show")
        return cls(low, high)

    def grey_levels(self, lowest: float, highest: float) -> NDArray[np.float64]:
        """(255,) intensities for bytes to stand for, from the lowest to the highest.

        Even steps over the window; what lies beyond gets a few, ever wider ones.

        >>> Window(0, 222).grey_levels(0, 1000).round()[[0, 1, 100, 222, 223, 254]]
        array([   0.,    1.,  100.,  222.,  223., 1000.])
        """
        below, above = 16 * (lowest < self.low), 32 * (highest > self.high)
        under = np.square(np.arange(below, 0, -1) / max(below, 1)) * (lowest - self.low)
        over = np.square(np.arange(1, above + 1) / max(above, 1)) * (highest - self.high)
        inner = np.linspace(self.low, self.high, OUTSIDE - below - above)
        return np.concatenate([self.low + under, inner, self.high + over])

    def shares(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """Black as 0, white as 1."""
        return (data - np.float32(self.low)) / np.float32(self.width)

    def object_mask(self, data: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Where the image is clearly brighter than black."""
        mask: NDArray[np.bool_] = data > self.low + OBJECT * self.width
        return mask


def to_bytes(data: NDArray[np.float32], levels: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The number of the nearest of 255 ascending intensities, for every voxel."""
    middles = (levels[1:] + levels[:-1]) / 2
    return np.searchsorted(middles.astype(np.float32), data).astype(np.uint8)


def canonical(volume: Volume) -> Volume:
    """The same voxels with the axes reordered and flipped to run right, anterior, superior."""
    turn = io_orientation(volume.grid.affine)
    data = apply_orientation(volume.data, turn)
    affine = volume.grid.affine @ inv_ornt_aff(turn, volume.grid.shape)
    return volume.with_data(data, Grid(data.shape, affine))


def beside(volume: Volume, frame: Grid) -> Volume:
    """The volume turned so that its axes run along those of `frame`, on its own voxels if it can.

    A volume that lies oblique to the frame is resampled on it (nearest where coarser).
    """
    turned = canonical(volume)
    lattice = turned.grid.axis_positions_in(frame)
    if lattice is not None and lattice.axes == (0, 1, 2):
        forwards = all(axis[-1] >= axis[0] for axis in lattice.positions)
        if forwards:
            return turned
    return on_display(turned, frame)[0]


def on_display(volume: Volume, frame: Grid) -> tuple[Volume, str | None]:
    """The volume on the grid of `frame`, and how it came there (None: it was there already).

    Voxels coarser than the frame's are shown as the blocks they are ("nearest"); all other
    grids are interpolated ("cubic"). Outside the volume's field of view nothing is known, and
    its darkest value stands.
    """
    turned = canonical(volume)
    if turned.grid.matches(frame):
        return turned, None
    coarse = (turned.grid.spacing_mm > 1.01 * frame.spacing_mm).any()
    kind: Kind = "nearest" if coarse else "cubic"
    shown = resample(turned, frame, kind)
    inside = field_of_view(volume.grid, frame)
    if inside is None:
        return shown, kind
    return shown.with_data(np.where(inside, shown.data, turned.data.min()), frame), kind


def field_of_view(grid: Grid, frame: Grid) -> NDArray[np.bool_] | None:
    """(I, J, K) which voxels of `frame` have their centre in the field of view of `grid`.

    None where all have, to a thousandth of a voxel.
    """
    turn, shift = (m := frame.index_map_to(grid))[:3, :3], m[:3, 3]
    inside = np.ones(frame.shape, bool)
    i, j, k = np.ogrid[tuple(map(slice, frame.shape))]
    for axis, n in enumerate(grid.shape):
        at = turn[axis, 0] * i + turn[axis, 1] * j + turn[axis, 2] * k + shift[axis]
        inside &= (at > -0.5 - _SAME_PLACE) & (at < n - 0.5 + _SAME_PLACE)
    return None if inside.all() else inside


def picture(data: NDArray[np.generic], plane: Plane, index: int) -> NDArray[np.generic]:
    """The plane at `index` as an image (rows from the top, columns from the left)."""
    return np.take(data, index, axis=plane.normal)[::-1, ::-1].T


def edges_mm(volume: Volume, frame: Grid, axis: int) -> tuple[float, float]:
    """Where the volume's field of view begins and ends along an axis of `frame`, in mm.

    Counted from the edge of the frame's own field of view. The volume lies `beside` the frame.
    """
    index_map = volume.grid.index_map_to(frame)
    first, step = index_map[axis, 3] + 0.5, index_map[axis, axis]
    spacing = float(frame.spacing_mm[axis])
    n = volume.grid.shape[axis]
    return (first - step / 2) * spacing, (first + (n - 0.5) * step) * spacing


def index_at(volume: Volume, frame: Grid, axis: int, mm: float) -> int:
    """The voxel of a volume `beside` the frame that holds the place `mm` along an axis."""
    start, end = edges_mm(volume, frame, axis)
    n = volume.grid.shape[axis]
    return int(np.clip(np.floor((mm - start) / (end - start) * n), 0, n - 1))


def content_box(mask: NDArray[np.bool_], margin: int = 3) -> tuple[slice, slice, slice]:
    """The smallest box around a mask, a few voxels wider; everything for an empty mask."""
    i, j, k = (_span(np.any(mask, axis=others), margin) for others in ((1, 2), (0, 2), (0, 1)))
    return i, j, k


def _span(occupied: NDArray[np.bool_], margin: int) -> slice:
    where = np.flatnonzero(occupied)
    if not where.size:
        return slice(0, len(occupied))
    return slice(max(0, int(where[0]) - margin), min(len(occupied), int(where[-1]) + 1 + margin))


def middle(mask: NDArray[np.bool_]) -> tuple[int, int, int]:
    """The voxel at the centre of mass of a mask (of the volume, for an empty mask)."""
    centre = ndimage.center_of_mass(mask if mask.any() else np.ones_like(mask))
    i, j, k = (round(c) for c in centre)
    return i, j, k


def disagreement(images: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """How far the images lie apart, voxel by voxel: the standard deviation over them, as a share
    of their largest magnitude (whose square need not be a float32).
    """
    peak = max(magnitude(image) for image in images)
    mean = np.zeros_like(images[0])
    for image in images:
        mean += image / peak / np.float32(len(images))
    spread = np.zeros_like(mean)
    for image in images:
        spread += np.square(image / peak - mean) / np.float32(len(images))
    return np.sqrt(spread, out=spread)


def magnitude(data: NDArray[np.float32]) -> np.float32:
    """The largest absolute value; 1 where all are 0, so that one may divide by it."""
    return max(np.abs(data.min()), np.abs(data.max())) or np.float32(1)


class Detail(NamedTuple):
    """A square region of one plane: its centre voxel and its side in mm."""

    plane: Plane
    centre: tuple[int, int, int]
    side_mm: float


def detail_side_mm(grid: Grid) -> float:
    """A square of about 40 voxels, but no more than 0.4 of the shorter sides."""
    return float(min(40 * grid.spacing_mm.min(), 0.4 * np.sort(grid.extent_mm)[1]))


def every_nth(data: NDArray[np.float32]) -> int:
    """One of how many voxels or slices is enough to know a volume by."""
    return 1 + data.size // _ENOUGH_VOXELS


def find_detail(
    interest: NDArray[np.float32],
    mask: NDArray[np.bool_],
    grid: Grid,
    plane: Plane,
    side_mm: float,
    at: int | None = None,
) -> Detail:
    """The square in slices of `plane` (in slice `at`, if given) that holds the most of `interest`.

    Squares lie wholly inside the field of view, and inside the object (`mask`) as far as can be,
    so that the borders of neither decide.
    """
    size, chosen = [1, 1, 1], [slice(None)] * 3
    for axis in (plane.across, plane.up):
        spacing = float(grid.spacing_mm[axis])
        beside_centre = int(min(side_mm / spacing, grid.shape[axis]) - 1) // 2
        size[axis] = 1 + 2 * max(0, beside_centre)
        side_mm = min(side_mm, size[axis] * spacing)
    slices = slice(None, None, every_nth(interest)) if at is None else slice(at, at + 1)
    chosen[plane.normal] = slices
    solid = mask[tuple(chosen)].astype(np.float32)
    score = ndimage.uniform_filter(interest[tuple(chosen)] * solid, size, mode="constant")
    score *= ndimage.uniform_filter(solid, size) ** 4
    inside = tuple(slice(s // 2, n - s // 2) for s, n in zip(size, score.shape, strict=True))
    best = np.unravel_index(int(np.argmax(score[inside])), score[inside].shape)
    centre = [int(b) + side.start for b, side in zip(best, inside, strict=True)]
    centre[plane.normal] = range(grid.shape[plane.normal])[slices][centre[plane.normal]]
    return Detail(plane, (centre[0], centre[1], centre[2]), side_mm)
