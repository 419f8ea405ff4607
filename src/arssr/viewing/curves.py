"""What a picture does not show: the course of intensities, their spectrum, their distribution."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from arssr.grid import Floats, Grid
from arssr.viewing.display import Plane, every_nth, magnitude

_PROFILE_MM = 16.0
_SPECTRUM_VOXELS = 256  # per axis, around the centre: enough frequencies, and bounded memory


class Curve(NamedTuple):
    """x and y of one line."""

    x: Floats
    y: Floats


class Line(NamedTuple):
    """A straight line in a plane of a volume: its middle voxel and its ends, all (i, j, k)."""

    centre: tuple[int, int, int]
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    length_mm: float


def edge_line(
    reference: NDArray[np.float32],
    interest: NDArray[np.float32],
    mask: NDArray[np.bool_],
    grid: Grid,
    plane: Plane,
) -> Line:
    """A line across a strong edge of the reference, in a slice of `plane`, where `interest` is.

    It follows the intensity gradient. It keeps inside the object (`mask`) as far as can be, and
    its length is at most half the shorter side of the plane.
    """
    axes = (plane.across, plane.up)
    spacing = grid.spacing_mm
    length = min(_PROFILE_MM, *(float(grid.extent_mm[axis]) / 2 for axis in axes))
    step, chosen = every_nth(reference), [slice(None)] * 3
    chosen[plane.normal] = slice(None, None, step)
    slices = reference[tuple(chosen)] / magnitude(reference)
    gradient = [
        ndimage.gaussian_filter1d(ndimage.gaussian_filter1d(slices, 1.0, a, order=1), 1.0, b)
        / np.float32(spacing[a])
        for a, b in (axes, axes[::-1])
    ]
    size = [1, 1, 1]
    for axis in axes:
        size[axis] = max(1, round(length / float(spacing[axis])))
    smoothing = [float(axis in axes) for axis in range(3)]
    score = np.hypot(*gradient)
    solid = mask[tuple(chosen)].astype(np.float32)
    score *= ndimage.gaussian_filter(interest[tuple(chosen)] * solid, smoothing)
    score *= ndimage.uniform_filter(solid, size) ** 4
    inside = tuple(
        slice(s // 2, max(s // 2 + 1, n - s // 2)) for s, n in zip(size, score.shape, strict=True)
    )
    best = np.unravel_index(int(np.argmax(score[inside])), score[inside].shape)
    at = [int(b) + side.start for b, side in zip(best, inside, strict=True)]
    slope = np.array([float(component[tuple(at)]) for component in gradient])
    steepness = float(np.hypot(*slope))
    direction = slope / steepness if steepness else np.array([1.0, 0.0])
    at[plane.normal] *= step
    half = np.zeros(3)
    half[list(axes)] = direction * length / 2 / spacing[list(axes)]
    start, end = (at - half).tolist(), (at + half).tolist()
    return Line((at[0], at[1], at[2]), tuple(start), tuple(end), length)


def profile(data: NDArray[np.float32], line: Line, linear: bool = True) -> Curve:
    """Intensities along a line over mm from its middle; linear between voxels, or as blocks."""
    points = np.linspace(line.start, line.end, 1 + round(line.length_mm / 0.1))
    values = ndimage.map_coordinates(data, points.T, order=int(linear), mode="nearest")
    return Curve(np.linspace(-line.length_mm / 2, line.length_mm / 2, len(points)), values)


def radial_power_spectrum(data: NDArray[np.float32], grid: Grid) -> Curve:
    """Mean power of the 3D spectrum over the spatial frequency in cycles/mm, in all directions.

    Up to the lowest Nyquist frequency of the three axes, so that every shell is whole. Of the
    middle of the volume (256 voxels an axis at most), its mean removed and its borders faded
    out by a Hann window.
    """
    middle = tuple(
        slice(max(0, (n - _SPECTRUM_VOXELS) // 2), (n + _SPECTRUM_VOXELS) // 2) for n in data.shape
    )
    peak = magnitude(data)  # squares of huge and of tiny values are no float32
    part = data[middle] / peak
    part -= part.mean(dtype=np.float64).astype(np.float32)
    for axis, n in enumerate(part.shape):
        fade = np.hanning(n + 2)[1:-1].astype(np.float32)
        part *= fade.reshape([-1 if a == axis else 1 for a in range(3)])
    power = np.square(np.abs(fft.rfftn(part))) / part.size
    mm = grid.spacing_mm
    i, j = (fft.fftfreq(n, d) for n, d in zip(part.shape[:2], mm[:2], strict=True))
    k = fft.rfftfreq(part.shape[2], mm[2])
    frequency = np.sqrt(i[:, None, None] ** 2 + j[:, None] ** 2 + k**2)
    both_sides = np.full(len(k), 2.0)  # rfftn leaves out the mirror images …
    both_sides[0] = 1.0  # … of all but the plane of zero frequency
    n_shells = max(2, min(min(part.shape) // 2, 100))
    limit = 0.5 / float(mm.max())
    shell = np.floor(frequency / limit * n_shells).astype(np.int32).ravel()
    weight = np.broadcast_to(both_sides, power.shape).ravel()
    total = np.bincount(shell, weight * power.ravel(), n_shells)[:n_shells]
    count = np.bincount(shell, weight, n_shells)[:n_shells]
    centres = (np.arange(n_shells) + 0.5) * limit / n_shells
    filled = count > 0
    return Curve(centres[filled], total[filled] / count[filled] * float(peak) ** 2)


def histogram(
    data: NDArray[np.float32], mask: NDArray[np.bool_], edges: NDArray[np.float64]
) -> Curve:
    """Share of the object's voxels, in per cent, in each bin between `edges`."""
    inside = data[mask] if mask.any() else data
    counts, _ = np.histogram(inside, edges)
    return Curve((edges[:-1] + edges[1:]) / 2, 100 * counts / inside.size)
