"""Registrations that are known by construction, with SimpleITK as the witness."""

import numpy as np
import SimpleITK as sitk  # noqa: N813
from scipy.spatial.transform import Rotation
from tests.phantoms import rotated, smooth

from arssr.grid import Grid
from arssr.transforms.transform import Displacement

MOVING = rotated(Grid((12, 13, 11), np.diag([-1.0, 1.1, 1.3, 1])), (10, 5, -20))
REFERENCE = rotated(Grid((10, 9, 12), np.diag([1.2, 1, 0.9, 1])), (0, -15, 8))
RIGID = np.eye(4)
RIGID[:3, :3] = Rotation.from_euler("xyz", [8, -5, 12], degrees=True).as_matrix()
RIGID[:3, 3] = 3.25, -7.5, 11
STRETCHED = RIGID @ np.diag([1.1, 0.9, 1.05, 1])
POINTS = np.random.default_rng(0).uniform(-40, 40, (50, 3))
_LPS = np.diag([-1.0, -1, 1, 1])


def moved(matrix: np.ndarray, points: np.ndarray = POINTS) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def sitk_affine(matrix: np.ndarray, centre: tuple = (5.0, -3.0, 2.0)) -> sitk.AffineTransform:
    """The same map in ITK's terms, with a centre, for files have one."""
    lps = _LPS @ matrix @ _LPS
    affine = sitk.AffineTransform(3)
    affine.SetMatrix(lps[:3, :3].ravel().tolist())
    affine.SetCenter(centre)
    c = np.array(centre)
    affine.SetTranslation((lps[:3, 3] - c + lps[:3, :3] @ c).tolist())
    return affine


def displacements(grid: Grid, seed: int = 0) -> np.ndarray:
    """(I, J, K, 3) float32: a smooth warp of up to 2 mm."""
    return np.stack([4 * smooth(grid.shape, seed + a, sigma=2) - 2 for a in range(3)], axis=-1)


def sitk_vectors(vectors_lps: np.ndarray, grid: Grid) -> sitk.Image:
    """An image of vectors (I, J, K, 3)."""
    image = sitk.GetImageFromArray(vectors_lps.transpose(2, 1, 0, 3), isVector=True)
    affine = _LPS @ grid.affine
    image.SetSpacing(grid.spacing_mm.tolist())
    image.SetDirection((affine[:3, :3] / grid.spacing_mm).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def sitk_warp(grid: Grid, seed: int = 0) -> tuple[sitk.DisplacementFieldTransform, Displacement]:
    """A smooth warp of some millimetres, in both worlds."""
    ras = displacements(grid, seed)
    image = sitk_vectors((ras * [-1, -1, 1]).astype(np.float64), grid)
    return sitk.DisplacementFieldTransform(image), Displacement(np.moveaxis(ras, -1, 0), grid)


def as_sitk_maps(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    lps = points * [-1, -1, 1]
    return np.array([transform.TransformPoint(p) for p in lps.tolist()]) * [-1, -1, 1]
