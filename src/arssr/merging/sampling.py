"""Reading a cubic spline where another grid's voxels lie, and the exact adjoint of that."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arssr.grid import Floats, Grid
from arssr.interpolation import (
    EDGE_PADDING,
    apply_axis_matrices,
    bspline_weights,
    spline_matrix,
)

# Points that are read together: they stay in a CPU's cache (of 500,000 each takes 5 to 17 times as
# long), and PyTorch wakes no other thread for vectors of so few. It would for products of matrices
# and for `values[where]`: each time one thread waits for the other, which on a machine that others
# use too took nearly all of the time.
_TOGETHER = 2**14
# On other devices each launch costs the same for few: never timed, as no GPU was at hand.
_TOGETHER_ELSEWHERE = 2**20


class Sampling:
    """The linear map from spline coefficients of an image to its values at some voxels of a grid.

    source: the grid of the image, whose coefficients are padded as `spline_matrix` has them.
    grid: where it is read. motion: (4, 4), from millimetres (RAS+) in the space of `source` to
    those in the space of `grid`. within: a mask of the shape of `source`; voxels of `grid` outside
    it (by their centres) are left at 0.
    """

    def __init__(
        self,
        source: Grid,
        grid: Grid,
        motion: Floats,
        within: NDArray[np.bool_] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.shape = grid.shape
        to_source = np.linalg.inv(motion @ source.affine) @ grid.affine
        chosen = np.flatnonzero(_inside(to_source, grid.shape, source.shape, within))
        self.chosen = torch.from_numpy(chosen).to(device)
        self._map: list[list[float]] = to_source[:3].tolist()
        self._strides = _strides(source.shape)

    def read(self, coefficients: Tensor) -> Tensor:
        """Values (I, J, K) on the grid, float32, of coefficients (padded, three axes)."""
        line = coefficients.flatten()
        values = line.new_zeros(int(np.prod(self.shape)))
        for where, first, along in self._slabs():
            total = torch.zeros_like(along[0][0])
            for offset, weight, last in self._taps(along):
                part = torch.zeros_like(total)
                for k, w in enumerate(last):
                    part.addcmul_(w, line[offset + k :].index_select(0, first))
                total.addcmul_(weight, part)
            values.scatter_(0, where, total)
        return values.view(self.shape)

    def spread(self, values: Tensor, onto: Tensor) -> None:
        """Add the adjoint of `read` of values (I, J, K) to coefficients, in place."""
        line, given = onto.view(-1), values.reshape(-1)
        for where, first, along in self._slabs():
            at, first = given.index_select(0, where), first.long()  # which scatter_add_ asks for
            for offset, weight, last in self._taps(along):
                part = at * weight
                for k, w in enumerate(last):
                    line[offset + k :].scatter_add_(0, first, part * w)

    def seen(self) -> Tensor:
        """(I, J, K) 1 where it reads, else 0."""
        seen = torch.zeros(math.prod(self.shape), device=self.chosen.device)
        seen[self.chosen] = 1
        return seen.view(self.shape)

    def _taps(
        self, along: tuple[tuple[Tensor, ...], ...]
    ) -> Iterator[tuple[int, Tensor, tuple[Tensor, ...]]]:
        """Rows of four taps: how far behind the first, their weight, and that of each of them."""
        for i, w_i in enumerate(along[0]):
            for j, w_j in enumerate(along[1]):
                yield i * self._strides[0] + j * self._strides[1], w_i * w_j, along[2]

    def _slabs(self) -> Iterator[tuple[Tensor, Tensor, tuple[tuple[Tensor, ...], ...]]]:
        """Some voxels at a time, the first coefficient of each, and weights along three axes."""
        _, n_j, n_k = self.shape
        together = _TOGETHER if self.chosen.device.type == "cpu" else _TOGETHER_ELSEWHERE
        for start in range(0, len(self.chosen), together):
            where = self.chosen[start : start + together]
            i, j, k = (n.double() for n in (where // (n_j * n_k), where // n_k % n_j, where % n_k))
            first, along = torch.zeros_like(where, dtype=torch.int32), []
            for (by_i, by_j, by_k, shift), stride in zip(self._map, self._strides, strict=True):
                at = i * by_i + j * by_j + k * by_k + (shift + EDGE_PADDING - 1)
                below = at.int()  # as it is never negative
                first.add_(below, alpha=stride)
                along.append(bspline_weights((at - below).float()))
            yield where, first, tuple(along)


def coefficients_of(image: Tensor) -> Tensor:
    """Spline coefficients (padded, as `Sampling` reads them) of an image (I, J, K)."""
    matrices = [torch.from_numpy(spline_matrix(n).astype(np.float32)) for n in image.shape]
    return apply_axis_matrices(image, [m.to(image.device) for m in matrices])


def _inside(
    to_source: Floats,
    shape: tuple[int, int, int],
    source_shape: tuple[int, int, int],
    within: NDArray[np.bool_] | None,
) -> NDArray[np.bool_]:
    """Which voxels of a grid lie in the field of view of the source, and in the mask."""
    inside = np.empty(shape, bool)
    plane = np.stack(np.meshgrid(*map(np.arange, shape[1:]), indexing="ij"), axis=-1)
    ends = np.array(source_shape)
    for i in range(shape[0]):
        at = plane @ to_source[:3, 1:3].T + (to_source[:3, 0] * i + to_source[:3, 3])
        nearest = np.floor(at + 0.5).astype(int)
        seen = np.asarray(((nearest >= 0) & (nearest < ends)).all(axis=-1))
        if within is not None:
            seen[seen] = within[tuple(nearest[seen].T)]
        inside[i] = seen
    return inside


def _strides(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Those of padded coefficients."""
    _, j, k = (n + 2 * EDGE_PADDING for n in shape)
    return j * k, k, 1
