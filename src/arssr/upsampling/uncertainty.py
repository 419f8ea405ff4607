"""What is told of the half-widths of a result: gathered slab by slab, as they pass."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arssr.formats.samples import Encoding
from arssr.weights.interval import Interval

HALF_WIDTHS = Encoding(np.dtype(np.float32))  # how every file stores them
# Steps of a logarithmic scale on which they are counted, in units of the range of intensities:
# percentiles are right to half a step.
_STEP, _LEAST, _MOST = 0.01, 1e-6, 1e2
_JUST_ABOVE = 1 + 1e-5


class HalfWidths:
    """Mean and percentiles of half-widths, over the voxels that were not left to interpolation.

    unit: the range of intensities. way: of computing. is_outside: the weights were not trained for
    such a scan, or such a grid.
    """

    def __init__(self, interval: Interval, unit: float, way: str, is_outside: bool = False) -> None:
        self._interval, self._unit, self._way, self._is_outside = interval, unit, way, is_outside
        self._counts = np.zeros(round(np.log(_MOST / _LEAST) / _STEP) + 1, np.int64)
        self._sum = 0.0

    def take(self, half_widths: NDArray[np.float32]) -> None:
        """Some more of them, in units of the image."""
        told = half_widths[half_widths > self._interval.air * self._unit * _JUST_ABOVE]
        self._sum += float(told.sum(dtype=np.float64))
        steps = np.log(told / self._unit / _LEAST) / _STEP
        last = len(self._counts) - 1
        bins = np.clip(np.rint(steps), 0, last).astype(np.int64)
        self._counts += np.bincount(bins, minlength=last + 1)

    def watched(self, slabs: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """Slabs (values, half-widths) as they come, once half-widths have been taken."""
        for slab in slabs:
            self.take(slab[1])
            yield slab

    def describe(self) -> dict[str, Any]:
        """Plain values for a sidecar, in units of the image; nothing but the promise where no
        voxel was computed.
        """
        facts: dict[str, Any] = {"probability": self._interval.probability, "way": self._way}
        if not (count := int(self._counts.sum())):
            return facts
        percent = f"{100 * self._interval.probability:.0f} %"
        mean, most = self._sum / count, self._percentile(0.95)
        said = [
            f"with a probability of {percent} the truth lies within ±H of the result",
            f"H is {mean:.3g} on average over the voxels that the network computed, and above "
            f"{most:.3g} in one of 20",
            *self._doubts(),
        ]
        return {
            "in_words": ". ".join(said),
            **facts,
            "mean": float(f"{mean:.4g}"),
            "percentile_95": float(f"{most:.4g}"),
        }

    def _doubts(self) -> list[str]:
        """What the promise rests on, in sentences."""
        said = []
        if coverage := self._interval.coverage:
            least, most = 100 * min(coverage), 100 * max(coverage)
            said.append(
                f"That was measured on {len(coverage)} validation volumes together. Single ones "
                f"had {least:.0f} to {most:.0f} %, and other anatomy can have less"
            )
        if self._is_outside:
            said.append("That was not measured outside what the weights were trained for")
        return said

    def _percentile(self, share: float) -> float:
        below = np.cumsum(self._counts)
        step = int(np.searchsorted(below, share * below[-1]))
        return float(_LEAST * np.exp(step * _STEP) * self._unit)
