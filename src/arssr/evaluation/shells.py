"""Agreement of two images of one object, band by band of spatial frequency.

The Fourier shell correlation of electron microscopy (van Heel and Schatz 2005,
doi:10.1016/j.jsb.2005.05.009), in bands that suit how scans are degraded: a wave belongs to the
band of its highest frequency along the axes that were degraded, so that what was measured and what
was not are never in one band.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from arssr.grid import Floats

_SOFT = 3.0  # voxels, standard deviation of a mask's edge: strong low bands leak into no other
_INWARD = 2.0  # of these the edge is moved inwards, so that little of it lies outside


def soft_mask(mask: NDArray[np.bool_]) -> Floats:
    """Weights (I, J, K) from 0 outside a mask to 1 well inside it."""
    inside = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1]
    return ndimage.gaussian_filter((inside > _INWARD * _SOFT).astype(np.float64), _SOFT)


class Bands:
    """Bands of frequency of images (I, J, K) under weights.

    axes: those whose frequency counts. edges: of the bands, as shares of the Nyquist frequency.
    What lies beyond the last edge is in no band.
    """

    def __init__(self, weights: Floats, axes: Sequence[int], edges: Sequence[float]) -> None:
        self._weights = weights
        self.edges = tuple(edges)
        shape = weights.shape
        along = [2 * np.abs(fft.fftfreq(n)) for n in shape[:2]]
        along.append(2 * fft.rfftfreq(shape[2]))
        grids = np.meshgrid(*along, indexing="ij", sparse=True)
        highest = np.zeros([len(a) for a in along])
        for axis in axes:
            highest = np.maximum(highest, grids[axis])
        self._band: NDArray[np.intp] = np.searchsorted(self.edges, highest, side="right") - 1
        both = np.full(len(along[2]), 2.0)  # of two conjugate waves rfftn has one
        both[0] = 1
        if shape[2] % 2 == 0:
            both[-1] = 1
        self._both = np.broadcast_to(both, highest.shape)

    def __len__(self) -> int:
        return len(self.edges) - 1

    def spectrum(self, image: NDArray[np.floating]) -> NDArray[np.complex128]:
        """Of an image under the weights, its mean there taken off."""
        mean = float((image * self._weights).sum() / self._weights.sum())
        waves: NDArray[np.complex128] = fft.rfftn((image - mean) * self._weights)
        return waves

    def product(self, a: NDArray[np.complex128], b: NDArray[np.complex128]) -> Floats:
        """(bands,) the sum of a · b* in each band; of a spectrum and itself its energy."""
        values = (a.real * b.real + a.imag * b.imag) * self._both
        sums = np.bincount(self._band.ravel() + 1, values.ravel(), len(self.edges) + 1)
        return sums[1 : len(self.edges)].astype(np.float64)

    def correlation(self, a: NDArray[np.complex128], b: NDArray[np.complex128]) -> Floats:
        """(bands,) from −1 to 1; 0 where one of them is empty."""
        energy = self.product(a, a) * self.product(b, b)
        return self.product(a, b) / np.sqrt(np.where(energy > 0, energy, np.inf))

    def shaped(
        self, waves: NDArray[np.complex128], like: NDArray[np.complex128]
    ) -> NDArray[np.complex128]:
        """A spectrum with one gain a band, so that each has the energy that `like` has there."""
        energy = self.product(waves, waves)
        gain = np.sqrt(self.product(like, like) / np.where(energy > 0, energy, np.inf))
        gains = np.concatenate([[0], gain, [0]])  # nothing below the first edge or beyond the last
        return waves * gains[self._band + 1]


def invented(
    bands: Bands, added: NDArray[np.complex128], missing: NDArray[np.complex128]
) -> tuple[Floats, float]:
    """Which share of the energy that a method added is not in the head: by band, and in all.

    added: a result less cubic interpolation of the same scan. missing: what there was to add, of
    *another* scan of the head, in the same units: its truth less its cubic interpolation. Its
    noise has nothing to do with the first scan's, and drops out of the product.

    If a part of what was added is in the head (and more may be there) and the rest is unlike
    anything in it, then Σ added · missing / Σ added² is that part's share of the energy, and one
    less that is what was invented. 0: all of it is there; 1: nothing; above 1: the opposite of it
    is; below 0: all is there, and stronger. What is there but was added too strongly counts as
    invented, too. The mean of all images that fit the scan, the best that squared errors allow,
    has 0. In all, a band below 0 counts as 0: what is too weak here makes up for nothing there.
    """
    energy, common = bands.product(added, added), bands.product(added, missing)
    by_band = 1 - common / np.where(energy > 0, energy, np.nan)
    return by_band, float(np.maximum(energy - common, 0).sum() / energy.sum())


def closed(
    bands: Bands,
    added: NDArray[np.complex128],
    missing: NDArray[np.complex128],
    missing_again: NDArray[np.complex128],
) -> float:
    """By which share a method lowers the energy of cubic's error: 1 for a flawless result.

    Noise of the truths left out, as in `invented`; missing: of the method's own scan. Below 0
    the result is farther from the head than cubic interpolation.
    """
    gain = 2 * bands.product(added, missing_again) - bands.product(added, added)
    return float(gain.sum() / bands.product(missing, missing_again).sum())
