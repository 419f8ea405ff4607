"""Results that agree with what was measured.

A scan y is what its acquisition A makes of the true image, so an image x that A does not take to y
is wrong where A can see. Of all images that agree with y, the one nearest to x differs from it
only in the range of Aᵀ: x + Aᵀ (A Aᵀ)⁻¹ (y − A x). Nothing that was not measured is altered, and
where A is the true acquisition and y has no noise, no result gets worse: this is the orthogonal
projection on a set that the truth lies in (range–null-space decomposition; Schwab et al. 2019,
doi:10.1088/1361-6420/aaf14a).

Only axes that the result refines are sampled again by A. Along the others the scan says all that
the result can show, so y is the scan brought to the result's voxels there as any image is
(`interpolation.resample`: cubic, and anti-aliased where they are coarser). Operators along
different axes commute: with C for that, an image whose A is the scan has a C whose A is C of the
scan, so that the projection is the same before and after C.

A acts axis by axis, so A Aᵀ is a Kronecker product of three small matrices. Their
eigendecompositions solve the system at once, for every amount of regularisation, in less time
than A Aᵀ takes to apply; conjugate gradients need that 4 (kspace) to 29 (slice) times at 2x.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from arssr.degradation import WIDEST_GAP, Degradation, KSpace, Slice, named_degradation
from arssr.errors import ArSSRError
from arssr.formats.slices import Slices
from arssr.grid import SAME_STEP, Floats, Grid
from arssr.interpolation import apply_axis_matrices, resampling_matrices
from arssr.measuring import Measuring
from arssr.networks import UNKNOWN
from arssr.on_device import samples_on
from arssr.volume import Volume

# Regularisation where there is no noise, as a share of the largest eigenvalue: above rounding.
# What has a smaller one counts as not measured.
_RIDGE = 1e-6
NOTHING_TO_AGREE = (
    "the result is finer than the scan along no axis, so there was nothing to make consistent"
)
_ANOTHER_FIELD = (
    "a result can only be compared with a scan of the same field of view; ask for a scale, a "
    "spacing or a shape"
)
_UNKNOWN_WAY = (
    "how the scan was made along an axis that is refined is unknown; name its acquisition"
)


class Acquisition:
    """What a scanner makes of an image on `target`: the linear operator A from there to what was
    measured, which has the scan's voxels along axes that `target` refines, else the target's.

    grid: of what was measured. as_stored: whether that is the scan as it is.
    names_ijk: kspace, slice or spline for each axis of `scan`.
    slices: those of the scan. Gaps between them are known better than any name says: their axis is
    taken for one of slices as thick as they are, unless it is named kspace.

    Raises ArSSRError where the axes of the two grids are oblique to each other, where `target`
    does not lie in the field of view, or along a finer axis has another one (by more than a
    voxel), and where the acquisition along such an axis is unknown.
    """

    def __init__(
        self, scan: Grid, target: Grid, names_ijk: Sequence[str], slices: Slices | None = None
    ) -> None:
        measured = _measured_grid(scan, target)
        to_measured = None if measured is None else resampling_matrices(scan, measured)
        lattice = None if measured is None else measured.axis_positions_in(target)
        if measured is None or to_measured is None or lattice is None:
            raise ArSSRError(
                "a result that is oblique to the scan cannot be compared with it voxel by voxel"
            )
        self.grid = measured
        self._names_ijk, self._slices = tuple(names_ijk), slices
        self._to_measured = [torch.from_numpy(m.astype(np.float32)) for m in to_measured[1]]
        self.as_stored = scan.matches(measured)
        self._axes = lattice.axes
        step = np.abs(measured.index_map_to(target)[:3, :3])
        self._matrices = [
            _axis_matrix(
                _degradation(name, slices if slices is not None and slices.axis == a else None),
                target.shape[axis],
                positions,
                float(step[axis, a]),
            )
            for a, (name, axis, positions) in enumerate(zip(names_ijk, *lattice, strict=True))
        ]

    def onto(self, target: Grid) -> "Acquisition":
        """What is measured, of that, of an image on another target. Raises ArSSRError as above."""
        return Acquisition(self.grid, target, self._names_ijk, self._slices)

    @property
    def noise_left(self) -> float:
        """The share of the standard deviation of noise that `measured` leaves of the scan's."""
        power = [float(m.double().square().sum()) / len(m) for m in self._to_measured]
        return math.sqrt(math.prod(power))

    def measured(self, scan: Tensor) -> Tensor:
        """y: the scan (I, J, K), on the target's voxels along the axes that are not refined.

        Itself where it is finer along no axis.
        """
        if self.as_stored:
            return scan
        return apply_axis_matrices(scan, [m.to(scan.device) for m in self._to_measured])

    def counted(self, scan: Tensor) -> Tensor:
        """Whether the scan's voxels behind each voxel of y hold more than its lowest value.

        There is nothing there, or a mask put zeros there, which have no noise and may be most of
        the image. True everywhere where all voxels have one value.
        """
        above = scan > scan.min()
        if not above.any():
            return ~above
        return above if self.as_stored else self.measured(above.float()) > 0.5

    def residual(self, scan: Tensor, image: Tensor) -> float:
        """Root mean square of y − A x, in units of the scan, over the voxels that are `counted`."""
        apart = (self.measured(scan) - self.measure(image))[self.counted(scan)].double()
        return float(apart.norm()) / math.sqrt(max(1, apart.numel()))

    def measure(self, image: Tensor) -> Tensor:
        """A x: what is measured (I, J, K) of an image on the target grid."""
        matrices = [m.to(image.device) for m in self._matrices]
        return apply_axis_matrices(image.permute(self._axes).contiguous(), matrices)

    def measuring(self) -> Measuring:
        """`measure` for an image that comes plane by plane."""
        return Measuring(self._axes, self._matrices)

    def spread(self, measured: Tensor) -> Tensor:
        """Aᵀ y, on the target grid."""
        back = [m.to(measured.device).mT.contiguous() for m in self._matrices]
        spread = apply_axis_matrices(measured, back)
        return spread.permute(*np.argsort(self._axes).tolist())

    def solve(self, residual: Tensor, sigma: float = 0.0, counted: Tensor | None = None) -> Tensor:
        """z = (A Aᵀ + λ)⁻¹ r, so that `spread(z)` is the correction that explains the residual.

        sigma: standard deviation of the noise in r. λ is such that noise of this size is left
        unexplained (the discrepancy principle, Morozov 1966), and next to nothing without noise.
        counted: voxels of r that have this noise; by default all.
        """
        solved = [torch.linalg.eigh(m.double() @ m.double().mT) for m in self._matrices]
        i, j, k = (values.clamp(min=0) for values, _ in solved)
        vectors = [v.float() for _, v in solved]
        power = (i[:, None, None] * j[:, None] * k).float()
        turned = apply_axis_matrices(residual, [v.mT.contiguous() for v in vectors])

        def size(left: Tensor) -> float:
            """Root mean square of a residual that is turned into eigenvectors."""
            if counted is not None and not counted.all():
                left = apply_axis_matrices(left, vectors)[counted]
            return float(left.double().square().mean().sqrt())

        ridge = _ridge(power, turned, sigma, size)
        solution = torch.zeros_like(turned)
        if ridge is not None:  # what A does not see explains nothing
            seen = power > _RIDGE * power.max()
            solution[seen] = turned[seen] / (power[seen] + ridge)
        return apply_axis_matrices(solution, vectors)


@dataclass(frozen=True)
class Consistent:
    """A result that agrees with the scan, and by how much it did not: y − A x before and after.

    Both residuals are root mean squares in units of the scan, and so is `noise`, the standard
    deviation of the scan's noise that is in y (see `Acquisition.residual`).
    """

    volume: Volume
    residual_before: float
    residual_after: float
    noise: float

    def describe(self, span: float, scan: str = "the scan") -> dict[str, Any]:
        """Plain values for a sidecar; residuals as shares of the noise, without it of `span`, the
        range of the scan's intensities. scan: what it is called.
        """
        unit, whole = ("noise", self.noise) if self.noise else ("range", span)
        before, after = self.residual_before / whole, self.residual_after / whole
        return {
            "in_words": f"residual against {scan}: {in_percent(before)} of its {unit}, "
            + ("as it may be" if before == after else f"now {in_percent(after)}"),
            "residual_before": float(f"{before:.4g}"),
            "residual_after": float(f"{after:.4g}"),
            "share_of": unit,
        }


def make_consistent(
    result: Volume, scan: Volume, acquisition_ijk: Sequence[str], sigma: float = 0.0
) -> Consistent:
    """The image nearest to `result` that the acquisition takes to what was measured.

    sigma: standard deviation of the scan's noise in its units; it is not fitted. Raises ArSSRError
    as `Acquisition` does.
    """
    acquisition = Acquisition(scan.grid, result.grid, acquisition_ijk, scan.slices)
    noise = sigma * acquisition.noise_left
    with torch.inference_mode():
        image, given = samples_on(result.data), samples_on(scan.data)
        residual = acquisition.measured(given) - acquisition.measure(image)
        explained = acquisition.solve(residual, noise, acquisition.counted(given))
        corrected = acquisition.spread(explained).add_(image)
        return Consistent(
            result.with_data(corrected.numpy(), result.grid),
            acquisition.residual(given, image),
            acquisition.residual(given, corrected),
            noise,
        )


def in_percent(share: float) -> str:
    """A share as a person reads it.

    >>> in_percent(0.0312), in_percent(1.004), in_percent(3e-7)
    ('3.1 %', '100 %', 'less than 0.01 %')
    """
    percent = 100 * share
    if percent < 0.01:
        return "less than 0.01 %"
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"


def _measured_grid(scan: Grid, target: Grid) -> Grid | None:
    """The scan's voxels along axes that `target` refines, the target's along the others.

    None where the grids are oblique to each other. Raises ArSSRError where the target goes more
    than one of its voxels beyond the scan's field of view along an axis that it does not refine.
    """
    lattice = target.axis_positions_in(scan)
    if lattice is None:
        return None
    shape, index_map = list(scan.shape), np.eye(4)
    to_scan = np.round(target.index_map_to(scan), 9)  # as in `Grid.axis_positions_in`
    for own, (axis, positions) in enumerate(zip(*lattice, strict=True)):
        step = to_scan[axis, own]
        if abs(step) < 1 - SAME_STEP:
            continue
        beyond = max(-0.5 - positions.min(), positions.max() - scan.shape[axis] + 0.5)
        if beyond > abs(step) / 2:
            raise ArSSRError(_ANOTHER_FIELD)
        shape[axis], index_map[axis, axis], index_map[axis, 3] = len(positions), step, positions[0]
    return Grid((shape[0], shape[1], shape[2]), scan.affine @ index_map)


def _degradation(name: str, slices: Slices | None) -> Degradation | None:
    """What is done along an axis of this name, or of these slices; None where that is unknown."""
    if slices is not None and slices.gap > 0 and not slices.touch and name != "kspace":
        named = Slice() if name == UNKNOWN else named_degradation(name)
        profile = named if isinstance(named, Slice) else Slice()
        return replace(profile, gap=min(slices.gap, WIDEST_GAP))
    return None if name == UNKNOWN else named_degradation(name)


def _axis_matrix(
    degradation: Degradation | None, n_in: int, positions: Floats, step: float
) -> Tensor:
    """(n_out, n_in) float32: measured voxels `step` target voxels long from the target's voxels."""
    if step <= 1 + SAME_STEP:  # the same voxels
        order = np.rint(positions).astype(int).clip(0, n_in - 1)
        return torch.eye(n_in)[order]
    start, end = positions.min() - step / 2, positions.max() + step / 2
    if max(abs(start + 0.5), abs(end - (n_in - 0.5))) > 1:
        raise ArSSRError(_ANOTHER_FIELD)
    if degradation is None:
        raise ArSSRError(_UNKNOWN_WAY)
    exact = isinstance(degradation, KSpace)
    matrix = (_k_space_matrix if exact else degradation.axis_matrix)(n_in, positions, step)
    return torch.from_numpy(matrix.astype(np.float32))


def _k_space_matrix(n_in: int, positions: Floats, step: float) -> Floats:
    """As `KSpace.axis_matrix`, where the field of view need not be a whole number of `n_in` voxels.

    The lines of k-space are periods of the scan's field of view. Of those that were measured a sum
    is fitted to the image, its samples weighted by what they stand for round the circle: the outer
    ones for more or less than a voxel. The correction gains 0.6 to 1.5 dB on three volumes whether
    the field of view fits or is 0.4 voxels off, the same to 0.2 dB (`benchmarks/consistency.py`).
    """
    n_out, period = len(positions), len(positions) * step
    last = min(n_out // 2, (n_in - 1) // 2)
    lines = np.arange(-last, last + 1)
    waves = np.exp(2j * np.pi / period * np.outer(np.arange(n_in), lines))
    stands_for = np.ones(n_in)
    for end in (0, -1):
        stands_for[end] += (period - n_in) / 2
    weighted = waves.conj().T * stands_for
    amplitudes = np.linalg.solve(weighted @ waves, weighted)
    kept = np.where(2 * np.abs(lines) == n_out, 0.5, 1.0)  # Nyquist: half to each side
    measured = np.exp(2j * np.pi / period * np.outer(positions, lines)) * kept
    matrix: Floats = (measured @ amplitudes).real
    return matrix


def _ridge(
    power: Tensor, turned: Tensor, sigma: float, size: Callable[[Tensor], float]
) -> float | None:
    """λ for which noise of `sigma` is left of the residual; None where no more than it is there."""
    least = _RIDGE * float(power.max())

    def excess(log_ridge: float) -> float:
        ridge = math.exp(log_ridge)
        return size(turned * (ridge / (power + ridge))) - sigma

    low, high = math.log(least), math.log(least) + 40  # from nothing left to nothing explained
    if excess(low) >= 0:
        return least
    return None if excess(high) <= 0 else math.exp(brentq(excess, low, high, xtol=1e-2))
