"""Does a network that is told the profile, the gap and the window as numbers do better?

    python benchmarks/told.py DATA -o runs/told --steps 4000 --minutes 60

Two networks go on from the shipped `light` on the same batches, step by step. One is told a name
along each axis (kspace, slice, spline), as the product does; the other numbers as well, through
channels whose weights begin as zero. Of a fifth of its samples it is told the name alone, so that
it can do without the numbers. Both are judged on DATA/val beside `light`; the table is that of
docs/training.md. `--minutes` bounds the wall-clock time: the learning rate then falls sooner.
A run that was ended goes on where it was last saved.
"""

import argparse
import math
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from arssr.degradation import KSpace, Slice
from arssr.files import find_images, replacing
from arssr.networks import ACQUISITIONS, ImplicitVoxelNetwork, ModelConfig
from arssr.training import sampler
from arssr.training.config import SamplingConfig, TrainConfig
from arssr.training.data import Item, load_items
from arssr.training.draw import Draw
from arssr.training.images import Resident
from arssr.training.loop import batch_loss, make_optimiser
from arssr.training.run import chosen_precision
from arssr.training.validation import Validation
from arssr.weights.registry import load

NUMBERS = ("numbers", "gap", "shape", "apodisation")  # the first: 1 where the others are told
WITH_NUMBERS = (*ACQUISITIONS, *NUMBERS)
WIDTH = len(WITH_NUMBERS)
ALL = range(3 * WIDTH + 2)  # channels of the condition: names and numbers per axis, then noise
NUMBERS_AT = [n for n in ALL[: 3 * WIDTH] if n % WIDTH >= len(ACQUISITIONS)]
NAMES = [n for n in ALL if n not in NUMBERS_AT]
SAMPLING = SamplingConfig(batch=8, patch=16, points=2500)
RECIPE = replace(TrainConfig.read("light"), sampling=SAMPLING, optimiser="adamw", lr=2e-4)
NAME_ALONE = 0.2  # share of the samples of which numbers are not told
EVERY = 100  # steps from one checkpoint to the next


def numbers_of(what: Draw) -> tuple[float, float, float, float]:
    """Of an acquisition along an axis, each up to 2 or 3: the gap; 0 for a Gaussian profile, 2 for
    a box and between them trapezoids; the strength of the window.
    """
    match what.degradation:
        case Slice() as made:
            shape = 0.0 if made.profile == "gaussian" else 1 - made.ramp
            return 1.0, made.gap / 0.1, 2 * shape, 0.0
        case KSpace() as made:
            return 1.0, 0.0, 0.0, made.apodisation / 0.3
    return 1.0, 0.0, 0.0, 0.0


def condition(item: Item, what: Draw, view: sampler._View, _known: object) -> list[float]:
    """In place of the sampler's own: names and numbers."""
    named = NAMED(item, what, view, ACQUISITIONS)
    told = []
    for axis, place in enumerate(what.turn.order):
        finer = view.scale[place] > 1
        numbers = numbers_of(what) if finer else (1.0, 0.0, 0.0, 0.0)
        told += named[3 * axis : 3 * axis + 3]
        told += numbers if what.told_acquisition or not finer else [0.0] * 4
    return told + named[-2:]


NAMED = sampler._condition


class Told(nn.Module):
    """A network, and which channels of the condition it gets."""

    def __init__(self, network: ImplicitVoxelNetwork, channels: Sequence[int]) -> None:
        super().__init__()
        self.network, self.channels = network, channels
        self.intensities = network.intensities

    def forward(self, image: Tensor, condition: Tensor, positions: Tensor, cell: Tensor) -> Tensor:
        """As a network's, of which what is not in `channels` is not told."""
        told = torch.zeros_like(condition)
        told[:, self.channels] = condition[:, self.channels]
        if self.network.config.condition_channels == len(NAMES):
            told = condition[:, NAMES]
        return self.network(image, told, positions, cell)


def with_numbers(network: ImplicitVoxelNetwork) -> ImplicitVoxelNetwork:
    """The same network with more channels, which do nothing yet."""
    config = ModelConfig.from_dict({**network.config.to_dict(), "acquisitions": WITH_NUMBERS})
    wide = ImplicitVoxelNetwork(config)
    state = wide.state_dict()
    for name, weight in network.state_dict().items():
        if weight.shape == state[name].shape:
            state[name] = weight
        else:  # the condition comes last, in the encoder after the image
            before = weight.shape[1] - len(NAMES)
            state[name].zero_()[:, [*range(before), *(before + n for n in NAMES)]] = weight
    wide.load_state_dict(state)
    return wide


def step(told: Told, optimiser: torch.optim.Optimizer, data: sampler.Batch, bf16: bool) -> float:
    """One step of a network on a batch; the loss."""
    image = data.image.contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        output = told(image, data.condition, data.positions, data.cell)
    loss = batch_loss("relative", told.intensities(output.float(), data.base), data)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(told.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return loss.item()


def train(arms: list[Told], images: Resident, out: Path, steps: int, seconds: float) -> None:
    """All networks on the same batches; they become their moving averages."""
    optimisers = [make_optimiser(RECIPE, arm) for arm in arms]
    averages = [AveragedModel(arm, multi_avg_fn=get_ema_multi_avg_fn(0.998)) for arm in arms]
    kept: list[list] = [arms, optimisers, averages]
    bf16 = chosen_precision("auto", torch.device("cpu")) == "bf16"
    number, share, before, began = 0, 0.0, 0.0, time.monotonic()
    if (out / "last.ckpt").exists():
        state = torch.load(out / "last.ckpt", weights_only=True)
        number, before = state["step"], state["seconds"]
        for each, states in zip(kept, state["kept"], strict=True):
            [one.load_state_dict(s) for one, s in zip(each, states, strict=True)]
    while share < 1:
        data = sampler.batch(images, SAMPLING, RECIPE.seed, number)
        alone = np.random.default_rng([RECIPE.seed, 7, number]).random(SAMPLING.batch) < NAME_ALONE
        data.condition[np.ix_(alone, NUMBERS_AT)] = 0
        spent = before + time.monotonic() - began
        share = min(1.0, max((number + 1) / steps, spent / seconds))
        rate = min(1.0, (number + 1) / 100) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))
        losses = []
        for arm, optimiser, average in zip(arms, optimisers, averages, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = RECIPE.lr * rate
            losses.append(step(arm, optimiser, data, bf16))
            average.update_parameters(arm)
        number += 1
        if number % EVERY == 1 or share == 1:
            print(number, f"{spent:.0f} s", f"{time.process_time():.0f} CPU s", losses, flush=True)
            state = {"step": number, "seconds": spent}
            state["kept"] = [[one.state_dict() for one in each] for each in kept]
            with replacing(out / "last.ckpt") as temporary:
                torch.save(state, temporary)
    for arm, average in zip(arms, averages, strict=True):
        arm.load_state_dict(average.module.state_dict())


def judge(columns: dict[str, Told], items: list[Item]) -> None:
    """Print the gain of each over cubic interpolation, mean of 2, 3 and 4 times, in dB."""
    validation = Validation([*items, *items], SamplingConfig())  # two patches of each
    found = {name: validation(told.eval()) for name, told in columns.items()}
    first = next(iter(found.values()))
    print("\n| told as | " + " | ".join(columns) + " |\n| --- |" + " ---: |" * len(columns))
    kinds = dict.fromkeys(key[5:-3] for key in first if key.startswith("gain/"))
    for kind in [*kinds, "ideal", "scanners", "worst"]:
        keys = [key for key in first if key[5:-3] == kind and key.startswith("gain/")] or [kind]
        means = [np.mean([values[key] for key in keys]) for values in found.values()]
        print(f"| {kind} | " + " | ".join(f"{mean:+.3f}" for mean in means) + " |")


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--minutes", type=float, default=math.inf)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    sampler._condition = condition
    light = load("light").network
    both = [Told(deepcopy(light).requires_grad_(True), NAMES), Told(with_numbers(light), ALL)]
    items = load_items(find_images([options.data / "train"]), 24)
    images = Resident.plain(items, RECIPE.seed, SAMPLING.batch)
    train(both, images, options.out, options.steps, 60 * options.minutes)
    name, numbers = both
    columns = {"`light`": Told(light, NAMES), "name": name, "name and numbers": numbers}
    columns["numbers withheld"] = Told(numbers.network, NAMES)
    val = load_items(find_images([options.data / "val"]), 24)
    judge(columns, val)
    print("\nTold nothing but the noise:")
    del columns["numbers withheld"]
    judge({column: Told(told.network, NAMES[-2:]) for column, told in columns.items()}, val)


if __name__ == "__main__":
    main()
