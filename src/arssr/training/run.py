"""A whole run: data in, weights out."""

import logging
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from arssr.engine.machine import fast_bf16
from arssr.errors import ArSSRError
from arssr.files import counted
from arssr.networks import ImplicitVoxelNetwork
from arssr.survey import named
from arssr.training.checkpoint import NAME, load_checkpoint
from arssr.training.config import TrainConfig
from arssr.training.data import load_items
from arssr.training.diary import Diary, remembering
from arssr.training.feed import prepare_workers
from arssr.training.growth import grow
from arssr.training.images import slots_of
from arssr.training.loop import Progress, Trainer
from arssr.training.resume import require_same_run, without_left_out
from arssr.training.rotation import training_images
from arssr.training.sides import find_data
from arssr.training.validation import Validation, example_slice
from arssr.weights.files import load_weights, save_weights
from arssr.weights.registry import Weights

if TYPE_CHECKING:
    from lightning.fabric import Fabric

WEIGHTS, BEST = "weights.safetensors", "best.safetensors"
# A run whose steps follow from the time that it is given:
_SAFE = 0.97  # of that time is planned, for there are checkpoints, and slower steps
_VALIDATIONS, _JUDGING = 8, 0.2  # at most so many, and at most this share of the time for them


@dataclass(frozen=True)
class Listener:
    """What a caller wants to hear of a run."""

    on_step: Callable[[Progress], None] = lambda _: None
    on_checking: Callable[[int, int], None] = lambda _done, _total: None
    on_loading: Callable[[int, int], None] = lambda _done, _total: None
    on_validation: Callable[[Mapping[str, float], int], None] = lambda _values, _step: None
    on_news: Callable[[str], None] = lambda _: None  # what is done now, in words


def make_fabric(device: str, devices: int, num_nodes: int, precision: str) -> "Fabric":
    """Lightning's Fabric for `device` (auto, cpu, cuda), launched."""
    from lightning.fabric import Fabric

    for name in ("lightning.fabric", "lightning.pytorch"):  # the import set them to INFO
        logging.getLogger(name).setLevel(logging.WARNING)
    accelerator = {"auto": "auto", "cpu": "cpu", "cuda": "cuda", "gpu": "cuda"}.get(device)
    if accelerator is None:
        raise ArSSRError(f"unknown device {device!r} for training; known are auto, cpu, cuda")
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise ArSSRError("no CUDA device here; use --device cpu")
    cuda = accelerator != "cpu" and torch.cuda.is_available()
    torch.backends.cudnn.benchmark = cuda  # shapes are the same in every step
    chosen = chosen_precision(precision, torch.device("cuda" if cuda else "cpu"))
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        strategy="ddp" if devices * num_nodes > 1 else "auto",
        precision="bf16-mixed" if chosen == "bf16" else "32-true",
    )
    fabric.launch()
    return fabric


def chosen_precision(precision: str, device: torch.device) -> str:
    """bf16 or float32: what a recipe says, or what is faster on a device ("auto")."""
    if precision != "auto":
        return precision
    return "bf16" if fast_bf16(device) else "float32"


def train(
    config: TrainConfig,
    train_paths: Sequence[Path],
    val_paths: Sequence[Path],
    folder: Path,
    fabric: "Fabric",
    init: Weights | None = None,
    resume: bool = False,
    workers: int = 0,
    seconds: float | None = None,
    skip_unusable: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    listener: Listener = Listener(),
) -> Trainer:
    """Train and leave in `folder`: weights, the best weights, checkpoint and a `Diary`.

    init: weights to start from: of the network that the configuration describes, or of one that
        it can grow from.
    workers: processes that draw the batches, see `feed`.
    seconds: take as many steps as fit into them, reading and validation included, instead of the
        recipe's.
    skip_unusable: leave out images that cannot be used instead of refusing them all at once.
    should_stop: asked before each step whether it shall be the last one for now.
    Raises ArSSRError for unusable data, images that are on both sides, a run that died, or a
    folder that holds another run.
    """
    began = time.monotonic()
    state = load_checkpoint(folder) if resume else None
    if state is None and (folder / NAME).exists():
        raise ArSSRError(f"{folder} already holds a run; continue it with --resume or name another")
    started_from = _started_from(init, folder if resume else None)
    taught = named(train_paths)
    with remembering() as early:
        if state is None:
            slots_of(list(taught), config.weights)
        else:
            taught = without_left_out(taught, state)
            require_same_run(state, config, list(taught))
        if workers:
            prepare_workers()
        kept = state.get("kept", {}) if state else {}
        data = find_data(
            taught, named(val_paths), config, skip_unusable, kept, listener.on_checking
        )
        normalise = config.model.normalises
        images = training_images(
            {image.name: image.path for image in data.train},
            config,
            fabric.device,
            listener.on_loading,
            shared=workers > 0,
        )
        validation = None
        if data.val:
            val_items = load_items(
                [image.path for image in data.val],
                config.sampling.patch,
                normalise,
                device=fabric.device,
            )
            validation = Validation(val_items, config.sampling, config.model.acquisitions)
    torch.manual_seed(config.seed)
    network = (
        ImplicitVoxelNetwork(config.model) if init is None else grow(init.network, config.model)
    )
    diary: Diary | None = None

    def card(step: int, seconds: float) -> dict[str, Any]:
        return {
            "data": [image.describe() for image in data.train],
            "truth": "cut to its own band" if normalise else "as stored",
            **describe_work(config, step, seconds, fabric.device),
            "started_from": started_from,
        }

    def on_step(progress: Progress) -> None:
        if diary:
            diary.on_step(progress)
        listener.on_step(progress)

    def validate(averaged: ImplicitVoxelNetwork) -> tuple[dict[str, float], dict[str, Any]]:
        """Numbers, and pictures by what they show."""
        if validation is None:
            return {}, {}
        with fabric.autocast():
            values = validation(averaged)
        names = config.sampling.acquisitions
        return values, {name: example_slice(averaged, val_items[0], name) for name in names}

    def on_validation(averaged: ImplicitVoxelNetwork, step: int) -> None:
        values, pictures = validate(averaged)
        if not values:
            return
        if diary:
            diary.on_validation(values, pictures, step)
        if values["gain"] > trainer.best.get("gain", -float("inf")):
            trainer.best = {"gain": values["gain"], "worst": values["worst"], "step": step}
            chosen = {"chosen_on": [image.describe() for image in data.val]}
            save_weights(folder / BEST, averaged, card(step, trainer.seconds) | chosen)
        listener.on_validation(values, step)

    make = partial(Trainer, images=images, fabric=fabric, folder=folder, workers=workers)
    if seconds is not None:
        listener.on_news("timing a few steps, to find how many fit")
        trial = make(replace(config, steps=2**31, epochs=None), network=deepcopy(network))
        step_s = trial.seconds_a_step()
        before = time.monotonic()
        validate(trial.averaged.eval())
        now = time.monotonic()
        config = fabric.broadcast(fitted(config, seconds - (now - began), step_s, now - before))
        del trial  # and the memory that it takes
    trainer: Trainer = make(
        config,
        network=network,
        on_step=on_step,
        on_validation=on_validation,
        on_save=lambda net, step: save_weights(folder / WEIGHTS, net, card(step, trainer.seconds)),
        should_stop=should_stop,
        kept=data.describe(),
    )
    if state is not None:
        trainer.restore(state)
    if trainer.step == trainer.total:
        listener.on_news(f"all {trainer.total} steps are taken; --steps makes the run longer")
        return trainer
    start = (
        f"{'at' if resume else 'from'} step {trainer.step} of {trainer.total}, "
        f"{config.model.encoder} on {counted(len(data.train), 'image')}, "
        f"{len(data.val)} for validation, on {describe_device(fabric.device)}"
    )
    with ExitStack() as stack:
        if fabric.is_global_zero:
            diary = stack.enter_context(Diary(folder, config, trainer.step, early))
            diary.note(start)
        listener.on_news(start)
        trainer.run()
        if diary:
            ended = "stopped" if trainer.step < trainer.total else "finished"
            diary.note("%s at step %d of %d", ended, trainer.step, trainer.total)
    return trainer


def fitted(config: TrainConfig, seconds: float, step_s: float, validation_s: float) -> TrainConfig:
    """The recipe with as many steps as fit into `seconds`, and a few validations on the way."""
    seconds = max(0.0, _SAFE * seconds)
    most = _JUDGING * seconds / max(validation_s, 1e-9)
    validations = min(_VALIDATIONS, max(1, math.floor(most)))
    steps = max(1, math.floor((seconds - validations * validation_s) / step_s))
    return replace(config, steps=steps, epochs=None, validate_every=-(-steps // validations))


def _started_from(init: Weights | None, resumed: Path | None) -> dict[str, Any] | None:
    """What a run started from, for its card: what is given, or what its weights so far say.

    Raises ArSSRError where the two differ.
    """
    given = None if init is None else describe_weights(init)
    if resumed is None or not (resumed / WEIGHTS).is_file():
        return given
    before = load_weights(resumed / WEIGHTS)[1].get("started_from")
    if given and given["sha256"] != (before or {}).get("sha256"):
        source = before["name"] if before else "nothing"
        raise ArSSRError(f"the run to resume was started from {source}, not from {given['name']}")
    return before


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
