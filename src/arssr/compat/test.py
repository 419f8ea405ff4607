"""`python test.py …`: the reference program's super-resolution of a folder."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from arssr.cli.console import complain, progress_bar, stderr
from arssr.compat.flags import (
    add_network_flags,
    guarded,
    network_config,
    parser,
    positive_float,
)
from arssr.compat.names import result_name
from arssr.errors import ArSSRError

if TYPE_CHECKING:
    from arssr.api import Model
    from arssr.field import ReportProgress
    from arssr.volume import Volume


def main(arguments: Sequence[str] | None = None) -> int:
    """Super-resolve as the command line says; returns the exit code."""
    args = _parser().parse_args(arguments)
    return guarded(lambda: _run(args))


def _parser() -> argparse.ArgumentParser:
    flags = parser(
        "Super-resolve every image of a folder, with the flags of the reference program.",
        "Results are named ArSSR_ENCODER_recon_SCALEx_INPUT. `arssr upsample` does the same and "
        "more: spacings, reference grids, scales per axis.",
    )
    files = flags.add_argument_group("images")
    files.add_argument("-input_path", type=Path, default="test/input", help="folder of LR images")
    files.add_argument("-output_path", type=Path, default="test/output", help="where results go")
    files.add_argument("-scale", type=positive_float, default=2.0, help="up-sampling scale")
    add_network_flags(flags, short=True)
    flags.add_argument(
        "-pre_trained_model",
        type=Path,
        help="a checkpoint (.pkl) of that network; without one, the weights that ship for the "
        "encoder, in whatever size they have",
    )
    flags.add_argument(
        "-is_gpu", type=int, default=1, choices=(0, 1), help="1: use a GPU if there is one"
    )
    flags.add_argument("-gpu", type=int, default=0, help="which GPU")
    return flags


def _run(args: argparse.Namespace) -> int:
    from arssr.files import find_images
    from arssr.volume import Volume, check_output

    model = _model(args)
    images = find_images([args.input_path])
    failed = False
    with progress_bar() as bar:
        for number, path in enumerate(images, start=1):
            label = f"{path.name} ({number}/{len(images)})"
            task = bar.add_task(label, total=1.0)
            name = result_name(args.encoder_name, args.scale, path.name)
            try:
                target = check_output(args.output_path / name, overwrite=True)
                result = super_resolve(
                    model,
                    Volume.read(path),
                    args.scale,
                    lambda what, share, task=task, label=label: bar.update(  # type: ignore[misc]
                        task, description=f"{label}: {what}", completed=share
                    ),
                )
                result.write(target, overwrite=True)
                stderr.print(f"{target}", markup=False, soft_wrap=True)
            except ArSSRError as error:
                complain(str(error))
                failed = True
            bar.remove_task(task)
    return int(failed)


def super_resolve(
    model: "Model", volume: "Volume", scale: float, progress: "ReportProgress"
) -> "Volume":
    """The volume at int(n · scale) voxels per axis over the same field of view, as float32.

    The paper's networks see the intensities as they are and answer in them, as the reference
    does; ours are normalised, and told what kind of scan it is.
    """
    from arssr.intensity import Normalisation
    from arssr.upsampling.room import require_memory

    grid = volume.grid.with_shape([int(n * scale) for n in volume.grid.shape])
    require_memory(grid)
    if model.network.corrects:
        field = model.field(volume, progress=progress)
    else:
        identity = Normalisation.identity()
        field = model.field(volume, noise=None, normalisation=identity, progress=progress)
    return field.on(grid, progress).stored_as("float32")


def _model(args: argparse.Namespace) -> "Model":
    import torch

    from arssr.api import Model
    from arssr.weights.registry import encoder_name, load, shipped

    if args.pre_trained_model is not None:
        weights = load(args.pre_trained_model, network_config(args))
    elif (name := encoder_name(args.encoder_name)) in shipped():
        weights = load(name)
    else:
        raise ArSSRError(
            f"no weights for {args.encoder_name} ship with this version (those that do: "
            f"{', '.join(shipped()) or 'none'}); name a checkpoint with -pre_trained_model"
        )
    use_gpu = bool(args.is_gpu) and torch.cuda.is_available()
    return Model(weights, f"cuda:{args.gpu}" if use_gpu else "cpu")
