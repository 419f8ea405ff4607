"""Results that agree with what was measured.

A scan y is what its acquisition A makes of the true image, so an image x that A does not take to y
is wrong where A can see. Of all images that agree with y, the one nearest to x differs from it
only in the range of Aᵀ: x + Aᵀ (A Aᵀ)⁻¹ (y − A x). Nothing that was not measured is altered, and
where A is the true acquisition and y has no noise, no result gets worse: this is the orthogonal
projection on a set that the truth lies in (range–null-space decomposition; Schwab et al. 2019,
doi:10.1088/1361-6420/aaf14a).

A acts axis by axis, so A Aᵀ is a Kronecker product of three small matrices. Their
eigendecompositions solve the system at once, for every amount of regularisation, in less time
than A Aᵀ takes to apply; conjugate gradients need that 4 (kspace) to 29 (slice) times at 2x.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from arssr.degradation import WIDEST_GAP, Degradation, Slice, named_degradation
from arssr.errors import ArSSRError
from arssr.formats.slices import Slices
from arssr.grid import Grid
from arssr.interpolation import apply_axis_matrices
from arssr.networks import UNKNOWN
from arssr.volume import Volume

# Regularisation where there is no noise, as a share of the largest eigenvalue: above rounding.
_RIDGE = 1e-6
_SAME = 1e-3  # voxels that a grid may stray and still count as in place
# The lines of k-space are periods of the field of view. With a period 0.2 % off (95 voxels where
# 95.2 were measured) the correction cost 2.4 dB; with the right one it gains 0.3 to 1.4.
_SAME_PERIOD = 0.02  # target voxels


class Acquisition:
    """What a scanner makes of an image on `target`: the linear operator A from there to `scan`.

    names_ijk: kspace, slice or spline for each axis of `scan`; an axis on which `target` is no
    finer keeps its samples, whatever its name.
    slices: those of the scan. Gaps between them are known better than any name says: their axis is
    taken for one of slices as thick as they are, unless it is named kspace.

    Raises ArSSRError where the axes of the two grids are oblique to each other, where `target` is
    coarser or has another field of view (by more than a voxel; for kspace, at all), and where the
    acquisition along a finer axis is unknown.
    """

    def __init__(
        self, scan: Grid, target: Grid, names_ijk: Sequence[str], slices: Slices | None = None
    ) -> None:
        lattice = scan.axis_positions_in(target)
        if lattice is None:
            raise ArSSRError(
                "a result that is oblique to the scan cannot be made consistent with it"
            )
        self._axes = lattice.axes
        step = np.abs(scan.index_map_to(target)[:3, :3])
        self._matrices = [
            _axis_matrix(
                _degradation(name, slices if slices is not None and slices.axis == a else None),
                target.shape[axis],
                positions,
                float(step[axis, a]),
                target.spacing_mm[axis],
            )
            for a, (name, axis, positions) in enumerate(zip(names_ijk, *lattice, strict=True))
        ]

    def measure(self, image: Tensor) -> Tensor:
        """A x: the scan (I, J, K) of an image on the target grid."""
        return apply_axis_matrices(image.permute(self._axes).contiguous(), self._matrices)

    def spread(self, measured: Tensor) -> Tensor:
        """Aᵀ y, on the target grid."""
        spread = apply_axis_matrices(measured, [m.mT.contiguous() for m in self._matrices])
        return spread.permute(*np.argsort(self._axes).tolist())

    def solve(self, residual: Tensor, sigma: float = 0.0) -> Tensor:
        """z = (A Aᵀ + λ)⁻¹ r, so that `spread(z)` is the correction that explains the residual.

        sigma: standard deviation of the noise in r. λ is such that noise of this size is left
        unexplained (the discrepancy principle, Morozov 1966), and next to nothing without noise.
        """
        solved = [torch.linalg.eigh(m.double() @ m.double().mT) for m in self._matrices]
        i, j, k = (values.clamp(min=0) for values, _ in solved)
        vectors = [v.float() for _, v in solved]
        power = (i[:, None, None] * j[:, None] * k).float()
        turned = apply_axis_matrices(residual, [v.mT.contiguous() for v in vectors])
        ridge = _ridge(power, turned, sigma)
        solution = torch.zeros_like(turned) if ridge is None else turned / (power + ridge)
        return apply_axis_matrices(solution, vectors)


@dataclass(frozen=True)
class Consistent:
    """A result that agrees with the scan, and by how much it did not: ‖y − A x‖ / ‖y‖."""

    volume: Volume
    residual_before: float
    residual_after: float


def make_consistent(
    result: Volume, scan: Volume, acquisition_ijk: Sequence[str], sigma: float = 0.0
) -> Consistent:
    """The image nearest to `result` that the acquisition takes to `scan`.

    sigma: standard deviation of the scan's noise in its units; it is not fitted. Raises ArSSRError
    as `Acquisition` does.
    """
    acquisition = Acquisition(scan.grid, result.grid, acquisition_ijk, scan.slices)
    with torch.inference_mode():
        image = torch.from_numpy(np.ascontiguousarray(result.data))
        measured = torch.from_numpy(np.ascontiguousarray(scan.data))
        residual = measured - acquisition.measure(image)
        corrected = acquisition.spread(acquisition.solve(residual, sigma)).add_(image)
        left = measured - acquisition.measure(corrected)
        size = max(float(measured.norm()), float(np.finfo(np.float32).tiny))
        return Consistent(
            result.with_data(corrected.numpy(), result.grid),
            float(residual.norm()) / size,
            float(left.norm()) / size,
        )


def _degradation(name: str, slices: Slices | None) -> Degradation | None:
    """What is done along an axis of this name, or of these slices; None where that is unknown."""
    if slices is not None and slices.gap > 0 and not slices.touch and name != "kspace":
        return Slice(gap=min(slices.gap, WIDEST_GAP))
    return None if name == UNKNOWN else named_degradation(name)


def _axis_matrix(
    degradation: Degradation | None,
    n_in: int,
    positions: np.ndarray,
    step: float,
    target_mm: float,
) -> Tensor:
    """(n_out, n_in) float32: scan voxels `step` target voxels long from the target's voxels."""
    start, end = positions.min() - step / 2, positions.max() + step / 2
    if max(abs(start + 0.5), abs(end - (n_in - 0.5))) > 1:
        raise ArSSRError(
            "a result can only be made consistent with a scan of the same field of view; ask for "
            "a scale, a spacing or a shape"
        )
    if step < 1 - _SAME:
        raise ArSSRError(
            f"a result cannot be consistent with a finer scan: {step * target_mm:.4g} mm were "
            f"measured and {target_mm:.4g} mm are asked for"
        )
    if step <= 1 + _SAME:
        order = np.rint(positions).astype(int).clip(0, n_in - 1)
        return torch.eye(n_in)[order]
    if degradation is None:
        raise ArSSRError("consistency needs to know how the scan was made; name its acquisition")
    if degradation.name == "kspace" and abs(n_in - len(positions) * step) > _SAME_PERIOD:
        raise ArSSRError(
            "a result can only be made consistent with k-space on exactly its field of view: "
            f"{len(positions)} voxels of the scan are {len(positions) * step:.5g} of the result's, "
            f"which has {n_in}; ask for a shape"
        )
    matrix = degradation.axis_matrix(n_in, positions, step)
    return torch.from_numpy(matrix.astype(np.float32))


def _ridge(power: Tensor, turned: Tensor, sigma: float) -> float | None:
    """λ for which noise of `sigma` is left of the residual; None where no more than it is there."""
    least = _RIDGE * float(power.max())
    noise = sigma**2 * turned.numel()

    def excess(log_ridge: float) -> float:
        ridge = math.exp(log_ridge)
        left = turned * (ridge / (power + ridge))
        return float(left.double().square().sum()) - noise

    low, high = math.log(least), math.log(least) + 40  # from nothing left to nothing explained
    if excess(low) >= 0:
        return least
    return None if excess(high) <= 0 else math.exp(brentq(excess, low, high, rtol=1e-4))
