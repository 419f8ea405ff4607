"""How good a network is, quickly: the gain over cubic interpolation on fixed questions."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from arssr.networks import ImplicitVoxelNetwork
from arssr.training.config import SamplingConfig
from arssr.training.data import Item
from arssr.training.sampler import Batch, Draw, sample, stack

_SCALES = (2.0, 3.0, 4.0)
_PATCHES = 2  # a volume, acquisition and scale


class Validation:
    """Fixed patches of every item for every acquisition of a recipe at 2x, 3x and 4x, noise-free.

    Called with a network it returns scalars in dB: the mean gain over cubic interpolation (or,
    for a network that does not start from it, over what cubic would give) of each acquisition
    and scale, their mean ("gain") and the smallest over all volumes ("worst").
    """

    def __init__(
        self, items: Sequence[Item], sampling: SamplingConfig, device: torch.device
    ) -> None:
        size = min(sampling.patch + 8, *(min(item.image.shape) for item in items))
        fixed = replace(sampling, patch=size, points=20_000)
        self.groups: list[tuple[str, int, Batch]] = []
        for number, item in enumerate(items):
            for acquisition in sampling.acquisitions:
                for scale in _SCALES:
                    what = Draw(acquisition, np.full(3, scale), 0.0, True, True, False, False)
                    rng = np.random.default_rng([number, int(scale)])
                    samples = [sample(item, fixed, what, rng) for _ in range(_PATCHES)]
                    key = f"{acquisition}_{scale:g}x"
                    self.groups.append((key, number, stack(samples).to(device)))

    @torch.no_grad()
    def __call__(self, network: ImplicitVoxelNetwork) -> dict[str, float]:
        gains: dict[str, list[float]] = {}
        for key, _, data in self.groups:
            condition = data.condition if network.is_residual else None
            output = network(data.image, condition, data.positions, data.cell)
            values = data.base + output if network.is_residual else output
            error = (values - data.truth).square().mean().item()
            cubic = (data.base - data.truth).square().mean().item()
            gains.setdefault(key, []).append(10 * math.log10(max(cubic, 1e-12) / max(error, 1e-12)))
        means = {f"gain/{key}": float(np.mean(values)) for key, values in gains.items()}
        return means | {
            "gain": float(np.mean(list(means.values()))),
            "worst": min(min(values) for values in gains.values()),
        }
