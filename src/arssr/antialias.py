"""Reading on a grid that is coarser than the source: finely first, then averaged down.

A step longer than a source voxel skips what lies between and folds it over as false detail. So
the grid is cut into parts that skip nothing, it is read on those, and a low-pass filter along the
grid's own axes takes the parts together. That serves interpolation and field, straight and
oblique grids alike.

The filter is a sinc windowed by Lanczos, two output voxels to each side (Duchon 1979,
doi:10.1175/1520-0450(1979)018<1016:LFIOAT>2.0.CO;2). Of nine filters measured it rings least of
those that stop aliasing: an edge overshoots by 5 % (three lobes: 7 %), at 0.75 cycles per output
voxel 5 % are left (box: 32 %, Gaussian as wide as the voxel: 14 %), at 0.25 cycles 94 % (80 % of
the Gaussian's).
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from arssr.grid import SAME_STEP, Floats, Grid

_REACH = 2  # output voxels to each side of a centre that the filter takes in


def parts_ijk(grid: Grid, source: Grid) -> tuple[int, int, int]:
    """Into how many parts a voxel of `grid` must be cut so that no step skips a source voxel.

    >>> scan = Grid((8, 8, 8), np.eye(4))
    >>> parts_ijk(scan.with_spacing((0.5, 1, 2.5)), scan)
    (1, 1, 3)
    """
    return parts_of(grid.steps_in(source))


def parts_of(step_ijk: Floats) -> tuple[int, int, int]:
    """The same from the lengths (3,) of a grid's steps in source voxels."""
    i, j, k = np.maximum(np.ceil(step_ijk - SAME_STEP), 1).astype(int).tolist()
    return i, j, k


def averaging_matrix(n_out: int, parts: int) -> Floats:
    """Matrix (n_out, n_out · parts), float64, that takes parts of voxels together.

    Rows sum to 1. Beyond its ends the image is continued in a straight line, by its odd reflection
    at the outer part: constants and ramps are kept up to the borders.
    """
    inside = n_out * parts
    beyond = np.arange(1, _REACH * parts + 1)
    at = np.concatenate([np.arange(inside), -beyond, inside - 1 + beyond])
    x = (at + 0.5) / parts - 0.5 - np.arange(n_out)[:, None]
    weight = np.where(np.abs(x) < _REACH, np.sinc(x) * np.sinc(x / _REACH), 0)
    weight /= weight.sum(axis=1, keepdims=True)
    matrix, before, after = np.split(weight, [inside, inside + len(beyond)], axis=1)
    reflected = np.minimum(beyond, inside - 1)
    for end, outside, mirror in ((0, before, reflected), (-1, after, inside - 1 - reflected)):
        continued = -np.eye(inside)[mirror]
        continued[:, end] += 2
        matrix += outside @ continued
    return matrix


def averaged(
    slabs: Iterable[NDArray[np.float32]], parts: tuple[int, int, int], n_last: int
) -> Iterator[NDArray[np.float32]]:
    """An image on a grid from its samples on the same grid cut into `parts`.

    slabs: float32 (…, I · parts, J · parts, any) that follow each other along the last axis, which
    has n_last · parts planes in all. Yields float32 (…, I, J, n), n_last planes in all; holds no
    more than the planes that the filter spans.
    """
    along_k = averaging_matrix(n_last, parts[2]).astype(np.float32)
    needed_until = along_k.shape[1] - np.argmax(along_k[:, ::-1] != 0, axis=1)
    held, first, done = None, 0, 0  # planes in hand, the number of the first, planes yielded
    for slab in slabs:
        slab = _averaged_in_plane(slab, parts)
        if parts[2] == 1:
            yield slab
            continue
        held = slab if held is None else np.concatenate([held, slab], axis=-1)
        ready = int(np.searchsorted(needed_until, first + held.shape[-1], side="right"))
        if ready > done:
            yield held @ along_k[done:ready, first : first + held.shape[-1]].T
            done = ready
        if done < n_last:
            drop = int(np.argmax(along_k[done] != 0)) - first
            held, first = held[..., max(drop, 0) :], first + max(drop, 0)


def _averaged_in_plane(
    slab: NDArray[np.float32], parts: tuple[int, int, int]
) -> NDArray[np.float32]:
    for axis in (-3, -2):
        if parts[axis] > 1:
            matrix = averaging_matrix(slab.shape[axis] // parts[axis], parts[axis])
            slab = np.moveaxis(np.tensordot(matrix.astype(slab.dtype), slab, (1, axis)), 0, axis)
    return slab
