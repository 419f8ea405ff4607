"""`arssr adapt`: weights for one scan, taught by the scan itself."""

from pathlib import Path
from typing import Annotated

import typer

from arssr.cli.console import print_json, progress_bar, stderr, warn
from arssr.cli.forecast import Forecast
from arssr.cli.session import LogFile, Quiet, Threads
from arssr.extras import require
from arssr.jobs.needs import seconds_in_words


def adapt(
    scan: Annotated[Path, typer.Argument(help="The scan to learn from, as it is.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The weight file to write (.safetensors).")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Weights to start from: a name or a .safetensors.")
    ] = "light",
    scale: Annotated[
        float | None,
        typer.Option(
            help="The refinement to learn; else slice thickness over in-plane spacing, and 2 for "
            "isotropic scans."
        ),
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="About how long to train.")] = 3.0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps to train, instead of minutes.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Describe the result on standard output.")
    ] = False,
    threads: Threads = None,
    quiet: Quiet = False,
    log_file: LogFile = None,
) -> None:
    """Fine-tune weights on one scan: its sharp directions teach its coarse one.

    A quarter of the scan is held out and judged before and after; where adapting does not help,
    the weights written are those it started from.
    """
    require("train", "arssr adapt")
    from arssr.errors import ArSSRError
    from arssr.survey import require_intensities

    if out.suffix != ".safetensors":
        raise typer.BadParameter(f"{out}: weights are written to a .safetensors file")
    if out.exists() and not overwrite:
        raise ArSSRError(f"{out}: exists already; --overwrite replaces it")
    volume = require_intensities(scan, 1, "to learn from")
    warn(volume.warnings)
    long = f"{steps} steps" if steps else f"about {seconds_in_words(60 * minutes)}"
    line = f"learning from {scan} for {long}; a quarter of it is held out, to judge by"
    stderr.print(line, markup=False, soft_wrap=True)  # before the heavy imports: at once

    from arssr.training.adapt import adapt as run
    from arssr.training.loop import Progress
    from arssr.training.run import make_fabric
    from arssr.weights.registry import load

    start = load(model)
    fabric = make_fabric(device, 1, 1, "auto")
    with progress_bar() as bar:
        task = bar.add_task("judging", total=None)
        forecast = Forecast()

        def on_step(progress: Progress) -> None:
            forecast(progress.step, progress.total)
            text = f"step {progress.step}/{progress.total}  loss {progress.loss:.4f}"
            bar.update(task, completed=progress.step, total=progress.total, description=text)

        adaptation = run(volume, start, fabric, scale, steps, minutes, on_step=on_step)
    adaptation.save(out)
    before, after = adaptation.gain_before, adaptation.gain_after
    stderr.print(f"held-out part: gain over cubic {before:+.2f} dB before, {after:+.2f} dB after")
    if not adaptation.helped:
        stderr.print("adapting did not help; the weights are those it started from")
    stderr.print(f"weights: {out}", markup=False, soft_wrap=True)
    if as_json:
        print_json({"scan": str(scan), "weights": str(out), **adaptation.card})
