"""Slices that disagree with everything else: the person moved, or there was a spike."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from arssr.grid import Floats

# A slice that lies so many times farther from the others' than its neighbours do loses weight.
_FARTHER = 1.5
_NEIGHBOURS = 9  # slices whose median is what is usual
_LISTED = 0.5  # of its weight; what keeps less is told


def slice_weights(apart: NDArray[np.float32], counts: NDArray[np.float32], axis: int) -> Floats:
    """(n,) 0 to 1: how far each slice along an axis is to be believed.

    apart: (I, J, K), y − A x of what all scans together say, where it counts.
    """
    others = tuple({0, 1, 2} - {axis})
    squares = (np.square(apart, dtype=np.float64)).sum(axis=others)
    number = np.square(counts, dtype=np.float64).sum(axis=others)
    known = number > 0.02 * number.max(initial=0.0)
    if known.sum() < 3:
        return np.ones(len(number))
    size = np.sqrt(squares / np.maximum(number, 1e-12))
    usual = ndimage.median_filter(size[known], min(_NEIGHBOURS, int(known.sum())), mode="nearest")
    weights = np.ones(len(number))
    weights[known] = np.minimum(1.0, (_FARTHER * usual / np.maximum(size[known], 1e-12)) ** 4)
    return weights


def doubtful(weights: Floats) -> list[int]:
    """Slices, counted from 0, that lose half of their weight or more."""
    return [int(k) for k in np.flatnonzero(weights < _LISTED)]
