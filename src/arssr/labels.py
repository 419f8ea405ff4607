"""Label maps on other grids: each voxel gets the label that fills most of it.

Interpolating the numbers would make labels that nobody drew. So each label is interpolated as
what it is, a share of every voxel, and the largest share wins. Probabilities are such shares.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
from scipy import ndimage

from arssr.antialias import averaged, parts_ijk, parts_of
from arssr.engine.boxes import Box
from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.interpolation import REACH, outside, resample
from arssr.transforms.transform import Transform, steps_through
from arssr.volume import Volume

_BACKGROUND = 0
_TOO_LARGE = 2**24  # from here on float32 takes neighbouring whole numbers for one
_TIE = 1e-5  # shares that differ by less are equal: rounding shall not decide
_MARGIN = 3  # voxels that the filter of a coarser grid reaches, and one
_SLAB_POINTS = 2**22


def upsample_labels(labels: Volume, grid: Grid, transform: Transform | None = None) -> Volume:
    """A label map on another grid (finer, coarser, oblique), stored as it was.

    transform: from the space of `grid` to that of the labels, where they are not the same.

    The shares are interpolated linearly, and averaged down along axes that are coarser. Equal
    shares go to the lower label. Farther than a voxel outside the field of view lies background,
    0; no other label arises that was not there. Labels are taken one by one, each where it lies,
    so that their number costs no memory. Raises ArSSRError where the values are not whole numbers
    that float32 holds.
    """
    present = _labels_of(labels)
    numbers = np.searchsorted(present, labels.data).astype(np.int32) + 1
    boxes = ndimage.find_objects(numbers)
    won = _read(labels.grid, grid, transform, partial(_largest, numbers, boxes))
    return _moved(labels, np.concatenate([[_BACKGROUND], present])[won], grid, transform)


def upsample_probabilities(image: Volume, grid: Grid, transform: Transform | None = None) -> Volume:
    """A probability map on another grid, interpolated linearly as labels are, stored as it was.

    transform: as in `upsample_labels`. No value goes beyond those of the image. Farther than a
    voxel outside the field of view lies 0.
    """
    lowest, highest = image.data.min(), image.data.max()

    def interpolated(reading: _Reading) -> np.ndarray:
        share = reading.share(image.data, _all_of(image.data), _all_of(reading.inside))
        return np.where(reading.inside, share.clip(lowest, highest), np.float32(0))

    return _moved(image, _read(image.grid, grid, transform, interpolated), grid, transform)


def _moved(image: Volume, data: np.ndarray, grid: Grid, transform: Transform | None) -> Volume:
    """The image with these samples; what a transform moved has other slices."""
    source = image if transform is None else replace(image, slices=None)
    return source.with_data(data, grid)


class _Reading(Protocol):
    """How a source is read on a grid; `inside`: which voxels lie in its field of view, or at most
    a voxel beyond it.
    """

    inside: np.ndarray

    def reached(self, box: Box) -> Box | None:
        """The voxels of the grid in which a box of the source has a share, and a few more."""
        ...

    def share(self, indicator: np.ndarray, box: Box, target: Box) -> np.ndarray:
        """How much of the voxels in `target` an indicator (float32, on `box`) fills."""
        ...


def _read(
    source: Grid,
    grid: Grid,
    transform: Transform | None,
    read: Callable[[_Reading], np.ndarray],
) -> np.ndarray:
    """What `read` makes (I, J, K) of a source on a grid that a transform may lead to."""
    if transform is None:
        return read(_Straight(source, grid))
    if transform.matrix is not None:
        return read(_Straight(source, Grid(grid.shape, transform.matrix @ grid.affine)))
    return np.concatenate(list(_slabs_through(source, transform, grid, read)), axis=-1)


def _largest(numbers: np.ndarray, boxes: Sequence[Box], reading: _Reading) -> np.ndarray:
    """For each voxel of the grid the number that fills most of it, int32; 0 outside."""
    won = np.zeros(reading.inside.shape, np.int32)
    largest = np.zeros(reading.inside.shape, np.float32)
    for number, box in enumerate(boxes, start=1):
        box = _with_rim(box, numbers.shape)
        target = reading.reached(box)
        if target is None:
            continue
        share = reading.share((numbers[box] == number).astype(np.float32), box, target)
        wins = reading.inside[target] & (share > largest[target] + _TIE)
        largest[target][wins] = share[wins]
        won[target][wins] = number
    return won


class _Straight:
    """Read on a grid in the same space."""

    def __init__(self, source: Grid, grid: Grid) -> None:
        self._source, self._grid = source, grid
        to_source = grid.index_map_to(source).astype(np.float32)
        i, j, k = np.ogrid[tuple(slice(n) for n in grid.shape)]
        self.inside = np.ones(grid.shape, bool)
        for (a, b, c, start), n in zip(to_source[:3], source.shape, strict=True):
            at = a * i + (b * j + (c * k + start))
            self.inside &= ~outside(at, n)

    def reached(self, box: Box) -> Box | None:
        """See `_Reading`."""
        corners = np.stack(np.meshgrid(*_ends(box), indexing="ij"), axis=-1).reshape(-1, 3)
        index = self._grid.to_index(self._source.to_world(corners))
        margin = np.where(np.array(parts_ijk(self._grid, self._source)) > 1, _MARGIN, 0)
        low = np.maximum(np.floor(index.min(axis=0)) - margin, 0).astype(int)
        high = np.minimum(np.ceil(index.max(axis=0)) + margin + 1, self._grid.shape).astype(int)
        if (low >= high).any():
            return None
        i, j, k = (slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
        return i, j, k

    def share(self, indicator: np.ndarray, box: Box, target: Box) -> np.ndarray:
        """See `_Reading`."""
        here = Volume(indicator, self._source.part(box))
        return resample(here, self._grid.part(target), "linear").data


def _slabs_through(
    source: Grid, transform: Transform, grid: Grid, read: Callable[[_Reading], np.ndarray]
) -> Iterator[np.ndarray]:
    """`_read` through a warp, in slabs along the last axis. Those of a coarser grid are made
    with a margin, for the filter takes in what lies beyond them.
    """
    steps = np.linalg.norm(steps_through(transform, grid, source), axis=1)
    parts = parts_of(np.median(steps, axis=0))
    margin = _MARGIN if parts[2] > 1 else 0
    n = max(1, _SLAB_POINTS // int(np.prod(grid.shape[:2]) * np.prod(parts)))
    for start in range(0, grid.shape[2], n):
        stop = min(start + n, grid.shape[2])
        first = max(start - margin, 0)
        slab = grid.part((slice(None), slice(None), slice(first, stop + margin)))
        made = read(_Warped(source, transform, slab, parts))
        yield made[..., start - first : stop - first]


class _Warped:
    """Read through a transform; `parts`: see `arssr.antialias`."""

    def __init__(
        self, source: Grid, transform: Transform, grid: Grid, parts: tuple[int, int, int]
    ) -> None:
        def positions(on: Grid) -> np.ndarray:
            points = on.to_world(np.moveaxis(np.indices(on.shape), 0, -1))
            return source.to_index(transform.map(points)).astype(np.float32)

        self._parts = parts
        self._at = positions(grid.scaled(parts))
        centres = self._at if parts == (1, 1, 1) else positions(grid)
        self.inside = ~np.any(outside(centres, np.array(source.shape)), axis=-1)
        # Along each axis, between which positions (n, 3) the points of its voxels lie.
        self._spans = []
        for axis in range(3):
            others = tuple({0, 1, 2} - {axis})
            low, high = (
                extreme(axis=others).reshape(grid.shape[axis], -1, 3)
                for extreme in (self._at.min, self._at.max)
            )
            self._spans.append((low.min(axis=1), high.max(axis=1)))

    def reached(self, box: Box) -> Box | None:
        """See `_Reading`."""
        start, end = _ends(box).T
        found = []
        for (low, high), parts in zip(self._spans, self._parts, strict=True):
            [hit] = np.nonzero(((low <= end) & (high >= start)).all(axis=1))
            if not len(hit):
                return None
            margin = _MARGIN if parts > 1 else 0
            stop = min(int(hit[-1]) + margin + 1, len(low))
            found.append(slice(max(int(hit[0]) - margin, 0), stop))
        i, j, k = found
        return i, j, k

    def share(self, indicator: np.ndarray, box: Box, target: Box) -> np.ndarray:
        """See `_Reading`."""
        i, j, k = (slice(s.start * n, s.stop * n) for s, n in zip(target, self._parts, strict=True))
        at = self._at[i, j, k]
        start, end = _ends(box).T
        near = ((at >= start) & (at <= end)).all(axis=-1)
        share = np.zeros(at.shape[:3], np.float32)
        share[near] = ndimage.map_coordinates(
            indicator, (at[near] - [s.start for s in box]).T, np.float32, order=1, mode="nearest"
        )
        n_last = target[2].stop - target[2].start
        return np.concatenate(list(averaged([share], self._parts, n_last)), axis=-1)


def _labels_of(labels: Volume) -> np.ndarray:
    """The labels that occur, ascending. Raises ArSSRError for values that are none."""
    present = np.unique(labels.data)
    name = labels.path or "the image"
    if not np.array_equal(present, np.rint(present)):
        though = f", though {labels.kind.because}" if labels.kind.because else ""
        raise ArSSRError(
            f"{name} is no label map: it has values that are not whole numbers{though}"
        )
    if np.abs(present).max() >= _TOO_LARGE:
        raise ArSSRError(f"{name} has labels of {_TOO_LARGE:,} or more; renumber them")
    return present


def _with_rim(box: Box, shape: tuple[int, ...]) -> Box:
    """The box and a voxel around it, where the image goes on: there the share falls to 0."""
    i, j, k = (
        slice(max(s.start - 1, 0), min(s.stop + 1, n)) for s, n in zip(box, shape, strict=True)
    )
    return i, j, k


def _all_of(array: np.ndarray) -> Box:
    i, j, k = (slice(0, n) for n in array.shape)
    return i, j, k


def _ends(box: Box) -> np.ndarray:
    """(3, 2) between which positions of the source a box (with its rim) is what is read."""
    return np.array([(s.start - 0.5 - REACH, s.stop - 0.5 + REACH) for s in box])
