"""How an image looks, in two numbers that tell scans by MR from what is none.

What networks were not taught to see they make something of all the same. Two numbers that cost
next to nothing tell apart what people give to a program for MR scans: scans of any contrast have
neighbouring voxels that differ a little, and tissue of many brightnesses. Neighbours in label maps,
drawings and stacks of one photograph hardly differ, those in noise do as strangers do; and in CT
most of the body has nearly one brightness.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.intensity import Normalisation

_OBJECT = 0.1  # of the range: what is darker is air, and says nothing
_SPREAD = (5, 95)  # percentiles of the object's brightness that it is taken to reach from and to
_ENOUGH = 2**20  # voxels that are looked at, evenly spread
_FEWEST = 1000  # voxels in the object: of fewer nothing is said
_BIN, _WIDTH = 0.01, 5  # of the range, and bins that are nearly one brightness


@dataclass(frozen=True)
class Look:
    """How an image looks.

    roughness: by how much neighbouring voxels of the object differ, the median along each axis and
    the geometric mean over the axes, as a share of the spread of its brightness (from the 5th to
    the 95th percentile). peak: the largest share of the object within 5 % of the range.
    """

    roughness: float
    peak: float

    @classmethod
    def of(cls, samples: NDArray[np.float32], units: Normalisation | None = None) -> "Look | None":
        """That of samples (I, J, K); None where all are one, or the object is too small to tell.

        units: in which the image is about 0 to 1, where they are known.

        >>> noise = np.random.default_rng(0).normal(size=(40, 40, 40)).astype(np.float32)
        >>> round(Look.of(noise).roughness, 1)
        0.3
        """
        if units is None or units == Normalisation.identity():
            try:
                units = Normalisation.fit(samples)
            except ArSSRError:
                return None
        step = max(1, round((samples.size / _ENOUGH) ** (1 / 3)))
        at = tuple(slice(0, max(n - 1, 1), step) for n in samples.shape)
        here = _normalised(samples[at], units)
        inside = here > _OBJECT
        if np.count_nonzero(inside) < _FEWEST:
            return None
        brightness = here[inside]
        low, high = np.percentile(brightness, _SPREAD)
        differences = []
        for axis in (axis for axis, n in enumerate(samples.shape) if n > 1):
            next_to = list(at)
            next_to[axis] = slice(1, None, step)
            there = _normalised(samples[tuple(next_to)], units)
            both = inside & (there > _OBJECT)
            if both.any():
                differences.append(float(np.median(np.abs(there - here)[both])))
        if not differences:
            return None
        roughness = float(np.prod(differences)) ** (1 / len(differences))
        counts = np.bincount((brightness / _BIN).clip(max=2 / _BIN).astype(int))
        peak = np.convolve(counts, np.ones(_WIDTH)).max() / len(brightness)
        spread = float(high - low)
        return cls(roughness / spread if spread else 0.0, float(peak))

    def describe(self) -> dict[str, float]:
        """Plain values, for cards."""
        return {"roughness": float(f"{self.roughness:.3g}"), "peak": float(f"{self.peak:.3g}")}


def _normalised(samples: NDArray[np.float32], units: Normalisation) -> NDArray[np.float32]:
    return (samples - np.float32(units.offset)) / np.float32(units.scale)
