"""What is known of each scan before they are brought together."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arssr.api import Model
from arssr.consistency import Acquisition
from arssr.errors import ArSSRError
from arssr.evenness import slice_axis
from arssr.field import ReportProgress, VoxelField
from arssr.grid import Floats, Grid
from arssr.interpolation import resample
from arssr.merging.posed import Interleaves
from arssr.merging.poses import in_common
from arssr.merging.stack import fading, fine_grid
from arssr.networks import UNKNOWN
from arssr.noise import estimate_noise
from arssr.on_device import samples_on
from arssr.upsampling.agreement import Agreement
from arssr.upsampling.facts import Facts
from arssr.upsampling.request import Request
from arssr.upsampling.result import Where, result_of
from arssr.volume import Volume

# Of the range of a scan: less noise is taken for so much, as no acquisition is known so well.
_LEAST_NOISE = 2e-3
_SLICE, _NARROW = "slice", "slice-trapezoid"
# The weight of a scan where its field of view ends, and outside: where there is no other.
_AT_THE_END, _OUTSIDE = 1e-3, 1e-6


@dataclass(frozen=True)
class Seen:
    """A scan, what a network makes of it alone on its own fine grid, and how it was measured.

    profiles: the acquisitions that it may be, with slices that are Gaussians and, narrower,
    trapezoids; () where there are no slices. measured: (I, J, K), on the grid of the acquisition.
    noise: its standard deviation. span: the range of its intensities. facts: as in a sidecar.
    interleaves: its slices, in one group until they are found to have moved against each other.
    """

    scan: Volume
    sharp: Volume
    acquisition: Acquisition
    profiles: tuple[Acquisition, ...]
    measured: Tensor
    noise: float
    span: float
    facts: Facts
    interleaves: Interleaves

    @property
    def profile(self) -> str | None:
        """What its slices are taken for; None where it has none."""
        if not self.profiles:
            return None
        return "gaussian" if self.acquisition is self.profiles[0] else "trapezoid"

    @property
    def untouched(self) -> bool:
        """Whether no network was asked, as it is as fine as the result: all its noise is left."""
        return tuple(self.measured.shape) == self.sharp.grid.shape

    @property
    def name(self) -> str:
        """As it is called in sentences."""
        return self.scan.label

    def on_device(self, device: torch.device) -> "Seen":
        """The same, with what was measured on a device: there the scans are brought together."""
        return replace(self, measured=self.measured.to(device))

    def placed(self, motion: Floats) -> Grid:
        """Its fine grid in the common space."""
        return in_common(self.sharp.grid, motion)

    def on(self, common: Grid, motion: Floats) -> NDArray[np.float32]:
        """What the network makes of it, on the common grid; beyond its field of view the border."""
        there = Volume(self.sharp.data, self.placed(motion))
        return np.asarray(resample(there, common).data)

    def reach(self, common: Grid, motion: Floats) -> NDArray[np.float32]:
        """How much its word counts at each voxel of the common grid; more than 0."""
        there = in_common(self.scan.grid, motion)
        to_index = common.index_map_to(there)
        weights = np.empty(common.shape, np.float32)
        plane = np.stack(np.meshgrid(*map(np.arange, common.shape[1:]), indexing="ij"), axis=-1)
        for i in range(common.shape[0]):
            at = plane @ to_index[:3, 1:3].T + (to_index[:3, 0] * i + to_index[:3, 3])
            inside = ((at >= -0.5) & (at <= np.array(there.shape) - 0.5)).all(axis=-1)
            weights[i] = np.where(inside, _AT_THE_END, _OUTSIDE) + fading(there, at)
        return weights


def see(
    model: Model, request: Request, scan: Volume, common: Grid, progress: ReportProgress
) -> Seen:
    """One scan, super-resolved alone. Raises ArSSRError as `result_of` and `Acquisition` do."""
    level = require_noise_level(request)
    fine = fine_grid(scan.grid, common)
    result = result_of(model, request, scan, Where(fine), progress)
    [sharp] = result.whole()
    field = result.voxel_field
    if field is None:  # no finer along any axis
        acquisition = Acquisition(scan.grid, fine, (UNKNOWN,) * 3, scan.slices)
        profiles: tuple[Acquisition, ...] = ()
        given = samples_on(scan.data)
        own = estimate_noise(scan) if level == "auto" else float(level)
        noise, span = own * acquisition.noise_left, float(np.ptp(scan.data))
    else:
        try:
            known = Agreement.of(field, fine)
        except ArSSRError as error:
            raise ArSSRError(f"{scan.label}: {error}") from None
        given, acquisition, span = known.scan, known.acquisition, known.span
        noise, narrow = known.noise or 0.0, _with_trapezoids(field, fine)
        profiles = (acquisition, narrow) if narrow else ()
    measured = acquisition.measured(given)
    noise = max(noise, _LEAST_NOISE * span)
    axis = slice_axis(scan)
    slices = Interleaves(int(scan.grid.spacing_mm.argmax()) if axis is None else axis)
    return Seen(scan, sharp, acquisition, profiles, measured, noise, span, result.facts, slices)


def of_several(progress: ReportProgress, number: int, of: int) -> ReportProgress:
    """The progress of one scan of several, in words."""
    return lambda what, share: progress(f"scan {number + 1} of {of}, {what}", share)


def require_noise_level(request: Request) -> float | str:
    """The level that was asked for. Raises ArSSRError where it is not to be known."""
    if request.noise is None or request.noise == UNKNOWN:
        raise ArSSRError("merging needs the noise level, or it would fit the noise; name it")
    return request.noise


def _with_trapezoids(field: VoxelField, fine: Grid) -> Acquisition | None:
    told = field.acquisition_ijk
    if _SLICE not in told:
        return None
    names = [_NARROW if name == _SLICE else name for name in told]
    return Acquisition(field.volume.grid, fine, names, field.volume.slices)
