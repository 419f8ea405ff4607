"""How noisy a scan is: judged by flat tissue, in the band that was measured.

What is wanted is what networks are told in training: the standard deviation that noise has in a
voxel of the image as it is stored. The finest details along all axes are nearly noise alone, but
not quite. So

- air does not count. Where a scanner leaves it alone it agrees with the tissue, but most mask or
  filter it: in what is left of it in three clinical scans is a quarter to two fifths of the noise;
- only the flattest tissue does, by means over voxels, which know nothing of the details;
- anatomy falls with frequency and noise is white: what the next coarser details have more tells
  how much anatomy is left;
- an axis that was stored finer than it was measured (zero-filled, interpolated) is taken back to
  its measured band, where its noise is. That leaves the noise of a voxel as it was.

benchmarks/noise.py measures all of it; docs/noise.md has the results.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pywt  # type: ignore[import-untyped]
from numpy.typing import NDArray
from scipy import ndimage

from arssr.resolution import at_band, measure_resolution
from arssr.volume import Volume

Singles = NDArray[np.float32]

_MEANS, _DETAILS = pywt.Wavelet("db2").filter_bank[:2]
# Tissue is brighter than this share of the range (of means over some voxels, from the darkest
# 0.05 % to the brightest 1 %), and than air, whose mean is 1.25 σ (Rayleigh).
_DARK = 0.1
_RANGE = (0.05, 99.0)
_ABOVE_NOISE = 2.0
_FLATTEST = 25.0  # percent of the tissue, or what holds _ENOUGH details
# Power of anatomy in the details along all axes, as a share of the mean of those along all but
# one. 0.4 was chosen among 0, 0.3, 0.4 and 0.5 on ten training and five validation volumes: scans
# of slices are left with little, and added noise is found to 20 % (benchmarks/noise.py, `clean`
# and `added`); 0.5 takes off too much of the noise.
_ANATOMY = 0.4
# A median of so many details has an error of 4 %; with fewer than these in tissue all are taken.
_ENOUGH, _FEWEST = 1000, 64
_ROUNDING = 1e-5  # of the range: differences that are none
_MEDIAN_OF_NORMAL = 0.6744897501960817  # the median of |x| for x ~ N(0, 1)


def estimate_noise(volume: Volume) -> float:
    """Standard deviation of a voxel's noise, in units of the image; 0 for a constant image.

    By the median absolute detail of the db2 wavelet (Donoho and Johnstone 1994,
    doi:10.1093/biomet/81.3.425). Axes below 4 voxels have no details and are left out.

    >>> from arssr.grid import Grid
    >>> noise = np.random.default_rng(0).normal(500, 20, (40, 40, 40)).astype(np.float32)
    >>> round(estimate_noise(Volume(noise, Grid((40, 40, 40), np.eye(4)))))
    20
    """
    data = _on_measured_voxels(volume).data
    axes = [axis for axis in range(3) if data.shape[axis] >= len(_DETAILS)]
    if not axes:
        return 0.0
    mean, finest, coarser = _bands(data, axes)
    low, high = np.percentile(mean, _RANGE)
    counts = ~_masked(data, mean, _ROUNDING * float(high - low))
    darkest = ndimage.minimum_filter(mean, 3)
    roughness = _roughness(mean)

    sigma, chosen = 0.0, counts
    for _ in range(3):
        tissue = counts & (darkest > low + max(_DARK * (high - low), _ABOVE_NOISE * sigma))
        if (count := np.count_nonzero(tissue)) >= _FEWEST:
            percent = min(100.0, max(_FLATTEST, 100 * _ENOUGH / count))
            chosen = tissue & (roughness <= np.percentile(roughness[tissue], percent))
        sigma = _beyond_anatomy(finest, coarser, chosen)
    return sigma


def _on_measured_voxels(volume: Volume) -> Volume:
    """The scan on voxels that hold what was measured, as far as its spectra tell.

    Whether it surely was does not matter here: white noise stays as it is.
    """
    axes = measure_resolution(volume).axes
    i, j, k = (
        int(axis.share * n) if axis.ending in ("sharp", "slow") else n
        for n, axis in zip(volume.grid.shape, axes, strict=True)
    )
    return at_band(volume, volume.grid.with_shape((i, j, k)))


def _bands(data: Singles, axes: Sequence[int]) -> tuple[Singles, Singles, list[Singles]]:
    """Means of voxels, details along all axes, and those along all but one (of two or three)."""
    bands = {"": data}
    for count, axis in enumerate(axes, start=1):
        bands = {
            name + letter: _halved(band, axis, taps)
            for name, band in bands.items()
            for letter, taps in (("m", _MEANS), ("d", _DETAILS))
            if (name + letter).count("m") in (0, 1, count)
        }
    n = len(axes)
    coarser = [band for name, band in bands.items() if n > 1 and name.count("d") == n - 1]
    return bands["m" * n] / np.float32(2 ** (n / 2)), bands["d" * n], coarser


def _halved(data: Singles, axis: int, taps: Sequence[float]) -> Singles:
    """Every second sample, along an axis, of a convolution, as far as it lies inside the image.

    `pywt.dwt` without its borders, in a fifth of the time.
    """
    lines = np.moveaxis(data, axis, 0)
    n = (len(lines) - len(taps)) // 2 + 1
    halved: Any = sum(np.float32(t) * lines[i : i + 2 * n - 1 : 2] for i, t in enumerate(taps))
    return np.moveaxis(halved, 0, axis)


def _roughness(mean: Singles) -> Singles:
    """By how much means differ from their neighbours, around each."""
    squares = np.zeros_like(mean)
    for axis in range(3):
        if mean.shape[axis] > 1:
            squares += np.gradient(mean, axis=axis) ** 2
    return np.asarray(ndimage.uniform_filter(squares, 3))


def _masked(data: Singles, mean: Singles, rounding: float) -> NDArray[np.bool_]:
    """Where the image has the value of most of its corners, whatever that is, and next to it."""
    values, times = np.unique(data[np.ix_(*[(0, -1)] * 3)], return_counts=True)
    if times.max() <= 4:
        return np.zeros(mean.shape, bool)
    background = np.abs(mean - values[times.argmax()]) <= rounding
    return np.asarray(ndimage.maximum_filter(background, 3))


def _beyond_anatomy(finest: Singles, coarser: list[Singles], chosen: NDArray[np.bool_]) -> float:
    """Standard deviation of white noise in the chosen details."""
    if not chosen.any():
        return 0.0
    power, *more = (
        float(np.median(np.abs(band[chosen])) / _MEDIAN_OF_NORMAL) ** 2
        for band in (finest, *coarser)
    )
    if more:
        power = (power - _ANATOMY * float(np.mean(more))) / (1 - _ANATOMY)
    return max(power, 0.0) ** 0.5
