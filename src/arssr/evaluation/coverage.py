"""How often the truth lies within intervals, and how wide these are: counted once, asked often.

An error of e where the half-width is h has the score |e| / h. Intervals of f · h hold as many
truths as scores are at most f, so the factor for a probability is that quantile of the scores
(split conformal prediction, see `arssr.weights.interval`). Scores are counted on a logarithmic
scale, with the sum of half-widths in every step: that is enough for coverage, width and interval
score at any factor, and counts of images, settings and regions simply add up.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_STEP = 0.01  # of the logarithm: factors are right to half a percent
_LOW, _HIGH = -8.0, 6.0
_EDGES = np.arange(_LOW, _HIGH + _STEP / 2, _STEP)  # upper ends of the steps


@dataclass(frozen=True)
class Scores:
    """Counts of scores, and the sum of half-widths, in every step of a logarithmic scale.

    The last step holds all that is larger.
    """

    counts: NDArray[np.int64]
    widths: NDArray[np.float64]

    @classmethod
    def none(cls) -> "Scores":
        """Of no voxels at all."""
        n = len(_EDGES) + 1
        return cls(np.zeros(n, np.int64), np.zeros(n))

    @classmethod
    def of(cls, errors: NDArray[np.floating], half_widths: NDArray[np.floating]) -> "Scores":
        """Of errors and half-widths above 0 (in the same units), any shape."""
        h = np.asarray(half_widths, np.float64).ravel()
        with np.errstate(divide="ignore"):
            log = np.log(np.abs(np.asarray(errors, np.float64).ravel()) / h)
        steps = np.clip(np.ceil((log - _LOW) / _STEP - 1e-9), 0, len(_EDGES)).astype(np.int64)
        n = len(_EDGES) + 1
        widths = np.asarray(np.bincount(steps, h, minlength=n), np.float64)
        return cls(np.bincount(steps, minlength=n), widths)

    def __add__(self, other: "Scores") -> "Scores":
        return Scores(self.counts + other.counts, self.widths + other.widths)

    def scaled(self, factor: float) -> "Scores":
        """The same with half-widths that many times wider, to half a step."""
        shift = round(float(np.log(factor)) / _STEP)
        last = len(_EDGES)
        steps = np.clip(np.arange(last + 1) - shift, 0, last)
        steps[-1] = last  # what is beyond all steps stays there
        counts = np.zeros_like(self.counts)
        np.add.at(counts, steps, self.counts)
        widths = np.zeros_like(self.widths)
        np.add.at(widths, steps, factor * self.widths)
        return Scores(counts, widths)

    @property
    def count(self) -> int:
        """Of voxels."""
        return int(self.counts.sum())

    def factor(self, probability: float) -> float:
        """The least factor with which at least this share of the truths lies within."""
        below = np.cumsum(self.counts)
        step = int(np.searchsorted(below, probability * below[-1] - 1e-9 * below[-1]))
        return float(np.exp(_EDGES[min(step, len(_EDGES) - 1)]))

    def coverage(self, factor: float) -> float:
        """The share of the truths within ± factor · half-width."""
        last = int(np.searchsorted(_EDGES, np.log(factor) + 1e-9, side="right"))
        return float(self.counts[:last].sum() / max(self.count, 1))

    def width(self, factor: float) -> float:
        """The mean of factor · half-width."""
        return float(factor * self.widths.sum() / max(self.count, 1))

    def interval_score(self, factor: float, probability: float) -> float:
        """The mean interval score, to be low: the width, and how far truths lie beyond it, times
        2 / (1 - probability) (Gneiting and Raftery 2007, doi:10.1198/016214506000001437).
        """
        middle = np.exp(np.append(_EDGES, _HIGH + _STEP) - _STEP / 2)
        beyond = self.widths @ np.maximum(middle - factor, 0)
        total = 2 * factor * self.widths.sum() + 2 / (1 - probability) * beyond
        return float(total / max(self.count, 1))


def pooled(scores: Iterable[Scores]) -> Scores:
    """All of them together."""
    total = Scores.none()
    for each in scores:
        total += each
    return total
