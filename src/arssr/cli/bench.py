"""`arssr bench`: how fast and how small the engine is on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from arssr.cli.console import print_json, progress_bar, stderr
from arssr.cli.numbers import numbers, whole_numbers
from arssr.cli.options import ModelName, Precision
from arssr.cli.session import LogFile, Quiet, Threads
from arssr.extras import require


def bench(
    model: ModelName = "light",
    scale: Annotated[
        str, typer.Option(metavar="K …", help="Output voxels per input voxel; one to three runs.")
    ] = "2,4",
    size: Annotated[
        str, typer.Option(metavar="I J K", help="Voxels of the head that is upsampled.")
    ] = "90,110,90",
    precision: Precision = "auto",
    seconds: Annotated[
        float,
        typer.Option(
            min=0.01, help="Ordinary programs that would take longer get fewer voxels; roughly."
        ),
    ] = 30.0,
    scaling: Annotated[
        bool, typer.Option(help="Also with other numbers of threads, voxels and scales.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A page to write as well (Markdown).")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="All that was measured, on standard output.")
    ] = False,
    threads: Threads = None,
    quiet: Quiet = False,
    log_file: LogFile = None,
) -> None:
    """Measure the engine: its share of the machine's best, and other ways to the same result.

    Upsamples the MNI152 head (brought by nilearn) on the CPU. Wants a machine that does nothing
    else meanwhile.
    """
    require("demo", "arssr bench")
    import torch
    from rich.console import Console
    from rich.table import Table

    scales = numbers("--scale", scale, (1, 2, 3))
    shape = whole_numbers("--size", size)
    from arssr.api import load_model
    from arssr.benchmark.runner import run_benchmark
    from arssr.benchmark.tables import headline, tables, to_markdown
    from arssr.engine.machine import measure_anew
    from arssr.evaluation.head import mni152_head
    from arssr.files import write_text
    from arssr.interpolation import resample

    measure_anew(torch.device("cpu"))  # before `auto` chooses a precision by it
    loaded = load_model(model, "cpu", precision)
    head = mni152_head()
    scan = resample(head, head.grid.with_shape(shape))
    with progress_bar() as bar:
        task = bar.add_task("", total=None)

        def report(what: str) -> None:
            if bar.disable:  # a line each, where there is no bar
                stderr.print(what, markup=False)
            bar.update(task, description=what)

        result = run_benchmark(
            *(loaded.name, loaded.network, scan, scales, seconds, scaling),
            report=report,
        )
    if out is not None:
        write_text(out, to_markdown([result], "Performance"))
        stderr.print(f"page: {out}", markup=False, soft_wrap=True)
    if as_json:
        print_json(result.to_json())
        return
    console = Console()
    console.print(headline(result), markup=False)
    for title, header, lines in tables(result):
        table = Table(*header, title=title)
        for line in lines:
            table.add_row(*line)
        console.print(table)
