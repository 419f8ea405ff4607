"""What a run keeps of itself: its cards and weights, what validation found, its diary."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from arssr.engine.machine import fast_bf16
from arssr.files import counted
from arssr.networks import ImplicitVoxelNetwork
from arssr.training.config import TrainConfig
from arssr.training.data import Item
from arssr.training.diary import Diary
from arssr.training.loop import Progress, Trainer
from arssr.training.sides import Sides
from arssr.training.validation import Validation, example_slice
from arssr.weights.files import save_weights
from arssr.weights.registry import Weights

if TYPE_CHECKING:
    from lightning.fabric import Fabric

WEIGHTS, BEST = "weights.safetensors", "best.safetensors"


@dataclass(frozen=True)
class Listener:
    """What a caller wants to hear of a run."""

    on_step: Callable[[Progress], None] = lambda _: None
    on_checking: Callable[[int, int], None] = lambda _done, _total: None
    on_loading: Callable[[int, int], None] = lambda _done, _total: None
    on_validation: Callable[[Mapping[str, float], int], None] = lambda _values, _step: None
    on_news: Callable[[str], None] = lambda _: None  # what is done now, in words


SILENT = Listener()


@dataclass
class Records:
    """What becomes of the steps of a run.

    val: the images of validation, as many as `data` names. started_from: `describe_weights` of
    those. diary: of the process that writes, while the run goes on.
    """

    folder: Path
    config: TrainConfig
    data: Sides
    val: Sequence[Item]
    fabric: "Fabric"
    started_from: Mapping[str, Any] | None
    listener: Listener
    diary: Diary | None = None
    _validation: Validation | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.val:
            known = self.config.model.acquisitions
            self._validation = Validation(self.val, self.config.sampling, known)

    def card(self, step: int, seconds: float) -> dict[str, Any]:
        """Of the weights after so many steps, which took so many seconds."""
        normalises = self.config.model.normalises
        return {
            "data": [image.describe() for image in self.data.train],
            "truth": "cut to its own band" if normalises else "as stored",
            **describe_work(self.config, step, seconds, self.fabric.device),
            "started_from": self.started_from,
        }

    def on_step(self, progress: Progress) -> None:
        """Write the loss down."""
        if self.diary:
            self.diary.on_step(progress)
        self.listener.on_step(progress)

    def save(self, trainer: Trainer, network: ImplicitVoxelNetwork) -> None:
        """Write the weights of the step that the trainer has reached."""
        save_weights(self.folder / WEIGHTS, network, self.card(trainer.step, trainer.seconds))

    def validate(self, averaged: ImplicitVoxelNetwork) -> tuple[dict[str, float], dict[str, Any]]:
        """Numbers, and pictures by what they show."""
        if self._validation is None:
            return {}, {}
        with self.fabric.autocast():
            values = self._validation(averaged)
        names = self.config.sampling.acquisitions
        return values, {name: example_slice(averaged, self.val[0], name) for name in names}

    def judge(self, trainer: Trainer, averaged: ImplicitVoxelNetwork) -> None:
        """Validate the averaged weights, and keep them where none were better."""
        values, pictures = self.validate(averaged)
        if not values:
            return
        step = trainer.step
        if self.diary:
            self.diary.on_validation(values, pictures, step)
        if values["gain"] > trainer.best.get("gain", -float("inf")):
            trainer.best = {"gain": values["gain"], "worst": values["worst"], "step": step}
            chosen = {"chosen_on": [image.describe() for image in self.data.val]}
            card = self.card(step, trainer.seconds) | chosen
            save_weights(self.folder / BEST, averaged, card)
        self.listener.on_validation(values, step)


def chosen_precision(precision: str, device: torch.device) -> str:
    """bf16 or float32: what a recipe says, or what is faster on a device ("auto")."""
    if precision != "auto":
        return precision
    return "bf16" if fast_bf16(device) else "float32"


def describe_work(
    config: TrainConfig, steps: int, seconds: float, device: torch.device
) -> dict[str, Any]:
    """What a training has done, for the card."""
    return {
        "recipe": config.to_dict(),
        "steps": steps,
        "hours": round(seconds / 3600, 3),
        "device": describe_device(device),
        "precision": chosen_precision(config.precision, device),
        "versions": {name: version(name) for name in ("arssr", "torch")},
    }


def describe_weights(weights: Weights) -> dict[str, Any]:
    """Where a training started, for the card of what came of it."""
    kept = ("recipe", "data", "steps", "hours", "device", "started_from")
    card = {key: weights.card[key] for key in kept if key in weights.card}
    return {"name": weights.name, "sha256": weights.sha256, **card}


def describe_device(device: torch.device) -> str:
    """What the run computes on, for the card."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.machine()}, {counted(torch.get_num_threads(), 'thread')})"
