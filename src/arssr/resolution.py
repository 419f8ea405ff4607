"""The true resolution of a scan: which part of the band that is stored was really measured.

A file may be finer than the measurement that it holds. Scanners fill k-space with zeros, most
often in the planes of 2D scans; pipelines interpolate and smooth. The voxel size tells nothing of
that, the spectrum does: lines through the object, averaged, have power that falls with frequency
as anatomy does, and whatever cuts, smooths or drowns it shows as a departure from that.

Frequencies are shares of the stored band: 1 is the Nyquist frequency, half a cycle per voxel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from arssr.degradation import KSpace, low_resolution_positions
from arssr.grid import Floats, Grid
from arssr.interpolation import apply_axis_matrices
from arssr.volume import Volume

if TYPE_CHECKING:
    from torch import Tensor

Ending = Literal["full", "sharp", "slow", "noise", "unknown"]

FREQUENCIES: Floats = np.linspace(0, 1, 257)

# Lines: how many are taken, and how many looked at for each of these.
_LINES, _SPARE = 1500, 3
_SHORTEST = 28  # samples in a line; fewer resolve no edge to within a tenth of the band
_OBJECT = 0.1  # of the 99th percentile: what is darker is air
_GAP = 0.08  # of a line: darkness inside the object (ventricles, sinuses) that does not end it

# Anatomy: native 3D scans fall by 16 to 22 dB from a tenth of the Nyquist frequency to the whole.
_REFERENCE = 0.1
_DB_PER_DECADE = 18.0
# Power that counts as none, of that at the reference: far below what 8 bits leave of a scan (-48
# dB), and above the side lobes of the window.
_NOTHING = 1e-6

# An edge. Cut native scans fall by 15 to 30 dB, filters of scanners (Fermi, Hann) by 10 to 14.
_EDGE_DB = 7.0  # least fall, beyond that of anatomy, over ...
_EDGE_WIDTH = 0.15  # ... this share of the edge's own frequency
_FOOT_OFFSET = 0.8  # main lobes from an edge to where its fall ends
_DEEP_DB = 25.0  # a deeper fall ends later only because the window's main lobe is wider there
_FOOT = 0.2  # the fall ends where it is only so steep as at its steepest
# How badly smoothing explains an edge: brick walls by 1.7 to 5 dB, filters of scanners 0.6 to 0.9
# at a width of 0.02, smooth phantoms up to 0.5 at 0.03, 0.7 at 0.06 and 1.1 at 0.13.
_MISFIT_DB, _MISFIT_PER_WIDTH = 0.5, 6.0
_ENOUGH = 8  # frequencies, to judge that
_RISE_DB = 4.0  # linear interpolation has zeros and comes back behind them
_STEEPEST_ANATOMY = 30.0  # dB from 0.1 to 0.7 of the measured band; 28 under a full Hamming filter
_LEAST_SHARE = 0.25
# An edge or a fading beyond this is the roll-off that scanners give native scans (at 0.92 to 1).
_WORTH_CUTTING = 0.9

# How far below a native spectrum one is called soft; these reach -6 at 0.7 and -9 at 0.85.
_SOFT_DB, _SOFT_SPREAD_DB = 10.0, 4.0
SOFT = 0.8
_LOST = 0.55  # without any noise the last 4 dB of a native spectrum begin at 0.68


@dataclass(frozen=True)
class AxisResolution:
    """What the spectrum along one axis tells.

    share: of the stored band, how much was measured, in (0, 1]; low, high: where it surely lies.
    ending: `full`: measured up to the end of the stored band; `sharp`: ends at an edge, as after
        zero filling; `slow`: fades earlier than anatomy does (smoothing, interpolation); `noise`:
        fades into noise, and how far it was measured cannot be told; `unknown`: too few samples.
    drop_db: how far the power falls at the edge, beyond what anatomy does; 0 where there is none.
    floor: standard deviation, in units of the image, of white noise with the least power found.
    power_db: (257,) power at `FREQUENCIES` in dB of that at 0.1; empty where unknown.
    """

    spacing_mm: float
    share: float = 1.0
    low: float = 0.0
    high: float = 1.0
    ending: Ending = "unknown"
    drop_db: float = 0.0
    floor: float = 0.0
    power_db: Floats = field(default_factory=lambda: np.empty(0), repr=False, compare=False)

    @property
    def measured_mm(self) -> float:
        """The voxel length that would hold what was measured."""
        return self.spacing_mm / max(self.share, FREQUENCIES[1])

    def in_words(self) -> str:
        """The verdict as a person reads it."""
        share = f"{100 * self.share:.0f} % of the stored band"
        sure = f"between {100 * self.low:.0f} and {100 * self.high:.0f} %"
        match self.ending:
            case "sharp":
                filled = "zero-filled" if self.is_zero_filled else "perhaps zero-filled"
                return f"{filled}: {share} measured ({sure}), voxels of {self.measured_mm:.3g} mm"
            case "slow":
                return (
                    f"fades slowly, as after smoothing or interpolation: {share} ({sure}) has "
                    f"detail, as voxels of {self.measured_mm:.3g} mm"
                )
            case "noise":
                return f"beyond {share} there is more noise than detail"
            case "full":
                return f"measured on its voxels of {self.spacing_mm:.3g} mm"
            case "unknown":
                return "too few samples inside the object to tell"

    def describe(self) -> dict[str, Any]:
        """The verdict as plain values, without the spectrum."""
        return {
            "in_words": self.in_words(),
            "ends": self.ending,
            "share_of_stored_band": round(self.share, 3),
            "between": [round(self.low, 3), round(self.high, 3)],
            "measured_mm": round(self.measured_mm, 4),
            "drop_db": round(self.drop_db, 1),
            "floor": float(f"{self.floor:.4g}"),
        }

    @property
    def is_zero_filled(self) -> bool:
        """Surely stored finer than it was measured, with an edge at which to cut."""
        return self.ending == "sharp" and self.high < _WORTH_CUTTING

    @property
    def is_soft(self) -> bool:
        """Fades so early that its detail is no truth to learn from."""
        return self.ending == "slow" and self.high < SOFT


@dataclass(frozen=True)
class Resolution:
    """The resolution along each axis of a scan."""

    axes: tuple[AxisResolution, AxisResolution, AxisResolution]

    @property
    def share_ijk(self) -> tuple[float, ...]:
        """The measured share of the stored band along each axis."""
        return tuple(axis.share for axis in self.axes)

    def describe(self) -> dict[str, Any]:
        """What was measured along each axis, by its name, as plain values."""
        return {name: axis.describe() for name, axis in zip("ijk", self.axes, strict=True)}


def measure_resolution(volume: Volume) -> Resolution:
    """The resolution of a scan along each of its axes, from its samples alone."""
    step = max(1, volume.data.size // 2**20)
    bright = float(np.percentile(volume.data.ravel(order="K")[::step], 99))
    i, j, k = (
        _measure_axis(np.moveaxis(volume.data, axis, -1), _OBJECT * bright, float(mm))
        for axis, mm in enumerate(volume.grid.spacing_mm)
    )
    return Resolution((i, j, k))


def cut_to_band(volume: Volume, resolution: Resolution) -> Volume:
    """The scan at the voxels that were measured, where it was stored on finer ones."""
    return at_band(volume, band_grid(volume.grid, resolution))


def band_grid(grid: Grid, resolution: Resolution) -> Grid:
    """The grid of the same field of view whose band holds all that was measured, and no more.

    Only axes that are surely zero-filled change.
    """
    shape = [
        int(np.ceil(axis.high * n - 1e-9)) if axis.is_zero_filled else n
        for n, axis in zip(grid.shape, resolution.axes, strict=True)
    ]
    return grid if tuple(shape) == grid.shape else grid.with_shape(shape)


def at_band(volume: Volume, grid: Grid) -> Volume:
    """The scan on a grid of the same field of view whose band is no wider: its k-space, cut."""
    if grid == volume.grid:
        return volume
    from arssr.on_device import samples_on

    return volume.with_data(cut_samples(samples_on(volume.data), grid.shape).numpy(), grid)


def cut_samples(samples: "Tensor", shape: Sequence[int]) -> "Tensor":
    """Samples (I, J, K) on no more voxels in the same field of view: what `at_band` makes of them,
    on their device.
    """
    if tuple(samples.shape) == tuple(shape):
        return samples
    matrices = []
    for n_in, n_out in zip(samples.shape, shape, strict=True):
        matrix = np.eye(n_in)
        if n_out < n_in:
            positions = low_resolution_positions(n_out, n_in / n_out)
            matrix = KSpace().axis_matrix(n_in, positions, n_in / n_out)
        matrices.append(samples.new_tensor(matrix))
    return apply_axis_matrices(samples, matrices)


# --- the spectrum along an axis ------------------------------------------------------------------


def _measure_axis(lines_last: NDArray[np.float32], dark: float, mm: float) -> AxisResolution:
    n = lines_last.shape[-1]
    if n < _SHORTEST:
        return AxisResolution(mm)
    step = max(1, math.isqrt(lines_last[..., 0].size // (_SPARE * _LINES)))
    lines = lines_last[::step, ::step].reshape(-1, n)
    rows, first, end = _segments(lines > dark)
    if not len(rows):
        return AxisResolution(mm)
    power = _mean_power(lines[rows], first, end)
    reference = float(np.interp(_REFERENCE, FREQUENCIES, power))
    if not reference > 0:
        return AxisResolution(mm)
    s = 10 * np.log10(power / reference + _NOTHING)
    width = 4 / float(np.median(end - first))
    floor = float(np.sqrt(power[FREQUENCIES > 0.1].min()))
    return _judged(s, width, floor, mm)


def _segments(bright: NDArray[np.bool_]) -> tuple[NDArray[np.intp], ...]:
    """Lines (M, n) that cross most of the object: (L,) their numbers, and where the longest part
    of each that is inside the object begins and ends.

    What lies outside is left out for its borders: a mask put on after interpolation has edges
    that fill the whole band again.
    """
    gap = max(1, int(_GAP * bright.shape[1]))
    line, at = np.nonzero(bright)
    is_last = np.append((np.diff(line) > 0) | (np.diff(at) > gap), True)[: len(at)]
    end, line = at[is_last] + 1, line[is_last]
    first = at[np.roll(is_last, 1)]
    longest = np.lexsort((first, first - end, line))
    line, chosen = np.unique(line[longest], return_index=True)
    first, end = first[longest[chosen]], end[longest[chosen]]
    lengths = end - first
    if not len(lengths):
        return line, first, end
    long = np.flatnonzero(lengths >= max(_SHORTEST, 0.6 * np.percentile(lengths, 95)))
    taken = long[:: max(1, len(long) // _LINES)]
    return line[taken], first[taken], end[taken]


def _mean_power(
    lines: NDArray[np.float32], first: NDArray[np.intp], end: NDArray[np.intp]
) -> Floats:
    """Mean power (257,) at `FREQUENCIES` of parts of lines (L, n), Hann-windowed; of white noise:
    its variance.
    """
    n = lines.shape[1]
    padded = max(512, 2 ** int(np.ceil(np.log2(n))))
    length = end - first
    phase = (np.arange(n) - first[:, None] + 1) / (length[:, None] + 1)
    window = np.where((phase > 0) & (phase < 1), 0.5 - 0.5 * np.cos(2 * np.pi * phase), 0)
    window /= np.linalg.norm(window, axis=1, keepdims=True)
    mean = (lines * window).sum(axis=1) / window.sum(axis=1)
    windowed = (lines - mean[:, None]) * window
    power = (np.abs(np.fft.rfft(windowed, padded)) ** 2).mean(axis=0)
    return np.interp(FREQUENCIES, np.linspace(0, 1, len(power)), power)


# --- what it means -------------------------------------------------------------------------------


def _judged(s: Floats, width: float, floor: float, mm: float) -> AxisResolution:
    """The verdict on a spectrum `s` in dB.

    width: half the width of the window's main lobe, in shares of the band.
    """
    found: dict[str, Any] = {"floor": floor, "power_db": s}
    if edge := _edge(s, width):
        share, drop = edge
        slack = max(0.6 * width, 0.015)
        return AxisResolution(mm, share, share - slack, share + slack, "sharp", drop, **found)
    soft = _soft_from(s, _SOFT_DB)
    if soft < _WORTH_CUTTING:
        low, high = (_soft_from(s, _SOFT_DB + more) for more in (-_SOFT_SPREAD_DB, _SOFT_SPREAD_DB))
        return AxisResolution(mm, soft, low, high, "slow", **found)
    lost = _lost_in_noise(s)
    if lost < _LOST:
        return AxisResolution(mm, lost, lost, 1.0, "noise", **found)
    return AxisResolution(mm, 1.0, _WORTH_CUTTING, 1.0, "full", **found)


def _soft_from(s: Floats, db: float) -> float:
    """The frequency from which on a spectrum lies this far below a native one; 1 if none."""
    sound = np.flatnonzero(_native(FREQUENCIES) - s <= db)
    return float(FREQUENCIES[min(sound[-1] + 1, len(s) - 1)])


def _native(f: Any) -> Any:
    """Power in dB at a frequency of an image that was measured as it is stored."""
    return -_DB_PER_DECADE * np.log10(np.maximum(f, 1e-3) / _REFERENCE)


def _at(s: Floats, f: Any) -> Any:
    return np.interp(f, FREQUENCIES, s)


def _edge(s: Floats, width: float) -> tuple[float, float] | None:
    """Where a spectrum ends sharply (share of the band) and by how many dB; None if nowhere."""
    f = FREQUENCIES[FREQUENCIES >= _LEAST_SHARE]
    reach = np.maximum(_EDGE_WIDTH * f, 2.2 * width)
    before = _at(s, f - reach) - _at(s, f) - (_native(f - reach) - _native(f))
    beyond = np.minimum(f + reach, 1)
    after = _at(s, f) - _at(s, beyond) - (_native(f) - _native(beyond))
    knee = before - 1.5 * np.maximum(after, 0)
    best = int(np.argmax(knee))
    if knee[best] < _EDGE_DB:
        return None
    # the foot of the fall: where it goes on a fifth as steeply as at its steepest
    fall = _at(s, f) - _at(s, np.minimum(f + width, 1))
    before_best = (f >= f[best] - reach[best]) & (f <= f[best])
    steepest = int(np.argmax(np.where(before_best, fall, -np.inf)))
    deepest = _at(s, f[steepest] - 1.5 * width) - _DEEP_DB
    fall = np.maximum(_at(s, f), deepest) - np.maximum(_at(s, np.minimum(f + width, 1)), deepest)
    foot = steepest + int(np.argmax(fall[steepest:] < _FOOT * fall[steepest]))
    share = float(f[foot] - _FOOT_OFFSET * width)
    drop = float(before[foot])
    if drop < _EDGE_DB or not _LEAST_SHARE <= share < _WORTH_CUTTING:
        return None
    is_end = s[int(256 * f[foot]) + 1 :].max() < _at(s, f[foot]) + _RISE_DB
    is_anatomy = _at(s, 0.1 * share) - _at(s, 0.7 * share) < _STEEPEST_ANATOMY
    is_sharp = _misfit(s, float(f[foot]), width) > _MISFIT_DB + _MISFIT_PER_WIDTH * width
    return (share, drop) if is_end and is_anatomy and is_sharp else None


def _misfit(s: Floats, foot: float, width: float) -> float:
    """How badly smoothing would explain a fall that ends at `foot`: root mean square in dB.

    Smoothing takes c f^p dB off the power law of anatomy: p is 2 for a Gaussian, and little more
    for kernels that interpolate.
    """
    beyond = int(256 * min(foot + 1.5 * width, 0.99))
    floor = 10 ** (s[beyond:].min() / 10)
    part = slice(int(256 * 0.4 * foot), int(256 * (foot + width)) + 1)
    f, power = FREQUENCIES[part], 10 ** (s[part] / 10)
    above = power > 2 * floor
    f, level = f[above], 10 * np.log10(power[above] - floor)
    if len(f) < _ENOUGH:
        return 0.0
    misfits = []
    for p in (1, 2, 3, 4):
        shapes = np.stack([np.ones_like(f), np.log10(f), f**p], axis=1)
        left = level - shapes @ np.linalg.lstsq(shapes, level, rcond=None)[0]
        misfits.append(float(np.sqrt(np.mean(left**2))))
    return min(misfits)


def _lost_in_noise(s: Floats) -> float:
    """The frequency from which on there is no more than twice the power that the end has."""
    above = np.flatnonzero(s > s[FREQUENCIES > 0.9].mean() + 3)
    return float(FREQUENCIES[above[-1]]) if len(above) else 0.0
