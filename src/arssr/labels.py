"""Label maps on other grids: each voxel gets the label that fills most of it.

Interpolating the numbers would make labels that nobody drew. So each label is interpolated as
what it is, a share of every voxel, and the largest share wins.
"""

import numpy as np
from scipy import ndimage

from arssr.antialias import parts_ijk
from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.interpolation import REACH, resample
from arssr.volume import Volume

_BACKGROUND = 0
_EXACT = 2**24  # float32 holds whole numbers up to here
_TIE = 1e-5  # shares that differ by less are equal: rounding shall not decide
Box = tuple[slice, slice, slice]


def upsample_labels(labels: Volume, grid: Grid) -> Volume:
    """A label map on another grid (finer, coarser, oblique), stored as it was.

    The shares are interpolated linearly, and averaged down along axes that are coarser. Equal
    shares go to the lower label. Farther than a voxel outside the field of view lies background,
    0; no other label arises that was not there. Labels are taken one by one, each where it lies,
    so that their number costs no memory. Raises ArSSRError where the values are not whole numbers
    that float32 holds.
    """
    present = _labels_of(labels)
    numbers = np.searchsorted(present, labels.data).astype(np.int32) + 1
    result = np.full(grid.shape, _BACKGROUND, np.float32)
    largest = np.zeros(grid.shape, np.float32)
    inside = _inside(labels.grid, grid)
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        box = _with_rim(box, labels.grid.shape)
        target = _reached(box, labels.grid, grid)
        if target is None:
            continue
        indicator = (numbers[box] == number).astype(np.float32)
        share = resample(Volume(indicator, labels.grid.part(box)), grid.part(target), "linear").data
        wins = inside[target] & (share > largest[target] + _TIE)
        largest[target][wins] = share[wins]
        result[target][wins] = present[number - 1]
    return labels.with_data(result, grid)


def _labels_of(labels: Volume) -> np.ndarray:
    """The labels that occur, ascending. Raises ArSSRError for values that are none."""
    present = np.unique(labels.data)
    name = labels.path or "the image"
    if not np.array_equal(present, np.rint(present)):
        raise ArSSRError(f"{name} is no label map: it has values that are not whole numbers")
    if np.abs(present).max() > _EXACT:
        raise ArSSRError(f"{name} has labels beyond {_EXACT:,}; renumber them")
    return present


def _with_rim(box: Box, shape: tuple[int, int, int]) -> Box:
    """The box and a voxel around it, where the image goes on: there the share falls to 0."""
    i, j, k = (
        slice(max(s.start - 1, 0), min(s.stop + 1, n)) for s, n in zip(box, shape, strict=True)
    )
    return i, j, k


def _reached(box: Box, source: Grid, grid: Grid) -> Box | None:
    """The voxels of `grid` in which a box of the source has a share, and a few more, or None."""
    ends = [(s.start - 0.5 - REACH, s.stop - 0.5 + REACH) for s in box]
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    index = grid.to_index(source.to_world(corners))
    margin = np.where(np.array(parts_ijk(grid, source)) > 1, 3, 0)  # the filter's reach
    low = np.maximum(np.floor(index.min(axis=0)) - margin, 0).astype(int)
    high = np.minimum(np.ceil(index.max(axis=0)) + margin + 1, grid.shape).astype(int)
    if (low >= high).any():
        return None
    i, j, k = (slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
    return i, j, k


def _inside(source: Grid, grid: Grid) -> np.ndarray:
    """Which voxels of `grid` lie in the source's field of view, or at most a voxel beyond it."""
    to_source = grid.index_map_to(source).astype(np.float32)
    i, j, k = np.ogrid[tuple(slice(n) for n in grid.shape)]
    inside = np.ones(grid.shape, bool)
    for (a, b, c, start), n in zip(to_source[:3], source.shape, strict=True):
        at = a * i + (b * j + (c * k + start))
        inside &= (at >= -0.5 - REACH) & (at <= n - 0.5 + REACH)
    return inside
