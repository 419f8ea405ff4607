"""How close a result is to the truth, in the numbers that papers report.

Every intensity range is that of the truth, max - min, as in Wu et al. 2022, and every
comparison covers the whole grid, faces included.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from arssr.degradation import Degradation, degrade
from arssr.errors import ArSSRError
from arssr.volume import Volume

Samples = NDArray[np.floating]


@dataclass(frozen=True)
class Metric:
    """A number that says how good a result is.

    name: in rows and files. label: in tables and figures, with its unit. decimals: in tables.
    """

    name: str
    label: str
    decimals: int = 4
    higher_is_better: bool = False

    def best(self, values: Iterable[float]) -> float:
        """The best of some values of it."""
        return max(values) if self.higher_is_better else min(values)

    def text(self, value: float) -> str:
        """A value as tables have it."""
        return f"{value:.{self.decimals}f}" if math.isfinite(value) else str(value)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("psnr", "PSNR, dB", decimals=2, higher_is_better=True),
        Metric("ssim", "SSIM", higher_is_better=True),
        Metric("psnr_head", "PSNR in the head, dB", decimals=2, higher_is_better=True),
        Metric("ssim_head", "SSIM in the head", higher_is_better=True),
        Metric("nrmse", "NRMSE"),
        Metric("hfen", "HFEN"),
        Metric("consistency", "consistency"),
    )
}
"""By their names, in the order of rows and tables; the last one needs the measurement."""

SMALLEST = 3  # voxels along an axis of a truth
_SSIM_WINDOW = 7  # voxels, scikit-image's default
_LOG_SIGMA = 1.5  # voxels; the kernel is 15 wide: 7 voxels to each side
_LOG_RADIUS = 7


class Reference:
    """The truth, with what every comparison against it needs: computed when first asked for.

    Raises ArSSRError for a constant truth, and one of fewer than 3 voxels along an axis (SSIM
    compares neighbourhoods; its window of 7^3 voxels shrinks with thinner images).
    """

    def __init__(self, truth: Volume) -> None:
        self.truth = truth
        data_range = float(truth.data.max()) - float(truth.data.min())
        if not data_range > 0:
            raise ArSSRError(f"{truth.name}: nothing can be measured on a constant image")
        if min(truth.grid.shape) < SMALLEST:
            raise ArSSRError(
                f"{truth.name}: a truth needs at least {SMALLEST} voxels along every axis"
            )
        # All is measured in units of a power of two, which rounds nothing: the squares of values
        # such as 1e35 are no float32.
        self._exponent = math.frexp(data_range)[1]
        self._range = math.ldexp(data_range, -self._exponent)
        self._data = self._in_units(truth)

    def _in_units(self, volume: Volume) -> Samples:
        data: Samples = np.ldexp(volume.data, -self._exponent)
        return data

    @cached_property
    def head(self) -> NDArray[np.bool_]:
        """(I, J, K) where the object is, see `head_mask`."""
        return head_mask(self._data)

    @cached_property
    def _detail(self) -> Samples:
        return _laplacian_of_gaussian(self._data)

    def score(self, result: Volume) -> dict[str, float]:
        """All metrics but the consistency; see `score`."""
        if not result.grid.matches(self.truth.grid):
            raise ArSSRError(
                f"a result is measured on the grid of the truth, {self.truth.grid}, "
                f"not on {result.grid}"
            )
        if not np.isfinite(result.data).all():
            raise ArSSRError(f"{result.name}: the result has NaN or infinite values")
        data = self._in_units(result)
        difference = data - self._data
        similarity, ssim_map = self._ssim(data)
        return {
            "psnr": self._psnr(difference),
            "ssim": similarity,
            "psnr_head": self._psnr(difference[self.head]),
            "ssim_head": float(ssim_map[self.head].mean(dtype=np.float64)),
            "nrmse": _relative(difference, self._data),
            "hfen": _relative(_laplacian_of_gaussian(difference), self._detail),
        }

    def _psnr(self, difference: Samples) -> float:
        mean_square = float(np.mean(np.square(difference), dtype=np.float64))
        if mean_square == 0:
            return float("inf")
        return float(10 * np.log10(self._range**2 / mean_square))

    def _ssim(self, data: Samples) -> tuple[float, Samples]:
        from skimage.metrics import structural_similarity

        window = min(_SSIM_WINDOW, min(data.shape))
        mean, ssim_map = structural_similarity(
            self._data,
            data,
            win_size=window - (window + 1) % 2,
            data_range=self._range,
            full=True,
        )
        return float(mean), ssim_map


def score(truth: Volume, result: Volume) -> dict[str, float]:
    """What a result is worth, both on the same grid (ArSSRError otherwise, and for NaN).

    psnr: 10 log10(range² / MSE), dB, over the whole image; range = max - min of the truth
    ssim: scikit-image's `structural_similarity`, 3D, uniform window of 7^3 voxels
    psnr_head: MSE taken inside `head_mask` of the truth, the range as before
    ssim_head: mean of the SSIM map inside that mask
    nrmse: ‖result - truth‖ / ‖truth‖
    hfen: the same after a Laplacian of Gaussian, sigma 1.5 voxels, kernel of 15^3 voxels: the
        high-frequency error norm of Ravishankar and Bresler 2011
        (doi:10.1109/TMI.2010.2090538), in 3D and relative
    """
    return Reference(truth).score(result)


def consistency(
    result: Volume,
    measured: Volume,
    scale: float | tuple[float, float, float],
    degradation: Degradation,
) -> float:
    """‖D(result) - measured‖ / ‖measured‖: does the answer agree with the measurement?

    D is the degradation, without noise; what noise `measured` has is part of the number.
    """
    again = degrade(result, scale, degradation)
    return _relative(again.data - measured.data, measured.data)


def head_mask(data: Samples) -> NDArray[np.bool_]:
    """(I, J, K) where the object is: above Otsu's threshold (of 256 bins), holes filled.

    A hole is background that does not reach the faces of the image by steps along the axes.
    """
    from skimage.filters import threshold_otsu

    mask: NDArray[np.bool_] = data > threshold_otsu(data.ravel())
    # `ndimage.binary_fill_holes` gives the same by dilating until nothing changes: far slower
    labels, count = ndimage.label(~mask)
    outside = np.zeros(count + 1, bool)
    for axis in range(3):
        for face in (0, -1):
            outside[np.unique(labels.take(face, axis))] = True
    outside[0] = False  # the object itself
    return ~outside[labels]


def _laplacian_of_gaussian(data: Samples) -> Samples:
    filtered: Samples = ndimage.gaussian_laplace(
        data, _LOG_SIGMA, truncate=_LOG_RADIUS / _LOG_SIGMA
    )
    return filtered


def _relative(difference: Samples, whole: Samples) -> float:
    """‖difference‖ / ‖whole‖, summed in double precision."""
    _, exponent = math.frexp(float(np.abs(whole).max()))
    scaled = (np.ldexp(x, -exponent) for x in (difference, whole))
    energies = [np.sum(np.square(x), dtype=np.float64) for x in scaled]
    return float(np.sqrt(energies[0] / energies[1])) if energies[1] > 0 else float("nan")
