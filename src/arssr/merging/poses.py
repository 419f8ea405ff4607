"""Where each scan lies: rigid motions from the common space to that of a scan.

Headers come first: they are the starting point, as scanners tell where each scan of a session
lies, and only the person moves. SimpleITK then finds the motion between super-resolved scans:
thick slices themselves would pull to where slices lie on slices. Where that leads to nothing that
fits, it begins once more with the centres of mass on each other.

Fitting what was measured itself (steps of Gauss and Newton on y − g A x of the other scans' x)
gained nothing on that: 0.02 to 0.16 mm instead of 0.03 to 0.13 mm in pieces of three heads.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch

from arssr.grid import Floats, Grid
from arssr.volume import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813 - its customary name

_VOXELS_MM, _SMOOTH_MM = (3.5, 1.75), (3.0, 1.5)  # first and last
_SAMPLED = 150_000  # voxels, if there are so many; each is moved at random by part of a voxel
_SEED = 1  # else ITK takes the time, and every run finds something else
_BINS = 48
# With the defaults of SimpleITK (a step halved at every turn, an end where the gradient is below
# 1e-4) the search ended 0.1 to 0.3 mm too early on a whole head, 0.7 mm on a phantom.
_LEAST_STEP, _STEPS, _RELAXED, _FLAT = 1e-4, 200, 0.8, 1e-8
_DARK = 0.05  # of the range: darker is no head
_LPS = np.diag([-1.0, -1.0, 1.0])  # to RAS and back


def register(
    fixed: Volume,
    moving: Volume,
    centre: Floats,
    contrasts: bool = False,
    afresh: bool = False,
    start: Floats | None = None,
) -> Floats:
    """(4, 4) the rigid motion from the space of `fixed` to that of `moving`, RAS+ mm.

    centre: (3,) about which it turns. contrasts: they have different ones. afresh: begin with the
    centres of mass on each other, not where headers say. start: begin with this motion.
    """
    import SimpleITK as sitk  # noqa: N813 - its customary name

    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # of what is dealt with below
    images = fixed.to_sitk(), moving.to_sitk()
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(torch.get_num_threads())
    if contrasts:
        method.SetMetricAsMattesMutualInformation(_BINS)
    else:
        method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.REGULAR)
    shrink = [max(1, round(mm / float(fixed.grid.spacing_mm.min()))) for mm in _VOXELS_MM]
    last = fixed.data.size / shrink[-1] ** 3
    method.SetMetricSamplingPercentage(min(1.0, _SAMPLED / last), _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, _LEAST_STEP, _STEPS, _RELAXED, _FLAT)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(shrink)
    method.SetSmoothingSigmasPerLevel(_SMOOTH_MM)
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    transform = sitk.Euler3DTransform()
    transform.SetCenter((_LPS @ centre).tolist())
    if afresh:
        transform.SetTranslation((_LPS @ (_middle(moving) - _middle(fixed))).tolist())
    if start is not None:
        transform.SetMatrix((_LPS @ start[:3, :3] @ _LPS).flatten().tolist())
        moved = start[:3, :3] @ centre + start[:3, 3] - centre
        transform.SetTranslation((_LPS @ moved).tolist())
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(*images)
    except RuntimeError:  # nothing of one lies in the other
        return np.eye(4)
    return _matrix(transform)


def in_common(grid: Grid, motion: Floats) -> Grid:
    """The grid of a scan as it lies in the common space; motion: from there to the scan's."""
    return Grid(grid.shape, np.linalg.inv(motion) @ grid.affine)


def extent(motion: Floats, centre: Floats) -> tuple[float, float]:
    """How far a motion moves a centre, in mm, and by how many degrees it turns."""
    moved = motion[:3, :3] @ centre + motion[:3, 3] - centre
    cosine = np.clip((np.trace(motion[:3, :3]) - 1) / 2, -1, 1)
    return float(np.linalg.norm(moved)), float(np.degrees(np.arccos(cosine)))


def head_centre(volume: Volume) -> Floats:
    """(3,) the middle of what is bright, RAS+ mm."""
    bright = volume.data > _DARK * float(np.percentile(volume.data, 99.95))
    if not bright.any():
        return volume.grid.to_world((np.array(volume.grid.shape) - 1) / 2)
    return volume.grid.to_world(np.argwhere(bright).mean(axis=0))


def _matrix(transform: "sitk.Euler3DTransform") -> Floats:
    turn = np.array(transform.GetMatrix()).reshape(3, 3)
    centre, shift = np.array(transform.GetCenter()), np.array(transform.GetTranslation())
    motion = np.eye(4)
    motion[:3, :3] = _LPS @ turn @ _LPS
    motion[:3, 3] = _LPS @ (centre + shift - turn @ centre)
    return motion


def _middle(volume: Volume) -> Floats:
    """(3,) the centre of mass, RAS+ mm."""
    weights = np.clip(volume.data, 0, None).astype(np.float64)
    sums = [weights.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3)]
    index = [float(np.arange(len(s)) @ s) / max(float(s.sum()), 1e-30) for s in sums]
    return volume.grid.to_world(index)
