"""A small analytic head: an ellipsoid with folds, and a bright spot on the patient's right."""

import numpy as np

from arssr.grid import Grid
from arssr.volume import Volume

SPOT_RAS_MM = (14.0, 6.0, 8.0)


def head(grid: Grid, blur: float = 0.0) -> Volume:
    """The head on any grid; `blur` softens its folds."""
    x, y, z = np.moveaxis(grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)), -1, 0)
    inside = (x / 18) ** 2 + (y / 22) ** 2 + (z / 20) ** 2 < 1
    folds = 100 + (40 - 20 * blur) * np.sin(x / 1.7) * np.cos(y / 2.1 + z / 3)
    spot = np.sum([(c - at) ** 2 for c, at in zip((x, y, z), SPOT_RAS_MM, strict=True)], 0) < 9
    return Volume(np.where(inside, folds + 150 * spot, 0.0).astype(np.float32), grid)


def las_grid() -> Grid:
    """44 × 52 × 32 voxels of 1 × 1 × 1.5 mm, stored from right to left."""
    affine = np.diag([-1.0, 1.0, 1.5, 1.0])
    affine[:3, 3] = 22, -26, -24
    return Grid((44, 52, 32), affine)
