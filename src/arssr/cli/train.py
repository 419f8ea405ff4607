"""`arssr train`: weights from high-resolution images."""

from pathlib import Path
from typing import Annotated

import typer

from arssr.cli.console import progress_bar, stderr

# Of a preset's rate, where weights are there already: at the full one good weights are unlearned
# (`rdn` out of `light` lost 0.4 dB in 500 steps at a third of it).
_TUNING = 0.1


def train(
    images: Annotated[
        list[Path], typer.Argument(help="High-resolution images or folders of them.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for weights and logs.")],
    val: Annotated[
        list[Path] | None, typer.Option(help="Images for validation, never trained on.")
    ] = None,
    config: Annotated[
        str, typer.Option(help="A preset (light, rdn, rescnn, srresnet, paper) or a YAML file.")
    ] = "light",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps, instead of the recipe's.")
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate, instead of the recipe's; a preset with --init starts at a tenth "
            "of its own."
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Weights to start from, by name or file: of this network, or of light for "
            "srresnet and rdn, which grow out of it."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Continue the run in --out.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Processes or GPUs per node.")] = 1,
    num_nodes: Annotated[int, typer.Option(min=1, help="Nodes of a cluster job.")] = 1,
) -> None:
    """Train a network; follow it with `tensorboard --logdir OUT`."""
    from dataclasses import replace

    from arssr.files import find_images
    from arssr.training.config import TrainConfig, presets
    from arssr.training.loop import Progress
    from arssr.training.run import BEST, WEIGHTS, Listener, make_fabric
    from arssr.training.run import train as run
    from arssr.weights.registry import load

    recipe = TrainConfig.read(config)
    if steps is not None:
        recipe = replace(recipe, steps=steps, epochs=None)
    if lr is None and init and config in presets():
        lr = recipe.lr * _TUNING
    if lr is not None:
        recipe = replace(recipe, lr=lr)
    start = load(init) if init else None
    fabric = make_fabric(device, devices, num_nodes, recipe.precision)
    with progress_bar() as bar:
        reading = bar.add_task("reading", total=None)
        training = bar.add_task("training", total=None, visible=False)

        def on_loading(done: int, total: int) -> None:
            bar.update(reading, completed=done, total=total)

        def on_step(progress: Progress) -> None:
            bar.update(reading, visible=False)
            text = f"step {progress.step}/{progress.total}  loss {progress.loss:.4f}"
            bar.update(
                training,
                completed=progress.step,
                total=progress.total,
                description=text,
                visible=True,
            )

        def on_validation(values: dict[str, float], step: int) -> None:
            bar.console.print(
                f"step {step}: gain over cubic {values['gain']:+.2f} dB on average, "
                f"{values['worst']:+.2f} dB at worst"
            )

        trainer = run(
            recipe,
            find_images(images),
            find_images(val or []),
            out,
            fabric,
            init=start,
            resume=resume,
            listener=Listener(on_step, on_loading, on_validation),  # type: ignore[arg-type]
        )
    if trainer.best:
        text = f"best on validation: {out / BEST} (step {trainer.best['step']:.0f})"
        stderr.print(text, markup=False, soft_wrap=True)
    stderr.print(f"weights: {out / WEIGHTS}", markup=False, soft_wrap=True)
