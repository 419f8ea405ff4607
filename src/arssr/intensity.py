"""The intensities a network sees: about 0 to 1."""

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pywt  # type: ignore[import-untyped]
from numpy.typing import NDArray

from arssr.errors import ArSSRError

if TYPE_CHECKING:
    from torch import Tensor

# The darkest and the brightest 0.05 % (spikes, vessels, fat) do not decide the range.
_FEWEST = 0.0005
# Nor do the extreme 5 % of the object where they lie more widths of the rest beyond it than these:
# metal, inflow, fits that ran away. On 100 real scans, whole, as thick slices, with noise of 3 and
# 8 % or in eight times as much air, no range ends farther than that; of 1600 cut-outs of 64 and 32
# voxels two do. For a range twice too large `light` has up to 1.01 times the error on real images
# (1.34 times on the k-space of a phantom); from 4 to 20 times on it is worse than cubic.
_EXTREMES = 0.05
_LONGEST_TAIL = 2.0
# Where a range ends if what lies beyond is infinitely far.
_SHORTEST_TAIL = 0.1
# What differs from the background by more standard deviations of the noise is no noise; and of
# noise alone the extreme 0.2 % are left out.
_NOISE_REACH = 4.0
_FEW = 0.002
# How deep ringing reaches below 0, as a share of the range; what is darker is meant.
_RINGING = 0.2
# Percentiles of more voxels than this are taken from every n-th: they differ by nothing that
# matters, and a large image need not be sorted.
_ENOUGH_VOXELS = 2**24
# What is less changes no sum in float32. Four such factors (a sample, and a weight of an
# interpolation for each axis) are no subnormal float32 yet.
NOTHING = 1e-9
_WAVELET = pywt.Wavelet("db2")
# Wavelet details smaller than this are constant background seen through float32, not noise.
_NO_DETAIL = 1e-5
MEDIAN_OF_NORMAL = 0.6744897501960817  # the median of |x| for x ~ N(0, 1)


@dataclass(frozen=True)
class Normalisation:
    """An affine change of intensities that can be undone: normalised = (x − offset) / scale.

    Both constants are rounded to float32, so that `apply` and `invert` round only once a step.
    set_by_few: whether it was fitted to an image of which, without 0.2 % of the voxels at each
    end, less than half of the range would be left.
    Raises ArSSRError where they are not finite or `scale` is not above 0.

    >>> normalisation = Normalisation(offset=-1000, scale=4000)
    >>> normalisation.apply(np.array([-1000.0, 1000.0, 3000.0]))
    array([0. , 0.5, 1. ], dtype=float32)
    >>> normalisation.invert(np.array([0.5]))
    array([1000.], dtype=float32)
    """

    offset: float
    scale: float
    set_by_few: bool = field(default=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):
            offset, scale = float(np.float32(self.offset)), float(np.float32(self.scale))
        if not (np.isfinite(offset) and np.isfinite(scale) and scale > 0):
            raise ArSSRError(
                "intensities can only be normalised by a finite offset and a finite scale above "
                f"0, not by {self.offset:g} and {self.scale:g}"
            )
        object.__setattr__(self, "offset", offset)
        object.__setattr__(self, "scale", scale)

    @classmethod
    def identity(cls) -> "Normalisation":
        """Leaves every value as it is."""
        return cls(offset=0.0, scale=1.0)

    @classmethod
    def fit(
        cls, data: "NDArray[np.floating] | Tensor", label: str = "the image"
    ) -> "Normalisation":
        """Takes the 0.05th and 99.95th percentile of the data to 0 and 1.

        Where these coincide (an object in less than a thousandth of the image), the least and the
        greatest value. An end far beyond nearly all of the object (metal, inflow, fits that ran
        away) is drawn towards it. Slightly negative values are ringing below an air level of 0,
        which stays 0. Of a tensor that is found on its device. Raises ArSSRError, naming `label`,
        for an empty or constant image and for NaN or infinite values.
        """
        if not math.prod(data.shape):
            raise ArSSRError(f"{label}: there are no voxels")
        lowest, highest = float(data.min()), float(data.max())  # NaN if there is one
        if not (np.isfinite(lowest) and np.isfinite(highest)):
            raise ArSSRError(f"{label}: there are NaN or infinite values")
        if lowest == highest:
            raise ArSSRError(f"{label}: constant, every voxel is {lowest:g}")
        samples = Ordered.of(data)
        low, high = samples.percentiles(_FEWEST)
        if low == high:
            low, high = lowest, highest
        bulk = _Bulk.of(samples)
        if bulk.width and bulk.drawn_in(low, high) != (low, high):  # or it is not worth the time
            unit = cls(offset=bulk.bottom, scale=bulk.width)
            image = data if isinstance(data, np.ndarray) else data.cpu().numpy()
            noise = finest_detail(unit.apply(image).clip(0, 1))  # not of what lies beyond
            bulk = _Bulk.of(samples, bulk.width * noise)
        low = bulk.air(low, high)
        low, high = bulk.drawn_in(low, high)
        low = bulk.air(low, high)
        few_low, few_high = samples.percentiles(_FEW)
        return cls(low, high - low, set_by_few=few_high - few_low < (high - low) / 2)

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


def plain_rule() -> dict[str, Any]:
    """What `Normalisation.fit` does to an image without voxels far beyond the rest, as plain
    values for other programs: percentiles that become 0 and 1, and the depth of ringing.
    """
    few = 100 * _FEWEST
    return {
        "percentiles": [few, 100 - few],
        "ringing": _RINGING,
        "in_words": "normalised = (x - low) / (high - low), where low and high are these "
        "percentiles of all voxels; low is 0 instead where it lies between -ringing * high and 0",
    }


@dataclass(frozen=True)
class _Bulk:
    """The intensities of nearly all of the object, and of the background."""

    bottom: float
    top: float

    @classmethod
    def of(cls, samples: "Ordered", noise: float = 0.0) -> "_Bulk":
        """Without the darkest and the brightest 5 % of the object.

        The object is what differs from the median, the background of a small one, by more than
        noise of this standard deviation.
        """
        share = _EXTREMES * samples.differing(_NOISE_REACH * noise)
        return cls(*samples.percentiles(max(share, _FEW * samples.differing(0.0))))

    @property
    def width(self) -> float:
        """From bottom to top."""
        return self.top - self.bottom

    def air(self, low: float, high: float) -> float:
        """The lower end of a range: 0 where what is darker can only be ringing."""
        meant = self.bottom < -_RINGING * self.top
        return 0.0 if not meant and -_RINGING * high < low < 0 else low

    def drawn_in(self, low: float, high: float) -> tuple[float, float]:
        """The ends of a range, nearer where they lie far from the bulk.

        The farther, the nearer: so they depend on the image continuously, and less and less on
        how bright the brightest are.
        """

        def end(at: float, edge: float) -> float:
            tail = (at - edge) / self.width
            if abs(tail) <= _LONGEST_TAIL:
                return at
            spare = (_LONGEST_TAIL - _SHORTEST_TAIL) * (_LONGEST_TAIL / tail) ** 2
            return edge + self.width * math.copysign(_SHORTEST_TAIL + spare, tail)

        return (end(low, self.bottom), end(high, self.top)) if self.width else (low, high)


@dataclass(frozen=True)
class Ordered:
    """Samples (n,) float32 in ascending order, in which what is asked about them is looked up.

    Sorting all of them once takes no longer than a pair of percentiles (numpy 2.4 with AVX-512).
    """

    samples: "NDArray[np.float32] | Tensor"

    @classmethod
    def of(cls, data: "NDArray[np.floating] | Tensor") -> "Ordered":
        """Those of an image, or of every n-th of its voxels; a tensor's on its device."""
        step = -(-math.prod(data.shape) // _ENOUGH_VOXELS)
        if not isinstance(data, np.ndarray):
            if data.device.type != "cpu":
                return cls(data.flatten()[::step].sort().values)
            data = data.numpy()
        samples = data.ravel(order="K")[::step].astype(np.float32)
        samples.sort()
        return cls(samples)

    def percentiles(self, share: float) -> tuple[float, float]:
        """The values below and above which this share of the samples lies."""
        return self.at(share), self.at(1 - share)

    def differing(self, distance: float) -> float:
        """The share of the samples that differ from the median by more than this."""
        median, reach = self.median, np.float32(distance)

        def sample(place: int) -> float:
            return float(self.samples[place])

        places = range(self._n)
        first = bisect_left(places, float(median - reach), key=sample)
        end = bisect_right(places, float(median + reach), key=sample)
        return 1 - (end - first) / self._n

    @property
    def median(self) -> np.float32:
        """`numpy.median` of the samples."""
        return self._some((self._n - 1) // 2, self._n // 2 + 1).mean()

    def at(self, share: float) -> float:
        """The value below which this share of the samples lies, as `numpy.quantile` has it."""
        place = share * (self._n - 1)
        first = min(int(place), max(self._n - 2, 0))
        return float(np.quantile(self._some(first, first + 2), [place - first])[0])

    @property
    def _n(self) -> int:
        return len(self.samples)

    def _some(self, first: int, end: int) -> NDArray[np.float32]:
        return np.array([float(x) for x in self.samples[first:end]], np.float32)


def finest_detail(data: NDArray[np.float32]) -> float:
    """Standard deviation of the finest detail in a normalised 3D image; 0 below 4 voxels an axis.

    Of object and background alike, so that it separates them; the noise of a scan, which is that
    of its tissue, is `noise.estimate_noise`. The median absolute wavelet detail, along all three
    axes at the finest scale (Donoho and Johnstone 1994, doi:10.1093/biomet/81.3.425). What
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
    return float(np.median(magnitude)) / MEDIAN_OF_NORMAL if magnitude.size else 0.0


def beyond(noise: float, usual: float) -> float:
    """What independent noise adds to the usual: the root of the difference of squares, or 0.

    >>> beyond(5, 3), beyond(1, 3)
    (4.0, 0.0)
    """
    return math.sqrt(max(noise**2 - usual**2, 0.0))
