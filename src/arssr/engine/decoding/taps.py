"""Which voxels of a feature map are read at a place, and with which weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from arssr.engine.boxes import Box


class Features(Protocol):
    """A feature map (I, J, K, F) that is read box by box, or voxel by voxel."""

    @property
    def shape(self) -> tuple[int, ...]:
        """I, J, K first."""

    def __getitem__(self, box: Box) -> Tensor:
        """A box of it (…, F)."""

    def rows(self, index_ijk: np.ndarray) -> Tensor:
        """The features (P, F) of voxels (P, 3)."""


@dataclass(frozen=True)
class Taps:
    """Linear interpolation along one axis: two input voxels and their weights per position."""

    first: np.ndarray
    second: np.ndarray
    weight_first: np.ndarray
    weight_second: np.ndarray

    @classmethod
    def at(cls, positions: np.ndarray, n_in: int, zeros_outside: bool) -> "Taps":
        """Taps at voxel coordinates; outside, the border voxel is repeated or zeros follow."""
        if not zeros_outside:
            positions = np.clip(positions, 0, n_in - 1)
        first = np.floor(positions).astype(np.int64)
        fraction = positions - first
        return cls(
            first.clip(0, n_in - 1),
            (first + 1).clip(0, n_in - 1),
            np.where((first >= 0) & (first < n_in), 1 - fraction, 0.0),
            np.where((first + 1 >= 0) & (first + 1 < n_in), fraction, 0.0),
        )

    def part(self, chosen: slice) -> "Taps":
        """The taps of some of the positions."""
        return Taps(*(values[chosen] for values in self._arrays()))

    def window(self) -> tuple[slice, "Taps"]:
        """The input voxels that are touched, and the taps counted from the first of them."""
        low, high = int(self.first.min()), int(self.second.max()) + 1
        return slice(low, high), Taps(self.first - low, self.second - low, *self._arrays()[2:])

    def matrix(self, n: int) -> np.ndarray:
        """(positions, n): what interpolates n voxels, at most two of them for each position."""
        matrix = np.zeros((len(self.first), n))
        row = np.arange(len(self.first))
        matrix[row, self.first] = self.weight_first
        matrix[row, self.second] += self.weight_second
        return matrix

    def planes(
        self, features: Tensor, most: int, further: int = 0
    ) -> Iterator[tuple[slice, Tensor]]:
        """Features (I, J, K, F) interpolated along the first axis, so many planes at a time.

        further: rows (…, F) that follow the K of each, left for the caller to write.
        """
        _, n_j, n_k, width = features.shape
        inside = np.isclose(self.weight_first + self.weight_second, 1)
        taps = list(zip(*(values.tolist() for values in (*self._arrays(), inside)), strict=True))
        for start in range(0, len(taps), most):
            group = taps[start : start + most]
            planes = features.new_empty((len(group), n_j, n_k + further, width))
            for plane, (first, second, a, b, whole) in zip(planes[:, :, :n_k], group, strict=True):
                if whole:
                    torch.lerp(features[first], features[second], b, out=plane)
                else:
                    torch.add(features[first] * a, features[second], alpha=b, out=plane)
            yield slice(start, start + len(group)), planes

    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self.first, self.second, self.weight_first, self.weight_second


def nearest_voxel(positions: np.ndarray, n_in: int) -> np.ndarray:
    """Indices of the voxels that positions lie in, or are closest to."""
    return np.floor(positions + 0.5).astype(np.int64).clip(0, n_in - 1)
