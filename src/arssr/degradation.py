"""How a low-resolution scan arises from a high-resolution one.

Each acquisition is linear and separable: along an axis it is a matrix (n_out, n_in) that maps
high-resolution voxels to the low-resolution voxels centred at given positions. The same matrices
serve training (on patches) and evaluation (on whole volumes). Noise comes after.

An axis whose scale is 1 keeps its samples. With an isotropic scale the `slice` profile acts along
all three axes: a voxel that averages over its own extent in every direction.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from arssr.errors import ArSSRError
from arssr.grid import Floats, Grid
from arssr.interpolation import along_axes, axis_matrix, without_traces
from arssr.volume import Volume

WIDEST_GAP = 0.9  # between slices, as a share of their distance: thinner slices are samples
_FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))


def low_resolution_positions(n_out: int, scale: float) -> Floats:
    """Centres of `n_out` voxels, each `scale` voxels long, counted from the first voxel's edge.

    >>> low_resolution_positions(3, 2.0)
    array([0.5, 2.5, 4.5])
    """
    return (np.arange(n_out, dtype=np.float64) + 0.5) * scale - 0.5


class Degradation(Protocol):
    """One axis of an acquisition."""

    @property
    def name(self) -> str:
        """The acquisition, as `--acquisition` names it."""
        ...

    def axis_matrix(self, n_in: int, positions: Floats, scale: float) -> Floats:
        """Matrix (n_out, n_in): what voxels of length `scale` centred at `positions` measure."""
        ...


@dataclass(frozen=True)
class Spline:
    """Cubic-spline resampling without anti-aliasing: the paper's (Wu et al. 2022, section IV-A).

    `aligned_corners` is the reference program's variant, `scipy.ndimage.zoom` with its defaults:
    the outer voxel *centres* coincide, so voxels are misplaced by up to (k - 1)/2 at the faces.
    It needs the positions of a whole axis.
    """

    aligned_corners: bool = False
    name: str = "spline"

    def axis_matrix(self, n_in: int, positions: Floats, scale: float) -> Floats:
        """See `Degradation.axis_matrix`."""
        if self.aligned_corners:
            # what the default mode does, without the zero that rounding leaves it at some far ends
            factors = (len(positions) / n_in, 1)
            return without_traces(ndimage.zoom(np.eye(n_in), factors, order=3, mode="mirror"))
        return axis_matrix("cubic", n_in, positions)


@dataclass(frozen=True)
class KSpace:
    """A shorter 3D acquisition: only spatial frequencies below the new Nyquist limit are measured.

    `apodisation` in [0, 1] blends in a Hamming filter over the measured band (0: none).
    """

    apodisation: float = 0.0
    name: str = "kspace"

    def axis_matrix(self, n_in: int, positions: Floats, scale: float) -> Floats:
        """See `Degradation.axis_matrix`."""
        cutoff = n_in / (2 * max(scale, 1.0))
        frequency = np.arange(int(np.floor(cutoff + 1e-9)) + 1)
        weight = np.where(frequency == 0, 1.0, 2.0) / n_in
        weight[np.isclose(frequency, cutoff)] /= 2  # the Nyquist line belongs half to each side
        hamming = 0.54 + 0.46 * np.cos(np.pi * frequency / cutoff)
        weight *= 1 + self.apodisation * (hamming - 1)
        out_phase = 2 * np.pi / n_in * np.outer(positions, frequency)
        in_phase = 2 * np.pi / n_in * np.outer(frequency, np.arange(n_in))
        # cos(a - b) = cos a cos b + sin a sin b
        cosines = (np.cos(out_phase) * weight) @ np.cos(in_phase)
        return cosines + (np.sin(out_phase) * weight) @ np.sin(in_phase)


@dataclass(frozen=True)
class Slice:
    """A multi-slice scan: each sample averages over a slice profile.

    The profile's full width at half maximum is the slice thickness, `(1 - gap) * scale` voxels,
    `gap` being the share of the slice distance that no slice covers, up to `WIDEST_GAP`. The ramps
    of a trapezoid are each `ramp` of the thickness long: 0 is a box, 1 a triangle.
    """

    profile: Literal["gaussian", "trapezoid"] = "gaussian"
    gap: float = 0.0
    ramp: float = 0.2
    name: str = "slice"

    def __post_init__(self) -> None:
        if not 0 <= self.gap <= WIDEST_GAP:
            raise ArSSRError(
                f"the gap between slices must be between 0 and {WIDEST_GAP}, not {self.gap}"
            )
        if not 0 <= self.ramp <= 1:
            raise ArSSRError(f"the ramps of a slice must be between 0 and 1, not {self.ramp}")

    def axis_matrix(self, n_in: int, positions: Floats, scale: float) -> Floats:
        """See `Degradation.axis_matrix`."""
        if scale <= 1:
            return axis_matrix("cubic", n_in, positions)
        inside = np.clip(positions, -0.5, n_in - 0.5)
        offset = np.arange(n_in) - inside[:, None]
        thickness = (1 - self.gap) * scale
        if self.profile == "gaussian":
            weight = np.exp(-0.5 * (offset * _FWHM_PER_SIGMA / thickness) ** 2)
        else:  # over each voxel's length, for a thin slice may pass between the centres
            weight = _trapezoid_integral(offset + 0.5, thickness, self.ramp * thickness)
            weight -= _trapezoid_integral(offset - 0.5, thickness, self.ramp * thickness)
        return without_traces(weight / weight.sum(axis=1, keepdims=True))


def _trapezoid_integral(x: Floats, thickness: float, ramp: float) -> Floats:
    """Integral from 0 to x of a trapezoid of height 1 around 0, `thickness` wide at half height."""
    reach = np.minimum(np.abs(x), (thickness + ramp) / 2)
    on_ramp = np.maximum(reach - (thickness - ramp) / 2, 0)
    return np.sign(x) * (reach - on_ramp**2 / (2 * ramp if ramp else 1))


# Three ideal acquisitions, and after each what scanners make that is told to a network as it.
_NAMED: dict[str, Degradation] = {
    "kspace": KSpace(),
    "kspace-apodised": KSpace(apodisation=0.6),
    "slice": Slice(),
    "slice-box": Slice("trapezoid", ramp=0.0),
    "slice-trapezoid": Slice("trapezoid"),
    "slice-gap20": Slice(gap=0.2),
    "slice-trapezoid-gap25": Slice("trapezoid", gap=0.25),
    "spline": Spline(),
    "spline-aligned": Spline(aligned_corners=True),
}


def named_degradation(name: str) -> Degradation:
    """The degradation of that name. Raises ArSSRError for an unknown one."""
    try:
        return _NAMED[name]
    except KeyError:
        known = ", ".join(_NAMED)
        raise ArSSRError(f"unknown degradation {name!r}; known are {known}") from None


def acquisition_names() -> tuple[str, ...]:
    """What a network can be told of all these: it need not know profile, gap or apodisation.

    >>> acquisition_names()
    ('kspace', 'slice', 'spline')
    """
    return tuple(dict.fromkeys(degradation.name for degradation in _NAMED.values()))


def add_rician_noise(
    data: NDArray[np.float32], sigma: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Magnitude of `data` with complex Gaussian noise of standard deviation `sigma` in each part.

    (Gudbjartsson and Patz 1995, eq. 1.) float32 in and out.
    """
    real = data + sigma * generator.standard_normal(data.shape, np.float32)
    imaginary = sigma * generator.standard_normal(data.shape, np.float32)
    return np.hypot(real, imaginary)


def degrade(
    volume: Volume,
    scale: float | tuple[float, float, float],
    degradation: Degradation,
    snr: float | None = None,
    generator: np.random.Generator | None = None,
) -> Volume:
    """The low-resolution scan of `volume`, on the grid `volume.grid.scaled(1 / scale)`.

    scale: high-resolution voxels per low-resolution voxel, one or per axis, each >= 1.
    snr: mean intensity of the foreground (above a tenth of the 99.95th percentile) over the
        standard deviation of the Rician noise; None for none. Needs `generator`.
    """
    scale_ijk = np.broadcast_to(np.asarray(scale, float), 3)
    if not (np.isfinite(scale_ijk).all() and (scale_ijk >= 1).all()):
        raise ArSSRError(f"a degradation needs scales of at least 1, not {scale}")
    grid = volume.grid.scaled(tuple(1 / scale_ijk))
    data = _apply(volume.data, grid, scale_ijk, degradation)
    if snr is not None:
        if generator is None or not snr > 0:
            raise ArSSRError("noise needs a positive SNR and a random generator")
        foreground = data[data > 0.1 * np.percentile(data, 99.95)]
        if not foreground.size:
            raise ArSSRError("noise at an SNR needs an image with values above 0")
        data = add_rician_noise(data, float(foreground.mean()) / snr, generator)
    return volume.with_data(data, grid)


def _apply(
    data: NDArray[np.float32], grid: Grid, scale_ijk: Floats, degradation: Degradation
) -> NDArray[np.float32]:
    matrices = [
        degradation.axis_matrix(n_in, low_resolution_positions(n_out, k), k)
        if k > 1
        else np.eye(n_in)
        for n_in, n_out, k in zip(data.shape, grid.shape, scale_ijk, strict=True)
    ]
    return along_axes(data, matrices)
