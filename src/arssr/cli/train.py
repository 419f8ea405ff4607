"""`arssr train`: weights from high-resolution images."""

import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arssr.cli.console import progress_bar, stderr
from arssr.cli.forecast import Forecast
from arssr.cli.options import SkipUnusable
from arssr.cli.session import LogFile, Quiet, Threads
from arssr.extras import require

if TYPE_CHECKING:
    from rich.progress import Progress

    from arssr.training.config import TrainConfig
    from arssr.training.loop import Progress as Step
    from arssr.training.loop import Trainer
    from arssr.training.records import Listener


def train(
    images: Annotated[
        list[Path],
        typer.Argument(help="High-resolution images, or folders with such in them and below."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for weights and logs.")],
    val: Annotated[
        list[Path] | None, typer.Option(help="Images for validation, never trained on.")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            help="A preset (light, rdn, rescnn, srresnet, light-gpu, rdn-gpu, paper) or a YAML "
            "file; light by default, and with --resume what the run was begun with."
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Steps, instead of the recipe's; with --resume those of the longer run."
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="As many steps as fit into this time, by the speed of a few, instead of the "
            "recipe's.",
        ),
    ] = None,
    stop_after: Annotated[
        float | None,
        typer.Option(min=0, help="Save and end after so many seconds; --resume goes on."),
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate, instead of the recipe's.")
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN=N",
            help="Draw the images of such a name N times as often, e.g. *T2w*=2.",
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Weights to start from, by name or file: of this network, or of light for "
            "srresnet and rdn, which grow out of it."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    skip_unusable: SkipUnusable = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Processes or GPUs per node.")] = 1,
    num_nodes: Annotated[int, typer.Option(min=1, help="Nodes of a cluster job.")] = 1,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0, help="Processes that draw the batches; by default the cores that are left."
        ),
    ] = None,
    threads: Threads = None,
    quiet: Quiet = False,
    log_file: LogFile = None,
) -> None:
    """Train a network; follow it with `tensorboard --logdir OUT`.

    Ctrl-C saves and ends; --resume goes on as if nothing had been.
    """
    require("train", "arssr train")
    from arssr.files import counted, find_images_below

    began = time.monotonic()
    if steps is not None and seconds is not None:
        raise typer.BadParameter("--steps and --seconds both say how long to train")
    taught, judges = find_images_below(images), find_images_below(val or [])
    stderr.print(  # before the heavy imports, so that there is an answer at once
        f"looking at {counted(len(taught), 'image')} to train on and {len(judges)} for validation"
    )

    from arssr.training.feed import default_workers
    from arssr.training.run import make_fabric
    from arssr.training.run import train as run
    from arssr.weights.registry import load

    recipe = _recipe(config, steps, lr, weight or [], bool(init), out if resume else None, seconds)
    start = load(init) if init else None
    fabric = make_fabric(device, devices, num_nodes, recipe.precision)
    if workers is None:
        workers = default_workers(fabric.device, devices)
    stop = _Stop(None if stop_after is None else began + stop_after)
    with progress_bar() as bar:
        listener = _listener(bar, stop)
        with stop:
            trainer = run(
                recipe,
                taught,
                judges,
                out,
                fabric,
                init=start,
                resume=resume,
                workers=workers,
                seconds=None if resume or seconds is None else began + seconds - time.monotonic(),
                skip_unusable=skip_unusable,
                should_stop=stop,
                listener=listener,
            )
    _end(trainer, out, stop)


def _listener(bar: "Progress", stop: "_Stop") -> "Listener":
    """Tells on the terminal what a run does; from its first step on the run can be stopped."""
    from arssr.training.records import Listener

    reading = bar.add_task("checking", total=None)
    training = bar.add_task("training", total=None, visible=False)
    forecast = Forecast()

    def on_checking(done: int, total: int) -> None:
        bar.update(reading, completed=done, total=total)

    def on_loading(done: int, total: int) -> None:
        bar.update(reading, completed=done, total=total, description="reading")

    def on_step(step: "Step") -> None:
        stop.can_wait = True
        forecast(step.step, step.total)
        bar.update(reading, visible=False)
        text = f"step {step.step}/{step.total}  loss {step.loss:.4f}"
        bar.update(training, completed=step.step, total=step.total, description=text, visible=True)

    def on_validation(values: Mapping[str, float], step: int) -> None:
        bar.console.print(
            f"step {step}: gain over cubic {values['gain']:+.2f} dB on average, "
            f"{values['worst']:+.2f} dB at worst"
        )

    def on_news(sentence: str) -> None:
        bar.console.print(sentence, markup=False, soft_wrap=True)

    return Listener(on_step, on_checking, on_loading, on_validation, on_news)


def _end(trainer: "Trainer", out: Path, stop: "_Stop") -> None:
    """Say how far it came and where the weights are; exit with 130 after Ctrl-C."""
    from arssr.training.records import BEST, WEIGHTS

    stopped = trainer.step < trainer.total
    if stopped:
        stderr.print(f"stopped at step {trainer.step} of {trainer.total}; --resume goes on")
    if trainer.best:
        text = f"best on validation: {out / BEST} (step {trainer.best['step']:.0f})"
        stderr.print(text, markup=False, soft_wrap=True)
    stderr.print(f"weights: {out / WEIGHTS}", markup=False, soft_wrap=True)
    if stopped and stop.interrupted:
        raise typer.Exit(130)


def _recipe(
    config: str | None,
    steps: int | None,
    lr: float | None,
    weight: Sequence[str],
    has_init: bool,
    resumed: Path | None,
    seconds: float | None,
) -> "TrainConfig":
    """The recipe that the options describe; of a resumed run, what they do not say is its own."""
    from dataclasses import replace

    from arssr.training.checkpoint import recipe_of
    from arssr.training.config import TrainConfig

    before = None if resumed is None else TrainConfig.from_dict(recipe_of(resumed))
    if before and config is None:
        recipe = before
    else:
        recipe = TrainConfig.read(config or "light")
        if has_init and recipe.lr_with_init is not None:
            recipe = replace(recipe, lr=recipe.lr_with_init)
        if before and seconds is not None:  # the steps that were found when it was begun
            found = {n: getattr(before, n) for n in ("steps", "epochs", "validate_every")}
            recipe = replace(recipe, **found)
    if steps is not None:
        recipe = replace(recipe, steps=steps, epochs=None)
    if lr is not None:
        recipe = replace(recipe, lr=lr)
    if weight:
        recipe = replace(recipe, weights=dict(map(_weight, weight)))
    return recipe


def _weight(text: str) -> tuple[str, int]:
    pattern, equals, number = text.rpartition("=")
    if not (equals and pattern and number.isdecimal() and int(number) > 0):
        raise typer.BadParameter(f"--weight {text!r} is not PATTERN=N, N a whole number above 0")
    return pattern, int(number)


class _Stop:
    """Whether to save and end: after Ctrl-C, or when it is time.

    A second Ctrl-C ends at once, and so does the first before there is anything to save.
    """

    def __init__(self, deadline: float | None) -> None:
        self.can_wait = False
        self._deadline = deadline
        self.interrupted = False

    def __call__(self) -> bool:
        late = self._deadline is not None and time.monotonic() > self._deadline
        return self.interrupted or late

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGINT, self._interrupted)

    def __exit__(self, *_error: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _interrupted(self, *_signal: Any) -> None:
        if self.interrupted or not self.can_wait:
            raise KeyboardInterrupt
        self.interrupted = True
