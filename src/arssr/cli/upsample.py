"""`arssr upsample`: scans in, sharper scans out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
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
    tell_passed_over,
)
from arssr.cli.estimates import estimates
from arssr.cli.numbers import number_or_word
from arssr.cli.options import (
    DRY_ELSEWHERE,
    NETWORK,
    RESULT,
    SCAN,
    TARGET,
    Acquisition,
    AsStored,
    Consistent,
    Device,
    DryRun,
    Ensemble,
    EvenSlices,
    Isotropic,
    Memory,
    ModelName,
    Noise,
    Overwrite,
    Precision,
    ResultsAsJson,
    Scale,
    Spacing,
    Strict,
    Uncertainty,
    bytes_of,
    target_of,
)
from arssr.cli.place import DaskAddress, Jobs, OnSlurm, SlurmOptions, place
from arssr.cli.session import LogFile, Quiet, Threads
from arssr.errors import ArSSRError
from arssr.extras import require

if TYPE_CHECKING:
    from concurrent.futures import Future

    from rich.progress import TaskID

    from arssr.api import Model
    from arssr.jobs.batch import ModelRef, Place
    from arssr.jobs.job import Job
    from arssr.jobs.places import Places
    from arssr.jobs.running import Finish, Prepared
    from arssr.upsampling.facts import Facts


def upsample(
    images: Annotated[list[Path], typer.Argument(help="Scans, or folders of scans.")],
    out: Annotated[
        str,  # a Path would lose the slash at the end
        typer.Option(
            "--out",
            "-o",
            metavar="FILE | FOLDER/",
            help="The file to write; for several scans, the folder. Subfolders are mirrored.",
        ),
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
    isotropic: Isotropic = False,
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
            help="Of several DICOM images: number, part of the description, or words such as "
            "'echo 2', 'phase', 'b 1000'. See docs/dicom.md.",
            rich_help_panel=SCAN,
        ),
    ] = None,
    uncertainty: Uncertainty = False,
    consistent: Consistent = False,
    strict: Strict = False,
    as_stored: AsStored = False,
    even_slices: EvenSlices = False,
    no_clamp: Annotated[
        bool,
        typer.Option(
            "--no-clamp",
            help="Leave values below the scan's lowest, as edges ring; else those of a scan "
            "without negative voxels are raised to it.",
            rich_help_panel=RESULT,
        ),
    ] = False,
    model: ModelName = "light",
    acquisition: Acquisition = "auto",
    noise: Noise = "auto",
    ensemble: Ensemble = 1,
    device: Device = "auto",
    precision: Precision = "auto",
    memory: Memory = None,
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
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Go on where a run stopped: leave results alone that this command has made.",
            rich_help_panel=RESULT,
        ),
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
    from arssr.jobs.places import places

    target = target_of(
        scale=scale, spacing=spacing, shape=shape, like=like, isotropic=isotropic or None
    )
    level = number_or_word("--noise", noise, ("auto", "unknown"))
    if overwrite and skip_existing:
        raise typer.BadParameter("name one of --overwrite and --skip-existing")
    found = places(images, out, series)
    if report:
        require("report", "--report", "matplotlib", "skimage")
    from arssr.jobs.job import Job
    from arssr.jobs.local import Local
    from arssr.upsampling.request import Request

    where = place(jobs, dask, slurm, slurm_options)
    if dry_run and where != Local():
        raise typer.BadParameter(DRY_ELSEWHERE)
    try:
        request = Request(
            target,
            transforms=tuple(transform or ()),
            acquisition=acquisition,
            noise=level,
            ensemble=ensemble,
            memory=bytes_of(memory),
            skip_air=not no_skip,
            frames=frames,
            labels=labels,
            uncertainty=uncertainty,
            consistent=consistent,
            strict=strict,
            as_stored=as_stored,
            even_slices=even_slices,
            clamp=not no_clamp,
        )
        pattern = Job(Path(), Path(), request, series, overwrite, report)
    except ArSSRError as error:
        raise typer.BadParameter(str(error)) from None
    for reason in found.passed_over.values():
        tell_passed_over(reason)
    work = [replace(pattern, source=source, destination=result) for source, result in found.pairs]
    loaded, network = (None, None) if labels else _weights(where, model, device, precision)
    known: list[Mapping[str, Any]] = []
    if skip_existing:
        used = loaded.weights if loaded else network
        work, known = _left(work, used.sha256 if used else None)
    exists = any(job.destination.exists() for job in work) and not (skip_existing or overwrite)
    results: Sequence[Mapping[str, Any]]
    if where != Local():
        results = _elsewhere(network, work, where)
    else:
        results = estimates(loaded, work) if dry_run else _here(loaded, work)
    _end(found, [*results, *known], as_json, exists)


def _weights(
    where: "Place", model: str, device: str, precision: str
) -> "tuple[Model | None, ModelRef | None]":
    """The model for work in this process, or what other processes load it by."""
    from arssr.jobs.local import Local

    if where == Local():
        from arssr.api import load_model

        return load_model(model, device, precision), None
    from arssr.jobs.batch import ModelRef

    return None, ModelRef.find(model, device, precision)


def _end(
    found: "Places", results: Sequence[Mapping[str, Any]], as_json: bool, some_exist: bool
) -> None:
    """Tell what became of all, in the order in which they were named; exit with 1 or 2 for errors.

    some_exist: some results were there before, and neither option that deals with that was given.
    """
    order = {str(source): number for number, (source, _) in enumerate(found.pairs)}
    results = sorted(results, key=lambda result: order[result["scan"]])
    if as_json:
        left_out = found.passed_over.items()
        print_json([*results, *({"scan": str(s), "passed_over": why} for s, why in left_out)])
    _sum(results)
    if any("error" in result for result in results):
        if some_exist and len(results) > 1:
            stderr.print("some were there before: --skip-existing goes on with the rest")
        raise typer.Exit(2 if all("needs_target" in result for result in results) else 1)


def _left(jobs: "list[Job]", weights: str | None) -> "tuple[list[Job], list[Mapping[str, Any]]]":
    """The jobs that are not done yet, and what there is to say of the others; see `resuming`."""
    from arssr.jobs.resuming import what_is_left

    left: list[Job] = []
    known: list[Mapping[str, Any]] = []
    for job in jobs:
        try:
            rest = what_is_left(job, weights)
        except Exception as error:
            known.append(job.failed(error))
            complain(job.in_words(error))
            continue
        if rest is not None:
            left.append(rest)
        else:
            names = {"scan": str(job.source), "result": str(job.destination)}
            known.append({**names, "done": "before"})
    return left, known


def _sum(results: Sequence[Mapping[str, Any]]) -> None:
    """How many were done and how many not, where that needs saying."""
    failed = sum("error" in result for result in results)
    before = sum(result.get("done") == "before" for result in results)
    if before or (failed and len(results) > 1):
        done = len(results) - failed - before
        known = f", {before} were done before" if before else ""
        stderr.print(f"{done} of {len(results)} done{known}, {failed} failed")


def _here(model: "Model | None", jobs: "list[Job]") -> list[Mapping[str, Any]]:
    """What became of each job, done by this process; told of as it is known."""
    from arssr.jobs.pipeline import run_each
    from arssr.jobs.running import Prepared, begin
    from arssr.temporary import sweep_left

    sweep_left(job.destination.parent for job in jobs)

    results: list[Mapping[str, Any]] = []
    tasks: dict[Path, TaskID] = {}
    told: list[TaskID] = []
    foretold: dict[Path, Mapping[str, Any]] = {}
    several = len(jobs) > 1
    with progress_bar() as bar:

        def start(job: "Job", prepared: "Future[Prepared]") -> "Finish":
            while told:
                bar.remove_task(told.pop())  # the bars of what is under way, and of the last
            task = tasks[job.destination] = bar.add_task(f"{job.source.name}: reading", total=1.0)

            def on_progress(what: str, share: float) -> None:
                bar.update(task, description=f"{job.source.name}: {what}", completed=share)

            def foretell(facts: Mapping[str, Any]) -> None:
                foretold[job.destination] = facts
                tell_making(job.source, facts, several=several)

            return begin(model, job, on_progress, prepared, foretell)

        def tell(job: "Job", outcome: "Facts | Exception") -> None:
            told.append(tasks.pop(job.destination))
            if isinstance(outcome, Exception):
                complain(job.in_words(outcome))
            else:
                _tell(job, outcome, foretold.pop(job.destination), several)

        for job, outcome in run_each(partial(Prepared, model), start, jobs, tell):
            if isinstance(outcome, Exception):
                results.append(job.failed(outcome))
            else:
                results.append(outcome)
    return results


def _elsewhere(
    network: "ModelRef | None", jobs: "list[Job]", where: "Place"
) -> list[Mapping[str, Any]]:
    """What became of each job, in the order of the jobs; told of as it is known."""
    from arssr.jobs.batch import run_jobs

    results: dict[Path, Mapping[str, Any]] = {}
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
    facts: Mapping[str, Any],
    foretold: Mapping[str, Any] = MappingProxyType({}),
    several: bool = False,
) -> None:
    """Lines about a result; `foretold` and `several` as in `tell_making`."""
    line = f"{job.destination}  {size_in_words(facts)}  {facts['seconds']:.1f} s"
    stderr.print(line, markup=False, soft_wrap=True)
    tell_making(job.source, facts, foretold=foretold, several=several)
    for name in ("consistency", "uncertainty"):
        if said := facts.get(name, {}).get("in_words"):
            stderr.print(said, markup=False, soft_wrap=True)
    if job.report and job.page.exists():
        stderr.print(f"report: {job.page}", markup=False, soft_wrap=True)
