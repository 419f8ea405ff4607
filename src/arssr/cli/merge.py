"""`arssr merge`: several scans of one person in, one image out."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arssr.cli.console import print_json, progress_bar, size_in_words, stderr, tell_making
from arssr.cli.estimates import merge_estimate
from arssr.cli.numbers import number_or_word
from arssr.cli.options import (
    RESULT,
    SCAN,
    TARGET,
    Acquisition,
    AsStored,
    Device,
    DryRun,
    EvenSlices,
    Interleaves,
    Memory,
    ModelName,
    Noise,
    Overwrite,
    Precision,
    ResultsAsJson,
    Spacing,
    Strict,
    bytes_of,
    interleaves_of,
    target_of,
)
from arssr.cli.session import LogFile, Quiet, Threads
from arssr.errors import ArSSRError
from arssr.extras import require
from arssr.files import format_named, output_suffix, stem

if TYPE_CHECKING:
    from arssr.api import Model
    from arssr.jobs.merging import MergeJob
    from arssr.upsampling.facts import Facts


def merge(
    images: Annotated[
        list[Path],
        typer.Argument(
            help="Two scans or more of one person; the first is the frame. Or one folder of DICOM "
            "files and a --series for each scan in it."
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE | FOLDER/",
            help="The file to write; with --separate, the folder.",
        ),
    ],
    spacing: Spacing = None,
    like: Annotated[
        Path | None,
        typer.Option(
            help="An image in the space of the first scan whose grid the result shall have.",
            rich_help_panel=TARGET,
        ),
    ] = None,
    no_register: Annotated[
        bool,
        typer.Option(
            "--no-register",
            help="Trust where headers say that scans lie; else the person may have moved.",
            rich_help_panel=SCAN,
        ),
    ] = False,
    separate: Annotated[
        bool,
        typer.Option(
            "--separate",
            help="The scans have different contrasts: sharpen each on its own, all on one grid.",
            rich_help_panel=RESULT,
        ),
    ] = False,
    series: Annotated[
        list[str] | None,
        typer.Option(
            help="Which DICOM image, as in arssr upsample; once for each scan of one folder, or "
            "for each that is named ('' where there is but one).",
            rich_help_panel=SCAN,
        ),
    ] = None,
    interleaves: Interleaves = None,
    strict: Strict = False,
    as_stored: AsStored = False,
    even_slices: EvenSlices = False,
    model: ModelName = "light",
    acquisition: Acquisition = "auto",
    noise: Noise = "auto",
    device: Device = "auto",
    precision: Precision = "auto",
    memory: Memory = None,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="Beside the result a page: the scans where they lie, the result, and what came "
            "from where.",
            rich_help_panel=RESULT,
        ),
    ] = False,
    as_json: ResultsAsJson = False,
    threads: Threads = None,
    quiet: Quiet = False,
    log_file: LogFile = None,
) -> None:
    """Merge thick scans of one person (axial, sagittal, coronal; repeats) into one sharper image.

    The result has a JSON sidecar that says how it was made, and what came from which scan.
    """
    from arssr.jobs.merging import MergeJob
    from arssr.jobs.places import places
    from arssr.upsampling.request import Request

    if report:
        require("report", "--report", "matplotlib", "skimage")
    target = target_of(spacing=spacing, like=like)
    level = number_or_word("--noise", noise, ("auto", "unknown"))
    wanted = tuple(each or None for each in series or ())
    sources = tuple(images * len(wanted) if len(images) == 1 else images)
    if len(sources) < 2:
        raise typer.BadParameter(
            "merging needs two scans or more; of one DICOM folder, a --series for each"
        )
    if wanted and len(wanted) != len(sources):
        raise typer.BadParameter(
            "name one folder and a --series for each scan in it, or as many --series as scans"
        )
    if not separate and _is_folder(out):
        raise typer.BadParameter(
            f"merging makes one image: name a file to write, such as {Path(out) / 'merged.nii.gz'}"
        )
    results: tuple[Path, ...] = (Path(out),)
    if separate and wanted:
        results = tuple(Path(out) / _file_of(*scan) for scan in zip(sources, wanted, strict=True))
    elif separate:
        found = places(images, out if out.endswith("/") else f"{out}/")
        sources, results = zip(*found.pairs, strict=True)
    try:
        request = Request(
            target,
            acquisition=acquisition,
            noise=level,
            memory=bytes_of(memory),
            strict=strict,
            as_stored=as_stored,
            even_slices=even_slices,
        )
        job = MergeJob(
            sources,
            results,
            request,
            registered=not no_register,
            separate=separate,
            overwrite=overwrite,
            report=report,
            series=wanted,
            interleaves=interleaves_of(interleaves),
        )
    except ArSSRError as error:
        raise typer.BadParameter(str(error)) from None
    from arssr.api import load_model

    network = load_model(model, device, precision)
    if dry_run:
        made: Sequence[Mapping[str, Any]] = [merge_estimate(network, job)]
    else:
        made = _merged(network, job)
    if as_json:
        print_json([*made])


def _is_folder(out: str) -> bool:
    """Whether a folder is named, and not that of a DICOM series."""
    return format_named(Path(out)) is None and (out.endswith("/") or Path(out).is_dir())


def _file_of(source: Path, series: str | None) -> str:
    """What the result of one of several series of a folder is called."""
    words = re.sub(r"[^\w.-]+", "-", series or "").strip("-")
    return f"{stem(source)}{words and f'_{words}'}_SR{output_suffix(source)}"


def _merged(network: "Model", job: "MergeJob") -> "list[Facts]":
    """The results, made and told of."""
    from arssr.jobs.merging import run_merge
    from arssr.temporary import sweep_left

    sweep_left(path.parent for path in job.destinations)
    with progress_bar() as bar:
        task = bar.add_task("reading", total=1.0)
        results = run_merge(
            network, job, lambda what, share: bar.update(task, description=what, completed=share)
        )
    for facts in results:
        line = f"{facts['result']}  {size_in_words(facts)}  {facts['seconds']:.1f} s"
        stderr.print(line, markup=False, soft_wrap=True)
        tell_making(Path(facts["scan"]), facts, several=job.separate)
    if job.report:
        stderr.print(f"report: {job.page}", markup=False, soft_wrap=True)
    return results
