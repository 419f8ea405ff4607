"""Images and networks that are known by construction, small enough to compute with at once."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from arssr.grid import Grid
from arssr.networks import ImplicitVoxelNetwork, ModelConfig
from arssr.volume import Volume


def smooth(shape: Sequence[int], seed: int = 0, sigma: float = 2.0) -> np.ndarray:
    """A random image without fine detail, float32 in [0, 1]."""
    noise = np.random.default_rng(seed).standard_normal(tuple(shape))
    image = ndimage.gaussian_filter(noise, sigma)
    image -= image.min()
    return (image / image.max()).astype(np.float32)


def volume(data: np.ndarray, affine: np.ndarray | None = None) -> Volume:
    """The data as a volume, of 1 mm voxels where nothing else is said."""
    return Volume(data, Grid(data.shape, np.eye(4) if affine is None else affine))


def rotated(grid: Grid, degrees: Sequence[float]) -> Grid:
    """The same voxels turned about the grid's centre by Euler angles x, y, z."""
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    centre = grid.to_world((np.array(grid.shape) - 1) / 2)
    turn[:3, 3] = centre - turn[:3, :3] @ centre
    return Grid(grid.shape, turn @ grid.affine)


def tiny_config(encoder: str = "light", flavour: str = "residual") -> ModelConfig:
    """The smallest network that still has every part."""
    return ModelConfig(
        flavour=flavour,  # type: ignore[arg-type]
        encoder=encoder,
        feature_dim=8,
        decoder_depth=4,
        decoder_width=8,
    )


def tiny_network(
    encoder: str = "light", flavour: str = "residual", seed: int = 0
) -> ImplicitVoxelNetwork:
    """A seeded `tiny_config` network."""
    torch.manual_seed(seed)
    return ImplicitVoxelNetwork(tiny_config(encoder, flavour))
