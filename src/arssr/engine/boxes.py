"""Boxes of voxels: slices along the three axes."""

import itertools

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, slice, slice]


def parts(whole: slice, count: int) -> list[slice]:
    """A range cut into nearly equal parts.

    >>> parts(slice(2, 9), 2)
    [slice(2, 5, None), slice(5, 9, None)]
    """
    n = whole.stop - whole.start
    bounds = [whole.start + n * part // count for part in range(count + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(bounds)]


def grown(part: slice, by: int, n: int) -> slice:
    """A range that is longer by `by` on both sides, within 0 to n."""
    return slice(max(part.start - by, 0), min(part.stop + by, n))


def bounding_box(active: NDArray[np.bool_]) -> Box:
    """The least box that holds all active voxels; a single voxel where none is active."""
    if not active.any():
        return slice(0, 1), slice(0, 1), slice(0, 1)
    found = [np.flatnonzero(active.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    i, j, k = (slice(int(f[0]), int(f[-1]) + 1) for f in found)
    return i, j, k
