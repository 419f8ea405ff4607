"""The voxels of a feature map that a position reads, and their weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from arssr.engine.boxes import Box


class Features(Protocol):
    """A feature map (I, J, K, F) that can be read by boxes and by single voxels."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, which begins with I, J, K."""

    def __getitem__(self, box: Box) -> Tensor:
        """The features (…, F) of a box of voxels."""

    def rows(self, index_ijk: np.ndarray) -> Tensor:
        """The features (P, F) of voxels (P, 3)."""


@dataclass(frozen=True)
class Taps:
    """Linear interpolation along one axis: for each position two input voxels and their weights."""

    first: np.ndarray
    second: np.ndarray
    weight_first: np.ndarray
    weight_second: np.ndarray

    @classmethod
    def at(cls, positions: np.ndarray, n_in: int, zeros_outside: bool) -> "Taps":
        """The taps of voxel coordinates.

        zeros_outside: beyond the outermost voxel centres there are zeros; else the border's value.
        """
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
        """The taps of the chosen positions."""
        return Taps(*(values[chosen] for values in self.arrays()))

    def window(self) -> tuple[slice, "Taps"]:
        """The range of input voxels that the taps read, and taps that count from its start."""
        low, high = int(self.first.min()), int(self.second.max()) + 1
        return slice(low, high), Taps(self.first - low, self.second - low, *self.arrays()[2:])

    def matrix(self, n: int) -> np.ndarray:
        """The matrix (positions, n) that interpolates n voxels; two entries a row at most."""
        matrix = np.zeros((len(self.first), n))
        row = np.arange(len(self.first))
        matrix[row, self.first] = self.weight_first
        matrix[row, self.second] += self.weight_second
        return matrix

    def planes(self, features: Tensor, most: int) -> Iterator[tuple[slice, Tensor]]:
        """Features (I, J, K, F), interpolated along the first axis, `most` planes at a time."""
        inside = np.isclose(self.weight_first + self.weight_second, 1)
        taps = list(zip(*(values.tolist() for values in (*self.arrays(), inside)), strict=True))
        for start in range(0, len(taps), most):
            group = taps[start : start + most]
            planes = features.new_empty((len(group), *features.shape[1:]))
            for plane, (first, second, a, b, whole) in zip(planes, group, strict=True):
                if whole:
                    torch.lerp(features[first], features[second], b, out=plane)
                else:
                    torch.add(features[first] * a, features[second], alpha=b, out=plane)
            yield slice(start, start + len(group)), planes

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The two voxels of each position, then their two weights."""
        return self.first, self.second, self.weight_first, self.weight_second


def nearest_voxel(positions: np.ndarray, n_in: int) -> np.ndarray:
    """The index of the voxel in which each position lies, or to which it is closest."""
    return np.floor(positions + 0.5).astype(np.int64).clip(0, n_in - 1)
