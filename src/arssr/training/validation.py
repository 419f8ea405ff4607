"""How good a network is, quickly: the gain over cubic interpolation on fixed questions."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from arssr.degradation import degrade, named_degradation
from arssr.field import VoxelField
from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.interpolation import resample
from arssr.networks import ACQUISITIONS, ImplicitVoxelNetwork
from arssr.training.config import SamplingConfig
from arssr.training.data import Item
from arssr.training.draw import Draw
from arssr.training.sampler import Batch, simulate
from arssr.volume import Volume

_SCALES = (2.0, 3.0, 4.0)
_MOST_ITEMS = 12
_SIDE = 96  # voxels of an example slice


# As scanners make them: what the protocol `scanners` asks.
SCANNERS = (
    "kspace-apodised",
    "slice-box",
    "slice-trapezoid",
    "slice-gap20",
    "slice-trapezoid-gap25",
)


class Validation:
    """A fixed patch of every item at 2x, 3x and 4x, noise-free: of the ideal acquisitions that a
    recipe names, and of those of their kinds that scanners make.

    Called with a network it returns scalars in dB: PSNR (range 1 in normalised intensity) and
    gain over cubic interpolation of each acquisition and scale, means over the items; the mean of
    the ideal gains ("ideal") and of the others ("scanners"); the mean of both ("gain") and the
    smallest gain of all ("worst"). Of many items it takes some, evenly. The patches lie where the
    items do.
    """

    def __init__(
        self, items: Sequence[Item], sampling: SamplingConfig, known: Sequence[str] = ACQUISITIONS
    ) -> None:
        self.ideal = list(sampling.acquisitions)
        kinds = {named_degradation(name).name for name in self.ideal}
        scanners = [n for n in SCANNERS if named_degradation(n).name in kinds]
        self.groups: list[tuple[str, str, Batch]] = []
        for number, item in enumerate(items[:: -(-len(items) // _MOST_ITEMS)]):
            for acquisition in [*self.ideal, *scanners]:
                for scale in _SCALES:
                    patch = min(sampling.patch + 8, int(min(item.image.shape) / scale))
                    margin = min(sampling.margin, patch / 4, max(0, patch / 2 - 2))
                    fixed = replace(sampling, patch=patch, margin=margin, points=20_000)
                    what = Draw(named_degradation(acquisition), np.full(3, scale))
                    where = np.random.default_rng([number, int(scale), 0])
                    patches = simulate([item], fixed, [what], [where], known)
                    self.groups.append((acquisition, f"{scale:g}x", patches))

    @torch.no_grad()
    def __call__(self, network: ImplicitVoxelNetwork) -> dict[str, float]:
        gains: dict[tuple[str, str], list[float]] = {}
        psnrs: dict[tuple[str, str], list[float]] = {}
        for acquisition, scale, data in self.groups:
            output = network(data.image, data.condition, data.positions, data.cell)
            values = network.intensities(output, data.base)
            psnr = _psnr(values - data.truth)
            psnrs.setdefault((acquisition, scale), []).append(psnr)
            gains.setdefault((acquisition, scale), []).append(psnr - _psnr(data.base - data.truth))
        means = {key: float(np.mean(values)) for key, values in gains.items()}
        ideal = [gain for (name, _), gain in means.items() if name in self.ideal]
        others = [gain for (name, _), gain in means.items() if name not in self.ideal]
        groups = {"ideal": float(np.mean(ideal))}
        if others:
            groups["scanners"] = float(np.mean(others))
        return {
            **{f"psnr/{name}_{scale}": float(np.mean(v)) for (name, scale), v in psnrs.items()},
            **{f"gain/{name}_{scale}": gain for (name, scale), gain in means.items()},
            **groups,
            "gain": float(np.mean(list(groups.values()))),
            "worst": min(min(values) for values in gains.values()),
        }


def _psnr(error: Tensor) -> float:
    return -10 * math.log10(max(error.square().mean().item(), 1e-12))


def example_slice(network: ImplicitVoxelNetwork, item: Item, acquisition: str) -> np.ndarray:
    """A slice through the middle of an item at 2x: input, cubic, result and truth side by side.

    (H, 4 W) float32 in [0, 1], to look at while training goes on.
    """
    middle = [slice(max(0, n // 2 - _SIDE // 2), n // 2 + _SIDE // 2) for n in item.image.shape]
    crop = item.units.invert(item.image[tuple(middle)].float().cpu().numpy())
    truth = Volume(crop, Grid(crop.shape, np.eye(4)))
    degradation = named_degradation(acquisition)
    lr = degrade(truth, 2.0, degradation)
    shift = np.eye(4)
    shift[2, 3] = crop.shape[2] // 2
    plane = Grid((crop.shape[0], crop.shape[1], 1), shift)
    told = (degradation.name,) * 3
    field = VoxelField(network, lr, Normalisation.identity(), acquisition_ijk=told, noise=0.0)
    columns = [
        resample(lr, plane, "nearest"),
        resample(lr, plane, "cubic"),
        field.on(plane),
        resample(truth, plane, "nearest"),
    ]
    shown = np.concatenate([c.data[..., 0] for c in columns], axis=1)
    return np.clip(item.units.apply(shown), 0, 1)
