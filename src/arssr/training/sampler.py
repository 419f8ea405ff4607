"""From high-resolution images to training batches, on the device that holds the images.

A sample is drawn from `np.random.default_rng([seed, 1, step, index])` and nothing else: any step of
a run can be drawn again, on any process, in any order. That is all that resuming and data-parallel
training need.

The host draws a few numbers a sample and builds the small matrices of its acquisition. All that
is per voxel happens on the device: sample by sample where regions differ in size (read a region,
three matrix products), for the whole batch at once where they do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor

from arssr.degradation import Degradation, low_resolution_positions
from arssr.interpolation import cubic_at
from arssr.networks import (
    ACQUISITIONS,
    NATIVE,
    UNKNOWN,
    condition_channels,
    condition_vector,
)
from arssr.training.config import SamplingConfig
from arssr.training.data import Item
from arssr.training.draw import Contrast, Draw, Turn, draw
from arssr.training.images import Images

_AIR = 0.01  # normalised intensity below which a skull-stripped scan has no noise
_DARK = 0.02  # normalised intensity that a contrast does not turn into a bright one
_IN_CACHE = 2**18  # voxels that a processor reads and multiplies without going to memory


@dataclass(frozen=True)
class Batch:
    """Samples stacked: N patches of n^3 voxels, P points each."""

    image: Tensor  # (N, 1, n, n, n) low-resolution patches, normalised intensity
    condition: Tensor  # (N, C), see networks.condition_vector
    positions: Tensor  # (N, P, 3) voxel coordinates in the patch
    cell: Tensor  # (N, 3) size of a high-resolution voxel in low-resolution voxels
    base: Tensor  # (N, P) cubic interpolation of the patch
    truth: Tensor  # (N, P)

    @staticmethod
    def shapes(
        config: SamplingConfig, count: int, known: Sequence[str]
    ) -> dict[str, tuple[int, ...]]:
        """Of each part of a batch of `count` samples."""
        n, points = config.patch, config.points
        return {
            "image": (count, 1, n, n, n),
            "condition": (count, condition_channels(known)),
            "positions": (count, points, 3),
            "cell": (count, 3),
            "base": (count, points),
            "truth": (count, points),
        }


@dataclass(frozen=True)
class _View:
    """Where a sample lies in its image, in high-resolution voxels along each axis."""

    scale: np.ndarray  # high-resolution voxels per low-resolution voxel
    start: np.ndarray  # first voxel of the patch
    low: np.ndarray  # first voxel and …
    high: np.ndarray  # … end of the region that is simulated
    first: np.ndarray  # first voxel, counted from the patch's, whose centre keeps the margin
    count: np.ndarray  # how many do

    @classmethod
    def draw(
        cls, item: Item, config: SamplingConfig, what: Draw, rng: np.random.Generator
    ) -> "_View":
        """A patch around a voxel of the foreground."""
        shape = np.array(item.image.shape)
        scale = np.minimum(what.scale_ijk, shape / config.patch)
        context = 0.0 if what.own_view else config.context
        margin = 0.0 if what.own_view else config.margin
        extent = np.floor(config.patch * scale + 1e-6).astype(int)
        if what.own_view:
            scale = extent / config.patch
        centre = item.centres[rng.integers(len(item.centres))] if len(item.centres) else shape // 2
        start = np.clip(centre - extent // 2, 0, shape - extent)
        # Simulated with context, as far as the image goes. Ringing reaches across the whole
        # image, so a k-space axis is taken whole.
        around = np.ceil(context * scale).astype(int)
        if what.degradation.name == "kspace" and not what.own_view:
            around = np.where(scale > 1, shape, around)
        first = np.ceil(margin * scale).astype(int)
        return cls(
            scale,
            start,
            low=np.maximum(start - around, 0),
            high=np.minimum(start + extent + around, shape),
            first=first,
            count=(extent - margin * scale).astype(int) - first,
        )


def simulate(
    items: Sequence[Item],
    config: SamplingConfig,
    draws: Sequence[Draw],
    rngs: Sequence[np.random.Generator],
    known: Sequence[str] = ACQUISITIONS,
) -> Batch:
    """A sample of each item, of the kind drawn for it, where its generator says.

    known: acquisitions that the network can be told of.
    """
    device, n = items[0].image.device, config.patch
    views = [_View.draw(*each) for each in zip(items, repeat(config), draws, rngs, strict=False)]
    dice = [torch.Generator(device).manual_seed(int(rng.integers(2**62))) for rng in rngs]
    tables = _tables(items, draws)

    kinds = list(zip(items, draws, views, strict=True))
    matrices = iter(_matrices_on(device, [m for kind in kinds for m in _axis_matrices(*kind, n)]))
    patches = []
    for item, view, table in zip(items, views, tables, strict=True):
        region = item.image[tuple(map(slice, view.low, view.high))]
        patches.append(_scan(region, table, next(matrices), next(matrices), next(matrices)))
    image = _add_noise(torch.stack(patches), draws, dice)

    facts = [(v.scale, v.start, v.low, v.high, v.first, v.count) for v in views]
    scale, start, low, high, first, count = _to(device, facts)[:, :, None].unbind(1)
    uniform = [torch.rand((config.points, 3), generator=g, device=device) for g in dice]
    picks = first + torch.minimum((torch.stack(uniform) * count).floor(), count - 1)
    positions = (picks + 0.5) / scale - 0.5
    at = picks + start
    truth = torch.stack(
        [
            _read(item.image[tuple(index.T)], table)
            for item, table, index in zip(items, tables, at.long(), strict=True)
        ]
    )
    truth *= _shading_at((at - low) / (high - low - 1).clamp_min(1) * 2 - 1, draws)
    return Batch(
        image=torch.stack([_turned(i, w.turn) for i, w in zip(image, draws, strict=True)])[:, None],
        condition=_to(device, [_condition(*kind, known) for kind in kinds]),
        positions=_turned_positions(positions, n, draws),
        cell=_to(device, [1 / v.scale[list(w.turn.order)] for _, w, v in kinds]),
        base=cubic_at(image, positions),
        truth=truth,
    )


def batch(
    images: Images,
    config: SamplingConfig,
    seed: int,
    step: int,
    rank: int = 0,
    ranks: int = 1,
    known: Sequence[str] = ACQUISITIONS,
) -> Batch:
    """Batch number `step` of a run; of several processes each draws its own share of it."""
    return share(images.for_step(step)[rank::ranks], config, seed, step, rank, ranks, known)


def share(
    items: Sequence[Item],
    config: SamplingConfig,
    seed: int,
    step: int,
    rank: int,
    ranks: int,
    known: Sequence[str] = ACQUISITIONS,
) -> Batch:
    """A process's share of batch number `step`: a sample of each of these images."""
    indices = range(rank, config.batch, ranks)
    rngs = [np.random.default_rng([seed, 1, step, index]) for index in indices]
    draws = [draw(config, rng, item.thick_axes) for item, rng in zip(items, rngs, strict=True)]
    return simulate(items, config, draws, rngs, known)


def _to(device: torch.device, numbers: Any) -> Tensor:
    """Numbers of the host, float32, on the device."""
    return torch.from_numpy(np.asarray(numbers, np.float32)).to(device, non_blocking=True)


# --- an image as it is stored, and as a sample sees it -------------------------------------------


def _tables(items: Sequence[Item], draws: Sequence[Draw]) -> Tensor:
    """(N, 65536): for each sample, what each of the values that float16 has stands for."""
    device = items[0].image.device
    codes = torch.arange(2**16, dtype=torch.int32, device=device).to(torch.int16)
    stored = codes.view(torch.float16).float()
    tables = []
    for item, what in zip(items, draws, strict=True):
        table = stored if what.contrast is None else remap(stored, what.contrast)
        tables.append(table * item.units.scale + item.units.offset)
    return torch.stack(tables)


def _read(stored: Tensor, table: Tensor) -> Tensor:
    """Stored float16 values of any shape, looked up: float32."""
    codes = stored.view(torch.uint16).int()
    return torch.index_select(table, 0, codes.flatten()).view(codes.shape)


def remap(values: Tensor, contrast: Contrast) -> Tensor:
    """Normalised intensities in another contrast, its bias field and gain apart."""
    if contrast.inverted:
        values = torch.where(values > _DARK, 1.05 - values, values)
    if contrast.gamma != 1:
        values = torch.where(values > 0, values.clamp_min(0) ** contrast.gamma, values)
    bend = contrast.bend + contrast.skew * (1 - 2 * values)
    return values + values * (1 - values) * bend


def _shading_at(u: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Bias field and gain (N, P) of each sample at places (N, P, 3) in [-1, 1] of its region."""
    contrasts = [what.contrast or Contrast() for what in draws]
    slope, curve = _to(u.device, [c.shading for c in contrasts])[:, None].unbind(-1)
    gain = _to(u.device, [c.gain for c in contrasts])[:, None]
    return (1 + slope * u + curve * u * u).prod(dim=-1) * gain


# --- from a region to a low-resolution patch -----------------------------------------------------


def _axis_matrices(item: Item, what: Draw, view: _View, n: int) -> list[np.ndarray]:
    """What the acquisition does to the region along each axis (n, voxels), bias field included."""
    contrast = what.contrast or Contrast()
    matrices = []
    for axis, length in enumerate(item.image.shape):
        low, start, high = int(view.low[axis]), int(view.start[axis]), int(view.high[axis])
        scale, own_view = float(view.scale[axis]), what.own_view
        matrix = _patch_matrix(what.degradation, n, scale, (low, start, high), length, own_view)
        u = np.linspace(-1, 1, high - low)
        slope, curve = contrast.shading[axis]
        matrices.append(matrix * (1 + slope * u + curve * u * u))
    matrices[0] *= contrast.gain
    return matrices


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


def _matrices_on(device: torch.device, matrices: Sequence[np.ndarray]) -> list[Tensor]:
    """All matrices on the device, in a single transfer."""
    flat = _to(device, np.concatenate([m.ravel() for m in matrices]))
    parts = flat.split([m.size for m in matrices])
    return [part.view(m.shape) for part, m in zip(parts, matrices, strict=True)]


def _scan(region: Tensor, table: Tensor, i: Tensor, j: Tensor, k: Tensor) -> Tensor:
    """The region (I, J, K) as stored, looked up and multiplied along each axis: (n, n, n).

    A processor goes through it in slabs that stay in its cache (a third of the time).
    """
    slab = len(region)
    if region.device.type == "cpu":
        slab = max(1, _IN_CACHE // region[0].numel())
    planes = torch.cat([j @ (_read(part, table) @ k.T) for part in region.split(slab)])
    return (i @ planes.flatten(1)).view(-1, *planes.shape[1:])


def _add_noise(image: Tensor, draws: Sequence[Draw], dice: Sequence[torch.Generator]) -> Tensor:
    """Rician noise for the patches (N, n, n, n) that have some (Gudbjartsson and Patz 1995)."""
    if not any(what.noise for what in draws):
        return image
    shape = (2, *image.shape[1:])
    real, imaginary = torch.stack(
        [
            torch.randn(shape, generator=g, device=image.device) * what.noise
            if what.noise
            else image.new_zeros(shape)
            for what, g in zip(draws, dice, strict=True)
        ],
        dim=1,
    )
    clean = _to(image.device, [not what.noise for what in draws]).bool()[:, None, None, None]
    bare = _to(image.device, [what.stripped for what in draws]).bool()[:, None, None, None]
    return torch.where(clean | (bare & (image <= _AIR)), image, (image + real).hypot(imaginary))


# --- turned, and told ----------------------------------------------------------------------------


def _turned(image: Tensor, turn: Turn) -> Tensor:
    return image.permute(turn.order).flip([a for a in range(3) if turn.flipped[a]])


def _turned_positions(positions: Tensor, n: int, draws: Sequence[Draw]) -> Tensor:
    """Positions (N, P, 3) in the turned patches of `n` voxels a side."""
    order = _to(positions.device, [what.turn.order for what in draws]).long()
    flipped = _to(positions.device, [what.turn.flipped for what in draws]).bool()
    positions = positions.gather(2, order[:, None].expand_as(positions))
    return torch.where(flipped[:, None], n - 1 - positions, positions)


def _condition(item: Item, what: Draw, view: _View, known: Sequence[str]) -> list[float]:
    """What the network is told about the turned sample."""
    name = what.degradation.name
    told = [UNKNOWN if not what.told_acquisition else name if k > 1 else NATIVE for k in view.scale]
    noise = float(np.hypot(what.noise, item.noise)) if what.told_noise else None
    return condition_vector([told[axis] for axis in what.turn.order], noise, known)
