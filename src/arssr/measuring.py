"""What is measured of an image, axis by axis, when the image comes plane by plane.

A matrix for each axis takes the image to what was measured. Along the axis on which planes follow
each other, planes have the columns of theirs, and what they add is summed.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_ROWS = 32  # of a matrix with a band of weights, multiplied together
_MOSTLY_ZEROS = 0.5  # the share that is multiplied, up to which that is worth it


class Measuring:
    """A x of an image x, of which the planes along its last axis come one after the other.

    axes: the axis of the image that each measured axis follows; matrices: (measured, image).
    What is summed is on the device of the planes that came last, and nowhere before the first.
    """

    def __init__(self, axes: Sequence[int], matrices: Sequence[Tensor]) -> None:
        # measured axes, in the order in which their image axes run in a file, the slowest first
        self._order = [list(axes).index(axis) for axis in (2, 1, 0)]
        self._matrices = [matrices[axis] for axis in self._order]
        self._picks = [_picks(matrix) for matrix in self._matrices]
        self._blocks = [_blocks(matrix) for matrix in self._matrices]
        self._sum: Tensor | None = None
        self._done = 0

    def take(self, planes: Tensor) -> None:
        """The next n planes (I, J, n); they are left as they are."""
        of = slice(self._done, self._done + planes.shape[2])
        part = planes.permute(2, 1, 0)
        for axis in sorted((1, 2), key=self._work):
            part = self._along(axis, part)
        along = self._matrices[0][:, of]
        rows = along.any(1).nonzero().flatten()
        if self._sum is None:
            shape = [len(matrix) for matrix in self._matrices]
            self._sum = torch.zeros(shape, device=planes.device)
        self._sum, self._done = self._sum.to(planes.device), of.stop
        if len(rows):
            seen = slice(int(rows[0]), int(rows[-1]) + 1)
            self._sum[seen].flatten(1).addmm_(along[seen].to(part.device), part.flatten(1))

    def whole(self) -> Tensor:
        """A x (I, J, K), when all planes have come."""
        if self._sum is None or self._done < self._matrices[0].shape[1]:
            raise RuntimeError("planes are missing")
        return self._sum.permute([self._order.index(axis) for axis in range(3)])

    def _work(self, axis: int) -> float:
        """Of two axes the one that has less of this is less work if it comes first.

        Multiplying along an axis costs n_out for each voxel that there is by then.
        """
        n_out, n_in = self._matrices[axis].shape
        return n_out * n_in / (n_in - n_out) if n_in > n_out else math.inf

    def _along(self, axis: int, part: Tensor) -> Tensor:
        """Planes with what was measured along one of their axes, which are 1 and 2."""
        if (picks := self._picks[axis]) is not None:
            if torch.equal(picks, torch.arange(part.shape[axis])):
                return part
            return part.index_select(axis, picks.to(part.device))
        shape = list(part.shape)
        shape[axis] = len(self._matrices[axis])
        result = part.new_empty(shape)
        for rows, columns, weights in self._blocks[axis]:
            seen = part.narrow(axis, columns.start, columns.stop - columns.start)
            to, there = result.narrow(axis, rows.start, len(weights)), weights.to(part.device)
            to.copy_(there @ seen if axis == 1 else seen @ there.mT)
        return result


class _Block(NamedTuple):
    """Some rows of a matrix, without the zeros before and behind."""

    rows: slice
    columns: slice
    weights: Tensor


def _blocks(matrix: Tensor) -> list[_Block]:
    """A matrix in parts, where that leaves out much of it: with slices most of it is zeros."""
    blocks = []
    for start in range(0, len(matrix), _ROWS):
        rows = slice(start, start + _ROWS)
        used = matrix[rows].any(0).nonzero().flatten()
        columns = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
        blocks.append(_Block(rows, columns, matrix[rows, columns]))
    multiplied = sum(block.weights.numel() for block in blocks)
    if multiplied <= _MOSTLY_ZEROS * matrix.numel():
        return blocks
    return [_Block(slice(0, len(matrix)), slice(0, matrix.shape[1]), matrix)]


def _picks(matrix: Tensor) -> Tensor | None:
    """The voxel that each row takes as it is; None for a matrix that does more than that."""
    voxels = matrix.argmax(1)
    return voxels if torch.equal(matrix, torch.eye(matrix.shape[1])[voxels]) else None
