"""A whole run: data in, weights out."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from functools import partial
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from arssr.errors import ArSSRError
from arssr.files import counted
from arssr.networks import ImplicitVoxelNetwork
from arssr.survey import Seen, named
from arssr.training.checkpoint import NAME, load_checkpoint
from arssr.training.config import TrainConfig
from arssr.training.data import Item, load_items
from arssr.training.diary import Diary, remembering
from arssr.training.feed import prepare_workers
from arssr.training.growth import grow
from arssr.training.images import slots_of
from arssr.training.loop import Trainer
from arssr.training.records import (
    SILENT,
    WEIGHTS,
    Listener,
    Records,
    chosen_precision,
    describe_device,
    describe_weights,
)
from arssr.training.resume import require_same_run, without_left_out
from arssr.training.rotation import training_images
from arssr.training.sides import find_data
from arssr.weights.files import load_weights
from arssr.weights.registry import Weights

if TYPE_CHECKING:
    from lightning.fabric import Fabric

_log = logging.getLogger(__name__)

# A run whose steps follow from the time that it is given:
_SAFE = 0.97  # of that time is planned, for there are checkpoints, and slower steps
_VALIDATIONS, _JUDGING = 8, 0.2  # at most so many, and at most this share of the time for them


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
    listener: Listener = SILENT,
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
    state = _state(folder, resume)
    started_from = _started_from(init, folder if resume else None)
    with remembering() as early:
        taught = _taught(named(train_paths), config, state)
        if workers:
            prepare_workers()
        val, kept = named(val_paths), state.get("kept", {}) if state else {}
        data = find_data(taught, val, config, skip_unusable, kept, listener.on_checking)
        paths = {image.name: image.path for image in data.train}
        shared = workers > 0
        images = training_images(paths, config, fabric.device, listener.on_loading, shared=shared)
        val_items = _judged(data.val, config, fabric.device)
        records = Records(folder, config, data, val_items, fabric, started_from, listener)
        torch.manual_seed(config.seed)
        network = grow(init.network, config.model) if init else ImplicitVoxelNetwork(config.model)
        make = partial(Trainer, images=images, fabric=fabric, folder=folder, workers=workers)
        if seconds is not None:
            listener.on_news("timing a few steps, to find how many fit")
            records.config = _timed(make, network, records, began, seconds)
    trainer: Trainer = make(
        records.config,
        network=network,
        on_step=records.on_step,
        on_validation=lambda averaged, _step: records.judge(trainer, averaged),
        on_save=lambda averaged, _step: records.save(trainer, averaged),
        should_stop=should_stop,
        kept=data.describe(),
    )
    if state is not None:
        trainer.restore(state)
    _run(trainer, records, early, resume)
    return trainer


def _state(folder: Path, resume: bool) -> dict[str, Any] | None:
    """The checkpoint of the run to resume; None for a new one, whose folder must be free."""
    if resume:
        return load_checkpoint(folder)
    if (folder / NAME).exists():
        raise ArSSRError(f"{folder} already holds a run; continue it with --resume or name another")
    return None


def _run(trainer: Trainer, records: Records, early: MemoryHandler, resume: bool) -> None:
    """Take the steps that are left, if any are; one process of all keeps a diary."""
    data, config, fabric = records.data, records.config, records.fabric
    if (total := trainer.total) == trainer.step:
        news = f"the run has taken all of its steps ({total}); --steps makes it longer"
        records.listener.on_news(news)
        return
    start = (
        f"{'at' if resume else 'from'} step {trainer.step} of {trainer.total}, "
        f"{config.model.encoder} on {counted(len(data.train), 'image')}, "
        f"{len(data.val)} for validation, on {describe_device(fabric.device)}"
    )
    with ExitStack() as stack:
        if fabric.is_global_zero:
            diary = Diary(records.folder, config, trainer.step, early)
            records.diary = stack.enter_context(diary)
            records.diary.note(start)
        records.listener.on_news(start)
        trainer.run()
        if records.diary:
            ended = "stopped" if trainer.step < trainer.total else "finished"
            records.diary.note("%s at step %d of %d", ended, trainer.step, trainer.total)


def _taught(
    given: Mapping[str, Path], config: TrainConfig, state: Mapping[str, Any] | None
) -> Mapping[str, Path]:
    """The images to train on by name, without those that the run to resume has left out."""
    if state is None:
        slots_of(list(given), config.weights)
        return given
    taught = without_left_out(given, state)
    require_same_run(state, config, list(taught))
    return taught


def _judged(images: Sequence[Seen], config: TrainConfig, device: torch.device) -> list[Item]:
    """The images of validation, on the device."""
    paths = [image.path for image in images]
    patch, normalise = config.sampling.patch, config.model.normalises
    return load_items(paths, patch, normalise, device=device) if paths else []


def _timed(
    make: Callable[..., Trainer],
    network: ImplicitVoxelNetwork,
    records: Records,
    began: float,
    seconds: float,
) -> TrainConfig:
    """The recipe with as many steps as fit into what is left of the seconds, by a few on trial."""
    config = records.config
    trial = make(replace(config, steps=2**31, epochs=None), network=deepcopy(network))
    step_s = trial.seconds_a_step()
    before = time.monotonic()
    records.validate(trial.averaged.eval())
    now = time.monotonic()
    config = fitted(config, seconds - (now - began), step_s, now - before)
    if config.steps == 1:
        _log.warning("reading and timing took so long that the time is for a single step")
    return records.fabric.broadcast(config)


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
