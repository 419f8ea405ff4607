"""`python train.py …`: the reference program's training, with our trainer behind it."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from arssr.cli.console import progress_bar, stderr, warn
from arssr.cli.forecast import Forecast
from arssr.compat.flags import (
    add_network_flags,
    guarded,
    network_config,
    parser,
    positive_float,
    positive_int,
)
from arssr.compat.names import LOG_FOLDER, MODEL_FOLDER, checkpoint_path
from arssr.errors import ArSSRError
from arssr.extras import require
from arssr.files import counted

if TYPE_CHECKING:
    from lightning.fabric import Fabric
    from rich.progress import Progress as Bar
    from torch.utils.tensorboard import SummaryWriter

    from arssr.networks import ImplicitVoxelNetwork
    from arssr.training.config import TrainConfig
    from arssr.training.loop import Progress
    from arssr.training.validation import Validation


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; returns the exit code."""
    args = _parser().parse_args(arguments)
    return guarded(lambda: _train(args))


def _parser() -> argparse.ArgumentParser:
    flags = parser(
        "Train ArSSR by the recipe of the paper, with the flags of the reference program.",
        "Weights go to model/model_param_EPOCH.pkl, logs for TensorBoard to log/. `arssr prepare` "
        "makes the patches; `arssr train` has the newer recipes and can resume.",
    )
    add_network_flags(flags, short=False)
    data = flags.add_argument_group("data")
    data.add_argument(
        "-hr_data_train", type=Path, default="./data/hr_train", help="folder of HR patches"
    )
    data.add_argument(
        "-hr_data_val", type=Path, default="./data/hr_val", help="HR patches for validation"
    )
    recipe = flags.add_argument_group("training")
    recipe.add_argument("-lr", type=positive_float, default=1e-4, help="initial learning rate")
    recipe.add_argument(
        "-lr_decay_epoch", type=positive_int, default=200, help="epochs after which it is halved"
    )
    recipe.add_argument("-epoch", type=positive_int, default=2500, help="epochs in all")
    recipe.add_argument(
        "-summary_epoch",
        type=positive_int,
        default=200,
        help="epochs between two validations, each with a checkpoint",
    )
    recipe.add_argument(
        "-bs", type=positive_int, default=15, help="LR-HR patch pairs in a batch (N of the paper)"
    )
    recipe.add_argument(
        "-ss", type=positive_int, default=8000, help="coordinates drawn in a patch (K of the paper)"
    )
    recipe.add_argument("-gpu", type=int, default=0, help="which GPU, where there is one")
    return flags


def _train(args: argparse.Namespace) -> int:
    require("train", "train.py")
    train_paths, val_paths = map(_patches, (args.hr_data_train, args.hr_data_val))
    sizes = f"{len(train_paths)} patches to train on and {len(val_paths)} for validation"
    stderr.print(f"looking at {sizes}")  # before the heavy imports: at once

    import torch
    from torch.utils.tensorboard import SummaryWriter

    from arssr.networks import ImplicitVoxelNetwork
    from arssr.survey import named
    from arssr.training.data import load_items
    from arssr.training.images import Resident
    from arssr.training.loop import Trainer
    from arssr.training.records import describe_device
    from arssr.training.sides import find_data
    from arssr.training.validation import Validation

    recipe = _recipe(args)
    find_data(named(train_paths), named(val_paths), recipe, skip_unusable=None)
    fabric = _fabric(args.gpu)
    _make_folders()
    torch.manual_seed(recipe.seed)
    with progress_bar() as bar:
        reading = bar.add_task("reading", total=None)
        items, val_items = (
            load_items(
                paths,
                recipe.sampling.patch,
                normalise=False,
                progress=lambda done, total: bar.update(reading, completed=done, total=total),
                device=fabric.device,
            )
            for paths in (train_paths, val_paths)
        )
        bar.update(reading, description="drawing patches for validation", total=None)
        validation = Validation(val_items, recipe.sampling)
        bar.remove_task(reading)
        epoch_steps = recipe.epoch_steps(len(items))
        stderr.print(
            f"{counted(args.epoch, 'epoch')} of {counted(epoch_steps, 'step')} on "
            f"{describe_device(fabric.device)}, weights and validation every "
            f"{counted(args.summary_epoch, 'epoch')} and at the end",
            markup=False,
            soft_wrap=True,
        )
        with SummaryWriter(LOG_FOLDER) as writer:
            diary = _Diary(args.epoch, epoch_steps, validation, writer, bar)
            Trainer(
                replace(recipe, validate_every=args.summary_epoch * epoch_steps),
                Resident.plain(items, recipe.seed, args.bs),
                fabric,
                MODEL_FOLDER,
                ImplicitVoxelNetwork(recipe.model),
                on_step=diary.on_step,
                on_validation=diary.on_validation,
            ).run()
    stderr.print(f"weights: {checkpoint_path(args.epoch)}", markup=False)
    return 0


def _recipe(args: argparse.Namespace) -> "TrainConfig":
    """The recipe of the paper, with the values of the command line in it."""
    from arssr.training.config import TrainConfig

    paper = TrainConfig.read("paper")
    return replace(
        paper,
        model=network_config(args),
        sampling=replace(paper.sampling, batch=args.bs, points=args.ss),
        lr=args.lr,
        halve_every_epochs=args.lr_decay_epoch,
        epochs=args.epoch,
    )


def _fabric(gpu: int) -> "Fabric":
    """One process in float32, on that GPU or, where there is none at all, on the CPU."""
    import torch
    from lightning.fabric import Fabric

    if not torch.cuda.is_available():
        return Fabric(accelerator="cpu", devices=1)
    if not 0 <= gpu < torch.cuda.device_count():
        raise ArSSRError(
            f"no GPU {gpu} here: -gpu counts from 0 to {torch.cuda.device_count() - 1}"
        )
    return Fabric(accelerator="cuda", devices=[gpu])


def _patches(folder: Path) -> list[Path]:
    """The images in it. Raises ArSSRError, saying what makes such folders, where there are none."""
    from arssr.files import find_images

    try:
        return find_images([folder])
    except ArSSRError as error:
        raise ArSSRError(f"{error}; `arssr prepare HR_FOLDER -o data` makes patches") from None


def _make_folders() -> None:
    """Ask before the work, not after 200 epochs of it; tell of weights that will be replaced."""
    for folder in (MODEL_FOLDER, LOG_FOLDER):
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise ArSSRError(f"cannot make the folder {folder}: {error.strerror}") from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ArSSRError(f"the folder {folder.absolute()} is not writable")
    if there := sorted(path.name for path in MODEL_FOLDER.glob("model_param_*.pkl")):
        warn([f"{MODEL_FOLDER} has {', '.join(there)} of another run; epochs of this replace them"])


@dataclass
class _Diary:
    """What is shown, logged and kept of a run, in epochs."""

    epochs: int
    epoch_steps: int
    validation: "Validation"
    writer: "SummaryWriter"
    bar: "Bar"
    losses: list[float] = field(default_factory=list)
    forecast: Forecast = field(default_factory=Forecast)

    def __post_init__(self) -> None:
        self.task = self.bar.add_task("training", total=self.epochs * self.epoch_steps)

    def on_step(self, progress: "Progress") -> None:
        """Advance the bar; log the loss of each epoch; say once how long it will take."""
        self.forecast(progress.step, progress.total)
        self.losses.append(progress.loss)
        epoch = -(-progress.step // self.epoch_steps)
        text = f"epoch {epoch}/{self.epochs}  loss {progress.loss:.4g}"
        self.bar.update(self.task, completed=progress.step, description=text)
        if progress.step % self.epoch_steps == 0:
            mean = sum(self.losses) / len(self.losses)
            self.writer.add_scalar("train/loss", mean, epoch)
            self.writer.add_scalar("train/lr", progress.lr, epoch)
            self.losses.clear()

    def on_validation(self, network: "ImplicitVoxelNetwork", step: int) -> None:
        """Keep the weights first, then say how good they are."""
        from arssr.weights.files import save_reference

        epoch = step // self.epoch_steps
        save_reference(checkpoint_path(epoch), network)
        values = self.validation(network)
        for name, value in values.items():
            self.writer.add_scalar(f"val/{name}", value, epoch)
        self.writer.flush()
        self.bar.console.print(
            f"epoch {epoch}: {checkpoint_path(epoch)}, {values['gain']:+.2f} dB over cubic "
            "interpolation in validation",
            markup=False,
            soft_wrap=True,
        )
