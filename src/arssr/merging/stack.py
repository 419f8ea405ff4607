"""One of several scans: what it makes of an image on the common grid.

A scan measures the image at its own pose: a cubic spline reads the image where the voxels of the
scan's own fine grid lie (`Sampling`), and the acquisition makes of that what was measured
(`arssr.consistency.Acquisition`). The fine grid has the scan's field of view and the spacing of
the common grid.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arssr.consistency import Acquisition
from arssr.grid import Floats, Grid
from arssr.merging.sampling import Sampling

# A scan loses its weight over so many of its longest voxels where its field of view ends, so that
# nothing begins or ends there at once.
_FADING = 2.0
_SEEN = 0.5  # of a measured voxel: from here on it counts


def fine_grid(scan: Grid, common: Grid) -> Grid:
    """The field of view of a scan in voxels of the common grid's spacing, axis by nearest axis."""
    direction = np.abs(np.linalg.inv(common.affine[:3, :3] / common.spacing_mm) @ scan.affine[:3, :3])
    nearest = direction.argmax(axis=0)
    return scan.with_spacing(common.spacing_mm[nearest].tolist())


def fading(grid: Grid, of: Grid | None = None) -> NDArray[np.float32]:
    """(I, J, K) weights from 0 to 1: how far the field of view of `of` goes around each voxel of a
    grid with the same axes; by default its own.
    """
    seen = grid if of is None else of
    lattice = grid.axis_positions_in(seen)
    assert lattice is not None
    width = _FADING * float(seen.spacing_mm.max())
    ramps = []
    for axis, positions in zip(*lattice, strict=True):
        n, mm = seen.shape[axis], seen.spacing_mm[axis]
        depth = np.minimum(positions + 0.5, n - 0.5 - positions) * mm
        share = np.clip(depth / min(width, n * mm / 2), 0, 1)
        ramps.append((share**2 * (3 - 2 * share)).astype(np.float32))
    i, j, k = ramps
    return np.asarray(i[:, None, None] * j[:, None] * k)


@dataclass(frozen=True)
class Stack:
    """What was measured, by which acquisition and how surely, and where that reads the image.

    measured: (I, J, K), on `acquisition.grid`. counts: how much each measured voxel counts, 0 to 1.
    noise: standard deviation. sampling: from the common grid to the fine one.
    """

    measured: Tensor
    acquisition: Acquisition
    counts: Tensor
    noise: float
    sampling: Sampling

    @property
    def weight(self) -> Tensor:
        """What differences are multiplied by: M / σ."""
        return self.counts / self.noise

    def apart(self, coefficients: Tensor) -> Tensor:
        """y − A x in units of the noise, as far as it counts."""
        return self.measured * self.weight - self.measure(coefficients)

    def size(self, apart: Tensor) -> float:
        """Root mean square of a difference in units of the noise, of what counts."""
        return float(apart.double().norm()) / max(float(self.counts.double().norm()), 1e-9)

    def measure(self, coefficients: Tensor) -> Tensor:
        """A x, in units of the noise: what is measured of an image with these coefficients."""
        return self.acquisition.measure(self.sampling.read(coefficients)) * self.weight

    def spread(self, values: Tensor, onto: Tensor) -> None:
        """Add Aᵀ of values in units of the noise to coefficients, in place."""
        self.sampling.spread(self.acquisition.spread(values * self.weight), onto)


def stack_of(
    measured: Tensor,
    acquisition: Acquisition,
    fine: Grid,
    common: Grid,
    motion: Floats,
    noise: float,
    counted: Tensor,
    mask: NDArray[np.bool_],
) -> Stack:
    """The scan at a pose; see `Stack`.

    motion: (4, 4), from the common space to that of the scan, RAS+ mm. noise: standard deviation
    of what was measured. counted: (I, J, K) how much each measured voxel counts besides. mask:
    voxels of the common grid that are to be estimated; what sees little of them has no weight.
    """
    sampling = Sampling(common, fine, motion, mask, measured.device)
    seen = torch.zeros(fine.shape, device=measured.device).flatten()
    seen[sampling.chosen] = 1
    share = acquisition.measure(seen.view(fine.shape))
    fades = torch.from_numpy(fading(acquisition.grid)).to(measured.device)
    counts = (share > _SEEN) * fades * counted
    return Stack(measured, acquisition, counts, noise, sampling)
