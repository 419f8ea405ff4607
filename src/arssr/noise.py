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

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pywt  # type: ignore[import-untyped]
import torch
from torch import Tensor

from arssr.intensity import MEDIAN_OF_NORMAL, Ordered
from arssr.on_device import samples_on
from arssr.resolution import Resolution, cut_samples, measure_resolution
from arssr.volume import Volume

_MEANS, _DETAILS = pywt.Wavelet("db2").filter_bank[:2]
# Tissue is brighter than this share of the range (of means over some voxels, from the darkest
# 0.05 % to the brightest 1 %), and than air, whose mean is 1.25 σ (Rayleigh).
_DARK = 0.1
_RANGE = (0.0005, 0.99)
_ABOVE_NOISE = 2.0
_FLATTEST = 0.25  # of the tissue, or what holds _ENOUGH details
# Power of anatomy in the details along all axes, as a share of the mean of those along all but
# one. 0.4 was chosen among 0, 0.3, 0.4 and 0.5 on ten training and five validation volumes: scans
# of slices are left with little, and added noise is found to 20 % (benchmarks/noise.py, `clean`
# and `added`); 0.5 takes off too much of the noise.
_ANATOMY = 0.4
# A median of so many details has an error of 4 %; with fewer than these in tissue all are taken.
_ENOUGH, _FEWEST = 1000, 64
_ROUNDING = 1e-5  # of the range: differences that are none
_TOGETHER = 2**19  # voxels, which stay in a CPU's cache


@torch.inference_mode()
def estimate_noise(
    volume: Volume, resolution: Resolution | None = None, samples: Tensor | None = None
) -> float:
    """Standard deviation of a voxel's noise, in units of the image; 0 for a constant image.

    By the median absolute detail of the db2 wavelet (Donoho and Johnstone 1994,
    doi:10.1093/biomet/81.3.425). Axes below 4 voxels have no details and are left out.
    resolution: of the volume, where it is known. samples: the volume's (I, J, K), where they are
    on a device that is to look at them.

    >>> from arssr.grid import Grid
    >>> noise = np.random.default_rng(0).normal(500, 20, (40, 40, 40)).astype(np.float32)
    >>> round(estimate_noise(Volume(noise, Grid((40, 40, 40), np.eye(4)))))
    20
    """
    if samples is None:
        samples = samples_on(volume.data)
    resolution = resolution or measure_resolution(volume)
    data = _on_measured_voxels(samples, resolution)
    axes = [axis for axis in range(3) if data.shape[axis] >= len(_DETAILS)]
    if not axes:
        return 0.0
    mean, finest, coarser = _bands(data, axes)
    low, high = map(Ordered.of(mean).at, _RANGE)
    counts = ~_masked(data, mean, _ROUNDING * (high - low))
    darkest = _with_neighbours(mean, _least)
    roughness = _roughness(mean)

    sigma, chosen = 0.0, counts
    for _ in range(3):
        tissue = counts & (darkest > low + max(_DARK * (high - low), _ABOVE_NOISE * sigma))
        if (count := int(tissue.sum())) >= _FEWEST:
            share = min(1.0, max(_FLATTEST, _ENOUGH / count))
            chosen = tissue & (roughness <= Ordered.of(roughness[tissue]).at(share))
        sigma = _beyond_anatomy(finest, coarser, chosen)
    return sigma


def _on_measured_voxels(samples: Tensor, resolution: Resolution) -> Tensor:
    """The scan on voxels that hold what was measured, as far as its spectra tell.

    Whether it surely was does not matter here: white noise stays as it is.
    """
    shape = [
        int(axis.share * n) if axis.ending in ("sharp", "slow") else n
        for n, axis in zip(samples.shape, resolution.axes, strict=True)
    ]
    return cut_samples(samples, shape)


def _bands(data: Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Means of voxels, details along all axes, and those along all but one (of two or three)."""
    n = len(axes)
    parts = [_bands_of(part, axes) for part in _parts(data, 0 in axes)]
    bands = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    coarser = [band for name, band in bands.items() if n > 1 and name.count("d") == n - 1]
    return bands["m" * n] / 2 ** (n / 2), bands["d" * n], coarser


def _parts(data: Tensor, halves: bool) -> Iterator[Tensor]:
    """Planes to look at together; where their axis is halved, what neighbours share in both."""
    step, shared = (2, len(_DETAILS) - 2) if halves else (1, 0)
    count = (len(data) - shared) // step
    at_once = max(1, _TOGETHER // (step * data[0].numel()))
    for start in range(0, count, at_once):
        yield data[step * start : step * min(start + at_once, count) + shared]


def _bands_of(data: Tensor, axes: Sequence[int]) -> dict[str, Tensor]:
    """Means (m) and details (d) by a letter for each axis."""
    bands = {"": data}
    for count, axis in enumerate(axes, start=1):
        bands = {
            name + letter: _halved(band, axis, taps)
            for name, band in bands.items()
            for letter, taps in (("m", _MEANS), ("d", _DETAILS))
            if (name + letter).count("m") in (0, 1, count)
        }
    return bands


def _halved(data: Tensor, axis: int, taps: Sequence[float]) -> Tensor:
    """Every second sample, along an axis, of a convolution, as far as it lies inside the image.

    `pywt.dwt` without its borders, in a fifth of the time.
    """
    lines = data.movedim(axis, 0)
    n = (len(lines) - len(taps)) // 2 + 1
    halved = torch.zeros_like(lines[:n])
    for i, tap in enumerate(taps):
        halved += lines[i : i + 2 * n - 1 : 2] * tap
    return halved.movedim(0, axis)


def _with_neighbours(image: Tensor, combine: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    """What a voxel and its neighbours come to, axis by axis; the border is repeated outside."""
    for axis in range(3):
        n = image.shape[axis]
        inner = image.narrow(axis, 0, n - 1), image.narrow(axis, 1, n - 1)
        before = torch.cat((image.narrow(axis, 0, 1), inner[0]), axis)
        after = torch.cat((inner[1], image.narrow(axis, n - 1, 1)), axis)
        image = combine(before, image, after)
    return image


def _least(before: Tensor, at: Tensor, after: Tensor) -> Tensor:
    return torch.minimum(torch.minimum(before, at), after)


def _mean(before: Tensor, at: Tensor, after: Tensor) -> Tensor:
    return ((before.double() + at + after) / 3).float()


def _any(before: Tensor, at: Tensor, after: Tensor) -> Tensor:
    return before | at | after


def _roughness(mean: Tensor) -> Tensor:
    """By how much means differ from their neighbours, around each."""
    squares = torch.zeros_like(mean)
    for axis in range(3):
        if mean.shape[axis] > 1:
            [slope] = torch.gradient(mean, dim=axis)
            squares += slope**2
    return _with_neighbours(squares, _mean)


def _masked(data: Tensor, mean: Tensor, rounding: float) -> Tensor:
    """Where the image has the value of most of its corners, whatever that is, and next to it."""
    i, j, k = (max(n - 1, 1) for n in data.shape)
    corners = data[::i, ::j, ::k]
    corners = corners.expand([2] * 3)  # a plane alone is its own opposite
    values, times = torch.unique(corners, return_counts=True)
    if int(times.max()) <= 4:
        return torch.zeros_like(mean, dtype=torch.bool)
    background = (mean - values[times.argmax()]).abs() <= rounding
    return _with_neighbours(background, _any)


def _beyond_anatomy(finest: Tensor, coarser: list[Tensor], chosen: Tensor) -> float:
    """Standard deviation of white noise in the chosen details."""
    if not chosen.any():
        return 0.0
    power, *more = (
        float(Ordered.of(band[chosen].abs()).median / MEDIAN_OF_NORMAL) ** 2
        for band in (finest, *coarser)
    )
    if more:
        power = (power - _ANATOMY * float(np.mean(more))) / (1 - _ANATOMY)
    return max(power, 0.0) ** 0.5
