"""Images and networks that are known by construction, small enough to compute with at once."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from arssr.degradation import KSpace, low_resolution_positions
from arssr.grid import Grid
from arssr.networks import ImplicitVoxelNetwork, ModelConfig
from arssr.volume import Volume


def smooth(shape: Sequence[int], seed: int = 0, sigma: float = 2.0) -> np.ndarray:
    """A random image without fine detail, float32 in [0, 1]."""
    noise = np.random.default_rng(seed).standard_normal(tuple(shape))
    image = ndimage.gaussian_filter(noise, sigma)
    image -= image.min()
    return (image / image.max()).astype(np.float32)


def anatomy(shape: Sequence[int], seed: int = 0) -> np.ndarray:
    """A random ellipsoid in air whose spectrum falls as that of anatomy, float32 in about [0, 1].

    Along any line the power falls with the square of the frequency.
    """
    twice = [2 * n for n in shape]
    frequency = np.sqrt(
        sum(f**2 for f in np.meshgrid(*map(np.fft.fftfreq, twice), indexing="ij", sparse=True))
    )
    frequency[0, 0, 0] = 1 / max(twice)
    noise = np.random.default_rng(seed).standard_normal(twice)
    image = np.fft.ifftn(np.fft.fftn(noise) / frequency**2).real[tuple(map(slice, shape))]
    image = 0.3 + 0.7 * (image - image.min()) / np.ptp(image)
    axes = [np.linspace(-1, 1, n) for n in shape]
    radius = sum(x**2 for x in np.meshgrid(*axes, indexing="ij", sparse=True))
    return np.where(radius < 0.9, image, 0).astype(np.float32)


def zero_filled(data: np.ndarray, axis: int, share: float, apodisation: float = 0.0) -> np.ndarray:
    """The image with only this share of k-space along an axis, on its own voxels."""
    n = data.shape[axis]
    kept = round(share * n)
    keep = KSpace(apodisation).axis_matrix(n, low_resolution_positions(kept, n / kept), n / kept)
    fill = KSpace().axis_matrix(kept, (np.arange(n) + 0.5) * kept / n - 0.5, 1.0)
    return np.moveaxis(np.tensordot(fill @ keep, data, (1, axis)), 0, axis).astype(np.float32)


def tissue(shape: Sequence[int], seed: int = 0) -> np.ndarray:
    """Rounded regions of four intensities from 40 to 190 in a cylinder in air of 0, float32."""
    random = np.random.default_rng(seed)
    noise = [ndimage.gaussian_filter(random.standard_normal(shape), s) for s in (7, 4, 2.5)]
    mix = sum(n / n.std() * weight for n, weight in zip(noise, (1.0, 0.8, 0.6), strict=True))
    regions = np.digitize(mix, np.quantile(mix, [0.25, 0.5, 0.75]))
    image = np.array([40.0, 90.0, 140.0, 190.0])[regions]
    i, j, _ = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    image[i**2 + j**2 > 0.85] = 0
    return ndimage.gaussian_filter(image, 0.6).astype(np.float32)


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


def stack(
    axis: int, shape: Sequence[int] = (16, 20, 16), seed: int = 0, thickness: int = 2
) -> Volume:
    """A head of 1 mm voxels with 2 of air around it, in slices of so many mm along an axis."""
    data = 200 * ndimage.gaussian_filter(np.pad(anatomy(shape, seed), 2), 0.7)
    parts = list(data.shape)
    parts[axis : axis + 1] = [data.shape[axis] // thickness, thickness]
    thick = data.reshape(parts).mean(axis + 1)
    scale = np.ones(3)
    scale[axis] = 1 / thickness
    noise = np.random.default_rng(axis).standard_normal(thick.shape)
    return Volume(np.abs(thick + noise), Grid(data.shape, np.eye(4)).scaled(scale))
