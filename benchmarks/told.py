"""Does a network that is told gap, profile and window as numbers do better than one told a name?

    python benchmarks/told.py DATA -o runs/told

Both go on from the shipped `light` on the same samples of DATA/train. `names` is told a name along
each axis, as the product does. `numbers` is told more, through channels whose weights begin as
zero: by how much each number differs from what is typical of the name; each is withheld at random.
The encoder stays as it is. What it makes of the samples is computed once and kept in the folder;
how that is modulated and decoded is learnt. So this takes four minutes of one core, not the hours
of a training. Prints the table of docs/trainings.md, judged on DATA/val.
"""

import argparse
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from arssr.degradation import KSpace, Slice
from arssr.files import find_images, replacing
from arssr.networks import ACQUISITIONS, ImplicitVoxelNetwork, ModelConfig
from arssr.networks.model import SEEN, sample_trilinear
from arssr.training import sampler
from arssr.training.config import SamplingConfig
from arssr.training.data import Item, load_items
from arssr.training.draw import Draw
from arssr.training.images import Resident
from arssr.training.loop import batch_loss
from arssr.training.run import chosen_precision
from arssr.training.validation import Validation
from arssr.weights.registry import load

SAMPLING = SamplingConfig(batch=8, patch=16, points=700)
BATCHES, STEPS, LR, SEED = 400, 3000, 4e-4, 20
KNOWN = (*ACQUISITIONS, "gap", "profile", "window")  # channels an axis; noise has two more
UNITS = np.array([0.1, 0.5, 0.3])  # of these numbers
NUMBERS_AT = np.arange(3)[:, None] * len(KNOWN) + [3, 4, 5]  # (axis, number)
NAMES = [n for n in range(3 * len(KNOWN) + 2) if n not in NUMBERS_AT]
WITHHELD, ALL_WITHHELD = 1 / 3, 0.2  # shares of samples: of each number, and of all of them
TOLD = {"all": (1, 1, 1), "gap": (1, 0, 0), "window": (0, 0, 1), "none": (0, 0, 0)}
FAST = chosen_precision("auto", torch.device("cpu")) == "bf16"
NAMED = sampler._condition


def condition(item: Item, what: Draw, view: sampler._View, _known: object) -> list[float]:
    """In place of the sampler's own: per axis its names, and how gap, profile (0 Gaussian, 1 box)
    and window differ from the typical.
    """
    made, s, told = what.degradation, SAMPLING, []
    names = NAMED(item, what, view, ACQUISITIONS)
    for axis, place in enumerate(what.turn.order):
        numbers, finer = np.zeros(3), view.scale[place] > 1
        if isinstance(made, Slice) and finer:
            box = 0.0 if made.profile == "gaussian" else 1 - made.ramp
            numbers[0] = made.gap - s.gapped * np.mean(s.gap)
            numbers[1] = box - (1 - s.gaussian) * (1 - np.mean(s.ramp))
        elif isinstance(made, KSpace) or not finer:
            strength = made.apodisation if isinstance(made, KSpace) and finer else 0.0
            numbers[2] = strength - s.apodised * np.mean(s.apodisation)
        told += [*names[3 * axis : 3 * axis + 3], *(numbers / UNITS * what.told_acquisition)]
    return told + names[-2:]


def with_numbers(network: ImplicitVoxelNetwork) -> ImplicitVoxelNetwork:
    """The same network with more channels, which do nothing yet."""
    config = network.config.to_dict() | {"acquisitions": KNOWN}
    wide = ImplicitVoxelNetwork(ModelConfig.from_dict(config))
    state = wide.state_dict()
    for name, weight in network.state_dict().items():
        if weight.shape == state[name].shape:
            state[name] = weight
        else:  # the condition comes last, in the encoder after the image
            before = weight.shape[1] - len(NAMES)
            state[name].zero_()[:, [*range(before), *(before + n for n in NAMES)]] = weight
    wide.load_state_dict(state)
    return wide


@torch.no_grad()
def encoded(light: ImplicitVoxelNetwork, data: sampler.Batch) -> dict:
    """A batch, and what the encoder, told the names, says at its points."""
    told = data.condition[:, NAMES, None, None, None].expand(-1, -1, *data.image.shape[2:])
    seen = torch.cat([data.image.clamp(*SEEN), told], 1)
    with torch.autocast("cpu", torch.bfloat16, enabled=FAST):
        features = light.encoder(seen.contiguous(memory_format=torch.channels_last_3d))
    size = data.positions.new_tensor(data.image.shape[2:])
    read = sample_trilinear(features, (data.positions + 0.5) * (2 / size) - 1, "border").half()
    return vars(data) | {"image": size, "features": read}


def answer(network: ImplicitVoxelNetwork, data: dict, told: ArrayLike) -> Tensor:
    """Intensities at the points; told: (3,) or (N, 3), 1 for each number that is told."""
    vector = data["condition"].clone()
    for places in NUMBERS_AT:
        vector[:, places] *= torch.as_tensor(told, dtype=torch.float32)
    if network.config.acquisitions != KNOWN:
        vector = vector[:, NAMES]
    gain, shift = network.modulation(vector)[:, None].chunk(2, dim=2)
    place = data["positions"], data["cell"][:, None], data["image"].tolist()
    features = data["features"].float() * (1 + gain) + shift
    values = network.decoder(features, network.decoder.embed_place(*place))
    return network.intensities(values, data["base"])


def train(network: ImplicitVoxelNetwork, batches: list[dict]) -> ImplicitVoxelNetwork:
    """Modulation and decoder learn; the moving average of the network."""
    learning = [*network.modulation.parameters(), *network.decoder.parameters()]
    optimiser = torch.optim.AdamW(learning, lr=LR, betas=(0.9, 0.99))
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.995))
    for step in range(STEPS):
        turn, place = divmod(step, len(batches))
        data = batches[np.random.default_rng([5, turn]).permutation(len(batches))[place]]
        rng, count = np.random.default_rng([7, step]), len(data["condition"])
        told = (rng.random((count, 3)) > WITHHELD) * (rng.random((count, 1)) > ALL_WITHHELD)
        for group in optimiser.param_groups:
            group["lr"] = LR * min(1, (step + 1) / 50, 2 * (STEPS - step) / STEPS)
        batch_loss("relative", answer(network, data, told), SimpleNamespace(**data)).backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        average.update_parameters(network)
    return average.module


@torch.no_grad()
def judge(columns: dict, groups: list[tuple[str, dict]]) -> None:
    """Print the gain of each over cubic interpolation, mean of 2, 3 and 4 times, in dB."""
    gains: dict[str, list[list[float]]] = {}
    for name, data in groups:
        values = [data["base"], *(answer(net, data, told) for net, told in columns.values())]
        psnr = [-10 * np.log10(float((v - data["truth"]).square().mean())) for v in values]
        gains.setdefault(name, []).append([each - psnr[0] for each in psnr[1:]])
    gains["all"] = [row for rows in gains.values() for row in rows]
    print("| scan |", " | ".join(columns), "|\n|---|" + "---:|" * len(columns))
    for name, rows in gains.items():
        print(f"| {name} |", " | ".join(f"{mean:+.2f}" for mean in np.mean(rows, axis=0)), "|")


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What was made before, or now."""
    if not path.exists():
        made = make()
        with replacing(path) as temporary:
            torch.save(made, temporary)
    return torch.load(path, weights_only=True)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    sampler._condition = condition
    light = load("light").network.requires_grad_(True)

    def samples() -> list[dict]:
        images = load_items(find_images([options.data / "train"]), 24)
        images = Resident.plain(images, SEED, SAMPLING.batch)
        return [encoded(light, sampler.batch(images, SAMPLING, SEED, n)) for n in range(BATCHES)]

    def questions() -> list[tuple[str, dict]]:
        groups = Validation(load_items(find_images([options.data / "val"]), 24), SamplingConfig())
        return [(name, encoded(light, data)) for name, _, data in groups.groups]

    batches = kept(options.out / "train.pt", samples)
    arms = {"names": deepcopy(light), "numbers": with_numbers(light)}
    for name, network in arms.items():
        state = kept(options.out / f"{name}.pt", lambda n=network: train(n, batches).state_dict())
        network.load_state_dict(state)
    columns = {"`light`": (light, TOLD["none"]), "names": (arms["names"], TOLD["none"])}
    columns |= {f"numbers: {name}": (arms["numbers"], told) for name, told in TOLD.items()}
    judge(columns, kept(options.out / "val.pt", questions))


if __name__ == "__main__":
    main()
