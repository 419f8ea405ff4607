"""What each choice of the recipe is worth: short trainings that differ in one thing.

    python benchmarks/ablation.py DATA/train -o runs/ablation --seconds 90

Every variant trains for the same processor time on one thread, warm-up and cosine included, and
is judged by its gain over cubic interpolation on training images held out from all of them (no
validation image is touched). Variants already in the folder are kept; the table at the end is
that of docs/trainings.md.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from arssr.files import find_images, replacing
from arssr.networks import ImplicitVoxelNetwork, ModelConfig
from arssr.training.config import SamplingConfig, TrainConfig
from arssr.training.data import Item, load_items
from arssr.training.images import Resident
from arssr.training.loop import batch_loss, make_optimiser
from arssr.training.records import chosen_precision
from arssr.training.sampler import batch
from arssr.training.validation import Validation

HELD_OUT = ("coregqa", "m2307", "openms-19", "oasis-1128", "stroke")
BASE = TrainConfig.read("light")


class GlobalCoordinates(ImplicitVoxelNetwork):
    """The decoder is told the place in the patch, from -1 to 1, as in the paper."""

    def decode(self, features: Tensor, positions: Tensor, cell: Tensor) -> Tensor:
        """As the parent's, with another place."""
        half = positions.new_tensor(features.shape[2:]) / 2
        place = self.decoder.place

        def embed(at: Tensor, cell: Tensor, _shape: object) -> Tensor:
            x = (at + 0.5) / half - 1
            parts = torch.cat([x, x * 0, cell.expand_as(x)], dim=-1)
            return torch.nn.functional.linear(parts, place.weight, place.bias)

        self.decoder.embed_place = embed
        return super().decode(features, positions, cell)


class NoCell(ImplicitVoxelNetwork):
    """The decoder is not told how large the output voxels are."""

    def decode(self, features: Tensor, positions: Tensor, cell: Tensor) -> Tensor:
        """As the parent's, with the cell of 2x for all."""
        return super().decode(features, positions, torch.full_like(cell, 0.5))


class NoPlace(ImplicitVoxelNetwork):
    """The decoder is not told the position inside the voxel."""

    def decode(self, features: Tensor, positions: Tensor, cell: Tensor) -> Tensor:
        """As the parent's, with sine and cosine of 0."""
        embed = type(self.decoder).embed_place
        self.decoder.embed_place = lambda at, *told: embed(self.decoder, at * 0, *told)
        return super().decode(features, positions, cell)


class AbsoluteHead(ImplicitVoxelNetwork):
    """The paper's head: the intensity itself, through a last ReLU; all else as it is."""

    def decode(self, features: Tensor, positions: Tensor, cell: Tensor) -> Tensor:
        """The intensity, not a correction."""
        return torch.relu(super().decode(features, positions, cell) + 0.3)

    def intensities(self, values: Tensor, cubic: Tensor) -> Tensor:
        """The values themselves."""
        return values[..., 0]


@dataclass(frozen=True)
class Variant:
    """One training: what differs from the recipe."""

    about: str
    sampling: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    network: Callable[[ModelConfig], ImplicitVoxelNetwork] = ImplicitVoxelNetwork

    def config(self) -> TrainConfig:
        """The whole recipe."""
        sampling = replace(BASE.sampling, **self.sampling)
        model = replace(BASE.model, **self.model)
        return replace(BASE, sampling=sampling, model=model, **self.recipe)


VARIANTS = {
    "base": Variant("**the recipe** (4 patches of 12³)"),
    "patch 16": Variant("4 patches of 16³", {"patch": 16, "points": 3000}),
    "patch 10": Variant("4 patches of 10³ (the paper's size)", {"patch": 10}),
    "batch 8": Variant("8 patches of 12³", {"batch": 8}),
    "absolute head": Variant("intensity with a last ReLU (the paper's head)", network=AbsoluteHead),
    "global place": Variant(
        "place in the patch instead of in the voxel", network=GlobalCoordinates
    ),
    "no place": Variant("no place at all", network=NoPlace),
    "no cell": Variant("size of output voxels not told", network=NoCell),
    "told": Variant("acquisition and noise always told", {"unknown": 0.0}),
    "width 32": Variant("decoder width 32", model={"feature_dim": 32, "decoder_width": 32}),
    "width 128": Variant("decoder width 128", model={"feature_dim": 128, "decoder_width": 128}),
    "depth 2": Variant("decoder of 2 layers", model={"decoder_depth": 2}),
    "depth 6": Variant("decoder of 6 layers", model={"decoder_depth": 6}),
    "adamw": Variant("AdamW instead of Muon", recipe={"optimiser": "adamw"}),
    "l1": Variant("L1 loss on intensities", recipe={"loss": "l1"}),
    "lr 6e-4": Variant("half the learning rate", recipe={"lr": 6e-4}),
    "lr 2.4e-3": Variant("twice the learning rate", recipe={"lr": 2.4e-3}),
    "kspace only": Variant("trained on kspace alone", {"acquisitions": {"kspace": 1.0}}),
    "slice only": Variant("trained on slice alone", {"acquisitions": {"slice": 1.0}}),
    "spline only": Variant("trained on spline alone", {"acquisitions": {"spline": 1.0}}),
    "no contrast": Variant("no random contrast", {"contrast": 0.0}),
}


def run(variant: Variant, items: list[Item], validation: Validation, seconds: float) -> dict:
    """Train for `seconds` of processor time; steps taken and the validation's numbers."""
    config = variant.config()
    images = Resident.plain(items, config.seed, config.sampling.batch)
    torch.manual_seed(config.seed)
    network = variant.network(config.model)
    network.to(memory_format=torch.channels_last_3d)
    optimiser = make_optimiser(config, network)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.98))
    bf16 = chosen_precision(config.precision, torch.device("cpu")) == "bf16"
    started, step, spent = time.process_time(), 0, 0.0
    while (spent := time.process_time() - started) < seconds:
        data = batch(images, config.sampling, config.seed, step)
        warm = min(1.0, (step + 1) / 100)
        cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * spent / seconds))
        for group in optimiser.param_groups:
            group["lr"] = config.lr * warm * cosine
        image = data.image.contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            output = network(image, data.condition, data.positions, data.cell)
        values = network.intensities(output.float(), data.base)
        loss = batch_loss(config.loss, values, data)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        average.update_parameters(network)
        step += 1
    judged = average.module.eval()
    return {
        "steps": step,
        "parameters": network.parameter_count,
        **validation(judged),
    }


def table(results: dict[str, dict]) -> str:
    """Markdown: mean gain over cubic of each variant at 2x, and over all scales."""
    columns = ["gain/slice_2x", "gain/kspace_2x", "gain/spline_2x", "gain", "worst"]
    lines = [
        "| variant | steps | slice 2× | kspace 2× | spline 2× | mean of 2, 3, 4× | worst |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, values in results.items():
        numbers = " | ".join(f"{values[c]:+.2f}" for c in columns)
        lines.append(f"| {VARIANTS[name].about} | {values['steps']} | {numbers} |")
    return "\n".join(lines)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    paths = find_images([arguments.images])
    held = [path for path in paths if path.name.startswith(HELD_OUT)]
    items = load_items([path for path in paths if path not in held], 24)
    validation = Validation(load_items(held, 24), SamplingConfig())
    for name in arguments.only:
        target = arguments.out / f"{name}.json"
        if not target.exists():
            found = run(VARIANTS[name], items, validation, arguments.seconds)
            with replacing(target) as temporary:
                temporary.write_text(json.dumps(found, indent=1))
            print(name, {k: round(v, 2) for k, v in found.items()}, flush=True)
    done = {n: arguments.out / f"{n}.json" for n in VARIANTS}
    print(table({n: json.loads(p.read_text()) for n, p in done.items() if p.exists()}))


if __name__ == "__main__":
    main()
