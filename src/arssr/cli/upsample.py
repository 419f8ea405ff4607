"""`arssr upsample`: scans in, sharper scans out."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arssr.cli.console import (
    complain,
    print_json,
    progress_bar,
    size_in_words,
    stderr,
    tell_making,
)
from arssr.cli.estimates import estimates
from arssr.cli.numbers import number_of_bytes, number_or_word
from arssr.cli.options import (
    NETWORK,
    RESULT,
    SCAN,
    TARGET,
    Acquisition,
    AsStored,
    Device,
    Ensemble,
    ModelName,
    Noise,
    Precision,
    ResultsAsJson,
    Scale,
    Spacing,
    target_of,
)
from arssr.cli.place import DaskAddress, Jobs, OnSlurm, SlurmOptions, place
from arssr.cli.session import PANEL, LogFile, Quiet, Threads
from arssr.errors import ArSSRError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from rich.progress import TaskID

    from arssr.api import Model
    from arssr.cohort.engine import Network, Place
    from arssr.job import Job
    from arssr.result import Facts
    from arssr.running import Finish
    from arssr.volume import Volume


def upsample(
    images: Annotated[list[Path], typer.Argument(help="Scans, or folders of scans.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The file to write; for several scans, the folder.")
    ],
    scale: Scale = None,
    spacing: Spacing = None,
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="I J K",
            help="Voxels of the result, same field of view.",
            rich_help_panel=TARGET,
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            help="An image whose grid the result shall have; its samples do not matter.",
            rich_help_panel=TARGET,
        ),
    ] = None,
    isotropic: Annotated[
        bool,
        typer.Option(
            "--isotropic",
            help="The scan's finest stored spacing along all axes.",
            rich_help_panel=TARGET,
        ),
    ] = False,
    transform: Annotated[
        list[Path] | None,
        typer.Option(
            help="With --like: a registration of the scan to that image (linear ones of ITK/ANTs, "
            "FSL, FreeSurfer; warps of ITK/ANTs, SPM, NiftyReg); of several the last is applied "
            "first. See docs/transforms.md.",
            rich_help_panel=TARGET,
        ),
    ] = None,
    labels: Annotated[
        bool,
        typer.Option(
            "--labels",
            help="The images are label maps; no label is invented.",
            rich_help_panel=SCAN,
        ),
    ] = False,
    frames: Annotated[
        bool,
        typer.Option("--frames", help="The images are 4D; take every frame.", rich_help_panel=SCAN),
    ] = False,
    series: Annotated[
        str | None,
        typer.Option(
            help="Of several DICOM series: UID, number or part of the description.",
            rich_help_panel=SCAN,
        ),
    ] = None,
    consistent: Annotated[
        bool,
        typer.Option(
            "--consistent",
            help="Degraded again, the result shall give the scan back, as it is stored.",
            rich_help_panel=RESULT,
        ),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Every warning is an error: scales, voxels and gaps that the weights were not "
            "trained for, files that contradict themselves, images that look like labels or "
            "phase.",
            rich_help_panel=RESULT,
        ),
    ] = False,
    as_stored: AsStored = False,
    model: ModelName = "light",
    acquisition: Acquisition = "auto",
    noise: Noise = "auto",
    ensemble: Ensemble = 1,
    device: Device = "auto",
    precision: Precision = "auto",
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Memory to take at most, such as 4GB; else 60 % of what is free.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    no_skip: Annotated[
        bool,
        typer.Option(
            "--no-skip",
            help="Compute air too; otherwise it is interpolated.",
            rich_help_panel=NETWORK,
        ),
    ] = False,
    jobs: Jobs = 1,
    dask: DaskAddress = None,
    slurm: OnSlurm = False,
    slurm_options: SlurmOptions = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only say what it would take: output, memory, disk, time.",
            rich_help_panel=PANEL,
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace existing files.", rich_help_panel=RESULT),
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="Beside each result a page: input, cubic and result.",
            rich_help_panel=RESULT,
        ),
    ] = False,
    as_json: ResultsAsJson = False,
    threads: Threads = None,
    quiet: Quiet = False,
    log_file: LogFile = None,
) -> None:
    """Super-resolve scans: thick slices as fine as their plane, or to a target of your choice.

    Each result has a JSON sidecar that says how it was made.
    """
    from arssr.files import find_images

    target = target_of(
        scale=scale, spacing=spacing, shape=shape, like=like, isotropic=isotropic or None
    )
    if dry_run and labels:
        raise typer.BadParameter("--dry-run estimates what a network takes; --labels needs none")
    level = number_or_word("--noise", noise, ("auto", "unknown"))
    sources = find_images(images)
    most = None if memory is None else number_of_bytes("--memory", memory)
    places = _places(sources, out, many=len(images) > 1 or sources != images)
    from arssr.cohort.local import Local
    from arssr.job import Job

    where = place(jobs, dask, slurm, slurm_options)
    if dry_run and where != Local():
        raise typer.BadParameter("--dry-run estimates this process; leave out where to compute")
    try:
        pattern = Job(
            source=Path(),
            destination=Path(),
            target=target,
            acquisition=acquisition,
            noise=level,
            ensemble=ensemble,
            overwrite=overwrite,
            report=report,
            memory=most,
            skip_air=not no_skip,
            transforms=tuple(transform or ()),
            series=series,
            frames=frames,
            labels=labels,
            consistent=consistent,
            strict=strict,
            as_stored=as_stored,
        )
    except ArSSRError as error:
        raise typer.BadParameter(str(error)) from None
    work = [replace(pattern, source=source, destination=result) for source, result in places]
    if where == Local():
        from arssr.api import load_model

        loaded = None if labels else load_model(model, device, precision)
        results = estimates(loaded, work) if dry_run and loaded else _here(loaded, work)
    else:
        from arssr.cohort.engine import Network

        results = _elsewhere(
            None if labels else Network.find(model, device, precision), work, where
        )
    if as_json:
        print_json(results)
    failures = sum("error" in result for result in results)
    if failures and len(work) > 1:
        stderr.print(f"{len(work) - failures} of {len(work)} done, {failures} failed")
    if failures:
        raise typer.Exit(2 if all("needs_target" in result for result in results) else 1)


def _places(sources: list[Path], out: Path, many: bool) -> list[tuple[Path, Path]]:
    """What is read and what is written for it."""
    folder = many or (out.is_dir() and out.suffix != ".dicom")
    jobs = _into_folder(sources, out) if folder else [(sources[0], out)]
    scans = {source.resolve() for source in sources}
    for _, destination in jobs:
        if destination.resolve() in scans:
            raise ArSSRError(f"{destination} is the scan itself; name another place to write to")
    return jobs


def _into_folder(sources: list[Path], out: Path) -> list[tuple[Path, Path]]:
    from arssr.files import IMAGE_SUFFIXES, output_suffix, sidecar, stem

    if out.name.lower().endswith(IMAGE_SUFFIXES) or out.is_file():
        raise ArSSRError(f"several scans need a folder to be written to, not the file {out}")
    jobs = [(source, out / f"{stem(source)}_SR{output_suffix(source)}") for source in sources]
    names = Counter(sidecar(d).with_suffix("") for _, d in jobs)  # a.nii and a.nii.gz share one
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise ArSSRError(f"two scans would both be written to {min(twice)}; rename one")
    return jobs


def _here(model: "Model | None", jobs: "list[Job]") -> list[dict[str, Any]]:
    """What became of each job, done by this process; told of as it is known."""
    from arssr.pipeline import run_each
    from arssr.running import begin

    results: list[dict[str, Any]] = []
    tasks: dict[Path, TaskID] = {}
    told: list[TaskID] = []
    foretold: dict[Path, Facts] = {}
    several = len(jobs) > 1
    with progress_bar() as bar:

        def start(job: "Job", scan: "Future[Volume]") -> "Finish":
            while told:
                bar.remove_task(told.pop())  # the bars of what is under way, and of the last
            task = tasks[job.destination] = bar.add_task(f"{job.source.name}: reading", total=1.0)

            def on_progress(what: str, share: float) -> None:
                bar.update(task, description=f"{job.source.name}: {what}", completed=share)

            def foretell(facts: "Facts") -> None:
                foretold[job.destination] = facts
                tell_making(job.source, facts, several=several)

            return begin(model, job, on_progress, scan, foretell)

        def tell(job: "Job", outcome: "Facts | Exception") -> None:
            told.append(tasks.pop(job.destination))
            if isinstance(outcome, Exception):
                complain(job.in_words(outcome))
            else:
                _tell(job, outcome, foretold.pop(job.destination), several)

        for job, outcome in run_each(start, jobs, tell):
            if isinstance(outcome, Exception):
                results.append(job.failed(outcome))
            else:
                results.append(outcome)
    return results


def _elsewhere(
    network: "Network | None", jobs: "list[Job]", where: "Place"
) -> list[dict[str, Any]]:
    """What became of each job, in the order of the jobs; told of as it is known."""
    from arssr.cohort.engine import run_jobs

    results: dict[Path, dict[str, Any]] = {}
    with progress_bar(counted=True) as bar:
        task = bar.add_task("scans", total=len(jobs))
        for outcome in run_jobs(jobs, network, where):
            job = outcome.job
            if outcome.facts is None:
                complain(outcome.error)
                needs_target = {"needs_target": True} if outcome.needs_target else {}
                results[job.destination] = {
                    "scan": str(job.source),
                    "error": outcome.error,
                    **needs_target,
                }
            else:
                _tell(job, outcome.facts)
                results[job.destination] = outcome.facts
            bar.update(task, completed=len(results))
    return [results[job.destination] for job in jobs]


def _tell(
    job: "Job",
    facts: dict[str, Any],
    foretold: Mapping[str, Any] = MappingProxyType({}),
    several: bool = False,
) -> None:
    """Lines about a result; `foretold` and `several` as in `tell_making`."""
    line = f"{job.destination}  {size_in_words(facts)}  {facts['seconds']:.1f} s"
    stderr.print(line, markup=False, soft_wrap=True)
    tell_making(job.source, facts, foretold=foretold, several=several)
    if "consistency" in facts:
        before, after = facts["consistency"].values()
        stderr.print(f"residual against the scan: {before:.2e}, now {after:.2e}", markup=False)
    if job.report and job.page.exists():
        stderr.print(f"report: {job.page}", markup=False, soft_wrap=True)
