"""From high-resolution images to training batches.

A sample is drawn from `np.random.default_rng([seed, step, index])` and nothing else: any step of
a run can be drawn again, on any process, in any order. That is all that resuming and data-parallel
training need.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from arssr.degradation import Degradation, low_resolution_positions, named_degradation
from arssr.interpolation import apply_axis_matrices, axis_matrix
from arssr.networks import NATIVE, UNKNOWN, condition_vector
from arssr.training.config import SamplingConfig
from arssr.training.data import Item

_AIR = 0.01  # normalised intensity below which a skull-stripped scan has no noise


@dataclass(frozen=True)
class Batch:
    """Samples stacked: N patches of n^3 voxels, P points each."""

    image: Tensor  # (N, 1, n, n, n) low-resolution patches, normalised intensity
    condition: Tensor  # (N, C), see networks.condition_vector
    positions: Tensor  # (N, P, 3) voxel coordinates in the patch
    cell: Tensor  # (N, 3) size of a high-resolution voxel in low-resolution voxels
    base: Tensor  # (N, P) cubic interpolation of the patch
    truth: Tensor  # (N, P)

    def to(self, device: torch.device) -> "Batch":
        """The batch on another device."""
        return Batch(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))


@dataclass(frozen=True)
class Draw:
    """The random choices of one sample that say what kind of scan it is."""

    acquisition: str
    scale_ijk: np.ndarray
    noise: float
    told_acquisition: bool
    told_noise: bool
    own_view: bool
    contrast: bool


def draw(config: SamplingConfig, rng: np.random.Generator) -> Draw:
    """Choose an acquisition, a scale per axis and a noise level."""
    names = list(config.acquisitions)
    shares = np.array([config.acquisitions[name] for name in names], float)
    return Draw(
        acquisition=names[rng.choice(len(names), p=shares / shares.sum())],
        scale_ijk=_draw_scale(config, rng),
        noise=config.noise * rng.random() if rng.random() < config.noisy else 0.0,
        told_acquisition=rng.random() >= config.unknown,
        told_noise=rng.random() >= config.unknown,
        own_view=rng.random() < config.own_view,
        contrast=rng.random() < config.contrast,
    )


def _draw_scale(config: SamplingConfig, rng: np.random.Generator) -> np.ndarray:
    low, high = config.scale

    def one(top: float = high) -> float:
        if config.scale_step is None:
            return rng.uniform(low, top)
        return low + config.scale_step * rng.integers(round((top - low) / config.scale_step) + 1)

    kind = rng.random()
    if kind < config.thick:
        scale = np.ones(3)
        scale[rng.integers(3)] = one(config.thick_scale)
        return scale
    if kind < config.thick + config.anisotropic:
        scale = np.array([one() if rng.random() < 0.75 else 1.0 for _ in range(3)])
        scale[rng.integers(3)] = one()
        return scale
    return np.full(3, one())


def sample(
    item: Item, config: SamplingConfig, what: Draw, rng: np.random.Generator
) -> dict[str, Tensor]:
    """One sample of an image; the values are the fields of `Batch` without the batch dimension."""
    shape = np.array(item.image.shape)
    n = config.patch
    scale = np.minimum(what.scale_ijk, shape / n)
    context = 0.0 if what.own_view else config.context
    margin = 0.0 if what.own_view else config.margin
    degradation = named_degradation(what.acquisition)

    # the patch in high-resolution voxels, around a voxel of the foreground …
    extent = np.floor(n * scale + 1e-6).astype(int)
    if what.own_view:
        scale = extent / n
    centre = item.centres[rng.integers(len(item.centres))] if len(item.centres) else shape // 2
    start = np.clip(centre - extent // 2, 0, shape - extent)
    # … and the region that is simulated: with context, as far as the image goes. Ringing reaches
    # across the whole image, so a k-space axis is taken whole.
    around = np.ceil(context * scale).astype(int)
    if degradation.name == "kspace" and not what.own_view:
        around = np.where(scale > 1, shape, around)
    low = np.maximum(start - around, 0)
    high = np.minimum(start + extent + around, shape)
    region = item.image[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    if what.contrast:
        region = random_contrast(region, rng)

    down = [
        torch.from_numpy(
            _patch_matrix(
                degradation, n, scale[a], (low[a], start[a], high[a]), int(shape[a]), what.own_view
            )
        ).to(region)
        for a in range(3)
    ]
    image = apply_axis_matrices(region, down)
    if what.noise > 0:
        image = _add_noise(image, what.noise, rng)

    # high-resolution voxels whose centres keep the margin, and where they lie in the patch
    inner = [
        np.arange(int(np.ceil(margin * scale[a])), int(extent[a] - margin * scale[a]))
        for a in range(3)
    ]
    inner_positions = [(h + 0.5) / k - 0.5 for h, k in zip(inner, scale, strict=True)]
    picks = [rng.integers(len(h), size=config.points) for h in inner]
    up = [torch.from_numpy(axis_matrix("cubic", n, p)).to(region) for p in inner_positions]
    base = apply_axis_matrices(image, up)[tuple(map(torch.from_numpy, picks))]
    at = [torch.from_numpy(inner[a][picks[a]] + start[a] - low[a]) for a in range(3)]
    positions = np.stack([x[p] for x, p in zip(inner_positions, picks, strict=True)], axis=-1)

    acquisition = [
        UNKNOWN if not what.told_acquisition else degradation.name if k > 1 else NATIVE
        for k in scale
    ]
    condition = condition_vector(acquisition, what.noise if what.told_noise else None)
    return {
        "image": image[None],
        "condition": torch.tensor(condition),
        "positions": torch.from_numpy(positions).to(region),
        "cell": torch.from_numpy(1 / scale).to(region),
        "base": base,
        "truth": region[tuple(at)],
    }


def _patch_matrix(
    degradation: Degradation,
    n: int,
    scale: float,
    region: tuple[int, int, int],
    n_axis: int,
    own_view: bool,
) -> np.ndarray:
    """The degradation of `n` voxels that begin at the middle one of `region`: (low, start, high).

    Where the region ends inside the image, its content fades out over the context, so that the
    cut itself is not seen. An own view ends in real faces.
    """
    low, start, high = region
    if scale == 1:
        return np.eye(high - low)[start - low :][:n]
    positions = start - low + low_resolution_positions(n, scale)
    matrix = degradation.axis_matrix(high - low, positions, scale)
    before = 0.0 if own_view or low == 0 else start - low
    after = 0.0 if own_view or high == n_axis else high - start - n * scale
    return matrix * _fade(high - low, before, after)


def _fade(n: int, before: float, after: float) -> np.ndarray:
    """1 inside, a raised cosine down to 0 over the first `before` and last `after` voxels."""
    voxel = np.arange(n) + 0.5
    distance = np.minimum(voxel / max(before, 1e-6), (n - voxel) / max(after, 1e-6))
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(distance, 0, 1))


def _add_noise(image: Tensor, sigma: float, rng: np.random.Generator) -> Tensor:
    generator = torch.Generator(image.device).manual_seed(int(rng.integers(2**62)))
    noise = torch.randn((2, *image.shape), generator=generator, device=image.device) * sigma
    noisy = torch.hypot(image + noise[0], noise[1])
    # half of the noisy scans are skull-stripped after the noise: their air stays empty
    return noisy if rng.random() < 0.5 else torch.where(image > _AIR, noisy, image)


def random_contrast(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Another contrast for an image in about [0, 1]: smooth remapping, inversion, bias field."""
    if rng.random() < 0.25:  # bright becomes dark, air stays air
        image = torch.where(image > 0.02, 1.05 - image, image)
    a, b = rng.uniform(-0.6, 0.6), rng.uniform(-0.4, 0.4)
    image = image + image * (1 - image) * (a + b * (1 - 2 * image))
    for axis, n in enumerate(image.shape):
        u = torch.linspace(-1, 1, n, device=image.device)
        slope, bend = rng.uniform(-0.15, 0.15), rng.uniform(-0.1, 0.1)
        shading = 1 + slope * u + bend * u * u
        image = image * shading.view([-1 if a == axis else 1 for a in range(3)])
    return image * rng.uniform(0.7, 1.2)


def _turn(values: dict[str, Tensor], rng: np.random.Generator) -> dict[str, Tensor]:
    """The sample flipped and its axes permuted at random, everything that has axes alike."""
    order = rng.permutation(3)
    flips = [axis for axis in range(3) if rng.random() < 0.5]
    image = values["image"][0].permute(*order).flip(flips)[None]
    positions, cell = values["positions"][:, order], values["cell"][order]
    for axis in flips:
        positions[:, axis] = image.shape[axis + 1] - 1 - positions[:, axis]
    acquisition, noise = values["condition"][:-2].view(3, -1), values["condition"][-2:]
    condition = torch.cat([acquisition[order].flatten(), noise])
    return values | {"image": image, "positions": positions, "cell": cell, "condition": condition}


def batch(
    items: Sequence[Item],
    config: SamplingConfig,
    seed: int,
    step: int,
    rank: int = 0,
    ranks: int = 1,
) -> Batch:
    """Batch number `step` of a run; of several processes each draws its own share of it."""
    per_epoch = -(-len(items) // config.batch)
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng([seed, 0, epoch]).permutation(len(items))
    samples = []
    for index in range(rank, config.batch, ranks):
        rng = np.random.default_rng([seed, 1, step, index])
        item = items[order[(place * config.batch + index) % len(items)]]
        values = sample(item, config, draw(config, rng), rng)
        samples.append(_turn(values, rng) if rng.random() < config.turned else values)
    return stack(samples)


def stack(samples: Sequence[dict[str, Tensor]]) -> Batch:
    """Samples as one batch."""
    return Batch(**{f.name: torch.stack([s[f.name] for s in samples]) for f in fields(Batch)})
