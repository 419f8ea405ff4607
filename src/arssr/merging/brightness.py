"""Scans differ in brightness: by a factor, and smoothly with the place, as coils do."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from arssr.grid import Floats, Grid

# Standard deviation of the Gaussian, in mm, over which two scans are compared: wide enough that
# thick slices and small motions do not matter.
_SMOOTH_MM = 20.0
_STEP_MM = 4.0  # between the places where they are
_MOST = 3.0  # times the factor that it may be anywhere, or so many times less
# Of the range: what is darker has no brightness to compare. Both scans are judged, over some mm: by
# one alone its voxels that are bright by chance would make it brighter (a thick scan beside a thin
# one of lh-14, noise of 1 %, benchmarks/merge.py --crop 88 --axes 32: the field was 2.7 % off, now
# 0.2 %).
_TISSUE, _TISSUE_MM = 0.15, 4.0


@dataclass(frozen=True)
class Brightness:
    """What a scan's intensities are multiplied by to be those of the first.

    factor: of the whole. field: on `grid`, a coarse one in the common space.
    """

    factor: float
    field: NDArray[np.float32]
    grid: Grid

    def at(self, grid: Grid) -> NDArray[np.float32]:
        """(I, J, K) the field on a grid in the common space; its border goes on outside."""
        to_field: Floats = grid.index_map_to(self.grid)
        return np.asarray(
            ndimage.affine_transform(
                self.field,
                to_field[:3, :3],
                to_field[:3, 3],
                output_shape=grid.shape,
                output=np.float32,
                order=1,
                mode="nearest",
            )
        )


def match(
    reference: NDArray[np.float32],
    image: NDArray[np.float32],
    weights: NDArray[np.float32],
    common: Grid,
) -> Brightness:
    """What makes `image` as bright as `reference`; both on the common grid.

    weights: how much each voxel counts; 0 outside heads, and where one of the two is not known.
    """
    span = float(np.percentile(reference, 99.95))
    tissue = (weights > 0) & (reference > _TISSUE * span)
    if not tissue.any() or float(image[tissue].mean()) <= 0:
        return Brightness(1.0, np.ones((1, 1, 1), np.float32), Grid((1, 1, 1), common.affine))
    both = reference + image * (float(reference[tissue].mean()) / float(image[tissue].mean()))
    around = ndimage.gaussian_filter(both, _TISSUE_MM / common.spacing_mm, truncate=3)
    tissue = (weights > 0) & (around > 2 * _TISSUE * span)
    counts = weights * tissue
    factor = float(np.vdot(counts, reference)) / float(np.vdot(counts, image))
    steps = [max(1, round(_STEP_MM / mm)) for mm in common.spacing_mm]
    low_of = _smoothed(counts * reference, common, steps)
    low_by = _smoothed(counts * image, common, steps) * factor
    known = 1e-2 * float(low_of.max())  # where less is, the factor holds
    field = factor * np.clip((low_of + known) / (low_by + known), 1 / _MOST, _MOST)
    coarse = Grid(field.shape, common.affine @ np.diag([*map(float, steps), 1.0]))
    return Brightness(factor, field.astype(np.float32), coarse)


def _smoothed(image: NDArray[np.float32], grid: Grid, steps: list[int]) -> NDArray[np.float32]:
    """Every so many voxels of an image, after a wide Gaussian."""
    low = image
    for axis, (step, mm) in enumerate(zip(steps, grid.spacing_mm, strict=True)):
        sigma = _SMOOTH_MM / float(mm)
        low = ndimage.gaussian_filter1d(low, sigma, axis, mode="constant", truncate=3)
        low = np.take(low, np.arange(0, low.shape[axis], step), axis)
    return low
