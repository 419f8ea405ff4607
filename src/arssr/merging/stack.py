"""One of several scans: what it makes of an image on the common grid.

A scan measures the image at its own pose: a cubic spline reads the image where the voxels of the
scan's own fine grid lie (`Sampling`), and the acquisition makes of that what was measured
(`arssr.consistency.Acquisition`). The fine grid has the scan's field of view and the spacing of
the common grid.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arssr.consistency import Acquisition
from arssr.grid import Floats, Grid
from arssr.merging.posed import Interleaves, Posed

# A scan loses its weight over so many of its longest voxels where its field of view ends, and over
# so many mm at least, so that nothing begins or ends there at once.
_FADING, _FADING_MM = 2.0, 8.0
_SEEN = 0.5  # of a measured voxel: from here on it counts


def fine_grid(scan: Grid, common: Grid) -> Grid:
    """The field of view of a scan in voxels of the common grid's spacing, axis by nearest axis."""
    directions = common.affine[:3, :3] / common.spacing_mm
    nearest = np.abs(np.linalg.solve(directions, scan.affine[:3, :3])).argmax(axis=0)
    return scan.with_spacing(common.spacing_mm[nearest].tolist())


def fading(grid: Grid, index: Floats | None = None) -> NDArray[np.float32]:
    """From 0 to 1, how far places lie inside the field of view: 0 where it ends, 1 deep inside.

    index: (…, 3) voxel coordinates; by default all voxels of the grid, (I, J, K).
    """
    width = max(_FADING * float(grid.spacing_mm.max()), _FADING_MM)

    def ramp(axis: int, at: Floats) -> Floats:
        n, mm = grid.shape[axis], float(grid.spacing_mm[axis])
        depth = np.minimum(at + 0.5, n - 0.5 - at) * mm / min(width, n * mm / 2)
        share = np.clip(depth, 0, 1)
        return np.asarray(share**2 * (3 - 2 * share), np.float32)

    if index is None:
        i, j, k = (ramp(axis, np.arange(n, dtype=float)) for axis, n in enumerate(grid.shape))
        return np.asarray(i[:, None, None] * j[:, None] * k)
    return np.asarray(ramp(0, index[..., 0]) * ramp(1, index[..., 1]) * ramp(2, index[..., 2]))


@dataclass(frozen=True)
class Stack:
    """What a scan says of the image beyond a first guess, and how surely.

    posed: A.
    apart: (I, J, K) on `acquisition.grid`, what was measured less what is measured of the guess, in
    units of the noise, as far as it counts. counts: how much that is of each voxel, 0 to 1.
    noise: standard deviation.
    """

    posed: Posed
    apart: Tensor
    counts: Tensor
    noise: float

    def measure(self, coefficients: Tensor) -> Tensor:
        """M A x / σ of an image with these spline coefficients."""
        return self.posed.measure(coefficients).mul_(self.counts / self.noise)

    def spread(self, values: Tensor, onto: Tensor) -> None:
        """Add Aᵀ M / σ of values (I, J, K) to coefficients, in place."""
        self.posed.spread(values * (self.counts / self.noise), onto)

    def noisier(self, times: float) -> "Stack":
        """The same scan, its noise taken to be so many times as large."""
        return replace(self, apart=self.apart / times, noise=self.noise * times)

    @property
    def count(self) -> float:
        """How many measured voxels count: the squares that noise alone leaves."""
        return float(self.counts.double().square().sum())

    def size(self, apart: Tensor) -> float:
        """Root mean square of a difference, in units of the noise."""
        return float(apart.double().norm()) / math.sqrt(max(self.count, 1.0))


def stack_of(
    measured: Tensor,
    acquisition: Acquisition,
    fine: Grid,
    common: Grid,
    motion: Floats,
    interleaves: Interleaves,
    noise: float,
    counted: Tensor,
    guess: Tensor,
    mask: NDArray[np.bool_],
) -> Stack:
    """The scan at a pose; see `Stack`.

    motion: (4, 4), from the common space to that of the scan, RAS+ mm. interleaves: its groups of
    slices. noise: standard deviation of what was measured. counted: (I, J, K) how much each
    measured voxel counts besides. guess: its spline coefficients. mask: voxels of the common grid
    that are to be estimated.
    """
    where = (acquisition, common, fine, motion, interleaves)
    everywhere = Posed(*where, device=measured.device)
    inside = ((everywhere.seen_share() - _SEEN) / (1 - _SEEN)).clamp(0, 1)
    apart = measured - everywhere.measure(guess)
    posed = Posed(*where, mask, measured.device)
    fades = torch.from_numpy(fading(acquisition.grid)).to(measured.device)
    counts = (posed.seen_share() > _SEEN) * inside * fades * counted
    return Stack(posed, apart * counts / noise, counts, noise)
