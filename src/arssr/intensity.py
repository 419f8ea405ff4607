"""The intensities a network sees: about 0 to 1, and how noisy they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pywt  # type: ignore[import-untyped]
from numpy.typing import NDArray

from arssr.errors import ArSSRError

# The darkest and the brightest 0.05 % (spikes, vessels, fat) do not decide the range.
_PERCENTILES = (0.05, 99.95)
# How deep ringing reaches below 0, as a share of the range; what is darker is meant.
_RINGING = 0.2
# Percentiles of more voxels than this are taken from every n-th: they differ by nothing that
# matters, and a large image need not be copied to be sorted.
_ENOUGH_VOXELS = 2**24
_WAVELET = pywt.Wavelet("db2")
# Wavelet details smaller than this are constant background seen through float32, not noise.
_NO_DETAIL = 1e-5
# The median of |x| for x ~ N(0, 1).
_MEDIAN_OF_NORMAL = 0.6744897501960817


@dataclass(frozen=True)
class Normalisation:
    """An affine change of intensities that can be undone: normalised = (x − offset) / scale.

    Both constants are rounded to float32, so that `apply` and `invert` round only once a step.
    Raises ArSSRError where they are not finite or `scale` is not above 0.

    >>> normalisation = Normalisation(offset=-1000, scale=4000)
    >>> normalisation.apply(np.array([-1000.0, 1000.0, 3000.0]))
    array([0. , 0.5, 1. ], dtype=float32)
    >>> normalisation.invert(np.array([0.5]))
    array([1000.], dtype=float32)
    """

    offset: float
    scale: float

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):
            offset, scale = float(np.float32(self.offset)), float(np.float32(self.scale))
        if not (np.isfinite(offset) and np.isfinite(scale) and scale > 0):
            raise ArSSRError(
                "Intensities can only be normalised by a finite offset and a finite scale above "
                f"0, not by {self.offset:g} and {self.scale:g}."
            )
        object.__setattr__(self, "offset", offset)
        object.__setattr__(self, "scale", scale)

    @classmethod
    def identity(cls) -> Normalisation:
        """Leaves every value as it is."""
        return cls(offset=0.0, scale=1.0)

    @classmethod
    def fit(cls, data: NDArray[np.floating], label: str = "The image") -> Normalisation:
        """Takes the 0.05th and 99.95th percentile of the data to 0 and 1.

        Where these coincide (an object in less than a thousandth of the image), the least and the
        greatest value. Slightly negative values are ringing below an air level of 0, which stays
        0. Raises ArSSRError, naming `label`, for an empty or constant image and for
        NaN or infinite values.
        """
        if data.size == 0:
            raise ArSSRError(f"{label}: the image is empty.")
        lowest, highest = float(data.min()), float(data.max())  # NaN if there is one
        if not (np.isfinite(lowest) and np.isfinite(highest)):
            raise ArSSRError(f"{label}: the image has NaN or infinite values.")
        if lowest == highest:
            raise ArSSRError(f"{label}: the image is constant, every voxel is {lowest:g}.")
        samples = data.ravel(order="K")[:: -(-data.size // _ENOUGH_VOXELS)]
        low, high = (float(value) for value in np.percentile(samples, _PERCENTILES))
        if low == high:
            low, high = lowest, highest
        if -_RINGING * high < low < 0:
            low = 0.0
        return cls(offset=low, scale=high - low)

    def apply(self, data: NDArray[np.floating]) -> NDArray[np.float32]:
        """Units of the image → about 0 to 1; float32, a new array."""
        normalised = np.subtract(data, np.float32(self.offset), dtype=np.float32)
        normalised /= np.float32(self.scale)
        return normalised

    def invert(self, data: NDArray[np.floating]) -> NDArray[np.float32]:
        """About 0 to 1 → units of the image; float32, a new array."""
        restored = np.multiply(data, np.float32(self.scale), dtype=np.float32)
        restored += np.float32(self.offset)
        return restored


def estimate_noise(data: NDArray[np.float32]) -> float:
    """Standard deviation of the noise in a normalised 3D image; 0 below 4 voxels along an axis.

    The median absolute wavelet detail, along all three axes at the finest scale, where there is
    little but noise (Donoho and Johnstone 1994, doi:10.1093/biomet/81.3.425). What
    `skimage.restoration.estimate_sigma` computes, without the seven other subbands, and blind to
    a constant background whatever its value.
    """
    if min(data.shape) < _WAVELET.dec_len:
        return 0.0
    detail = data
    for axis in range(data.ndim):
        detail = pywt.dwt(detail, _WAVELET, axis=axis)[1]
    magnitude = np.abs(detail)
    magnitude = magnitude[magnitude > _NO_DETAIL]
    return float(np.median(magnitude)) / _MEDIAN_OF_NORMAL if magnitude.size else 0.0
