"""`arssr bids`: a BIDS App; a data set of scans in, a data set of sharper scans out."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from arssr.cli.console import (
    complain,
    print_json,
    progress_bar,
    stderr,
    tell_making,
    tell_merged,
    tell_passed_over,
)
from arssr.cli.estimates import estimates
from arssr.cli.numbers import number_or_word
from arssr.cli.options import (
    DRY_ELSEWHERE,
    RESULT,
    Acquisition,
    AsStored,
    Consistent,
    Device,
    DryRun,
    Ensemble,
    EvenSlices,
    Interleaves,
    Isotropic,
    Memory,
    ModelName,
    Noise,
    Precision,
    ResultsAsJson,
    Scale,
    Spacing,
    Strict,
    Uncertainty,
    bytes_of,
    interleaves_of,
    target_of,
)
from arssr.cli.place import DaskAddress, Jobs, OnSlurm, SlurmOptions, place
from arssr.cli.session import LogFile, Quiet, Threads
from arssr.errors import ArSSRError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from arssr.bids.dataset import Dataset, Others, Scan
    from arssr.bids.derivatives import Derivatives
    from arssr.bids.participants import Done
    from arssr.jobs.batch import ModelRef
    from arssr.jobs.merging import AnyJob
    from arssr.merging.interleaves import Asked
    from arssr.upsampling.request import Request

# Options that take a list, as every BIDS App does; click itself knows one value at a time.
_LISTS = (
    "--participant-label",
    "--participant_label",
    "--session-label",
    "--session_label",
    "--suffix",
    "-s",
)


def bids(
    bids_dir: Annotated[Path, typer.Argument(help="The BIDS data set.")],
    output_dir: Annotated[Path, typer.Argument(help="Folder for the data set of results.")],
    level: Annotated[
        Literal["participant", "group"],
        typer.Argument(help="participant: the scans; group: the overview alone (index.html)."),
    ],
    participants: Annotated[
        list[str] | None,
        typer.Option(
            "--participant-label", "--participant_label", help="Some subjects: 01 02 …; else all."
        ),
    ] = None,
    sessions: Annotated[
        list[str] | None,
        typer.Option("--session-label", "--session_label", help="Some sessions; else all."),
    ] = None,
    suffixes: Annotated[
        list[str] | None,
        typer.Option("--suffix", "-s", help="Which images: T1w T2w FLAIR …; else T1w."),
    ] = None,
    filter_file: Annotated[
        Path | None,
        typer.Option(
            "--bids-filter-file",
            "--bids_filter_file",
            help="Which of these images, by entities of their names: a JSON file as fMRIPrep takes "
            "it. See docs/bids.md.",
        ),
    ] = None,
    scale: Scale = None,
    spacing: Spacing = None,
    isotropic: Isotropic = False,
    uncertainty: Uncertainty = False,
    consistent: Consistent = False,
    strict: Strict = False,
    model: ModelName = "light",
    acquisition: Acquisition = "auto",
    noise: Noise = "auto",
    ensemble: Ensemble = 1,
    as_stored: AsStored = False,
    even_slices: EvenSlices = False,
    merge: Annotated[
        bool,
        typer.Option(
            "--merge",
            help="Make one image of all scans of a session that differ in nothing but run and "
            "acquisition (run-, acq-), as arssr merge does. See docs/merge.md.",
            rich_help_panel=RESULT,
        ),
    ] = False,
    interleaves: Interleaves = None,
    device: Device = "auto",
    precision: Precision = "auto",
    memory: Memory = None,
    jobs: Jobs = 1,
    dask: DaskAddress = None,
    slurm: OnSlurm = False,
    slurm_options: SlurmOptions = None,
    dry_run: DryRun = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make again what is done already.")
    ] = False,
    report: Annotated[
        bool, typer.Option(help="Beside each result a page: input, cubic and result.")
    ] = True,
    as_json: ResultsAsJson = False,
    threads: Threads = None,
    quiet: Quiet = False,
    log_file: LogFile = None,
) -> None:
    """Super-resolve the anatomical images of a BIDS data set into a derived one.

    The same command goes on where it stopped: what is done is left alone. What is passed over is
    counted, with the reason. With --merge, a scan that is alone in its session is super-resolved.
    """
    from arssr.bids.dataset import Dataset
    from arssr.bids.derivatives import Derivatives
    from arssr.bids.index import write_index

    derivatives = Derivatives(output_dir, Dataset(bids_dir))
    done: list[Done] = []
    if level == "participant":
        from arssr.bids.participants import super_resolve
        from arssr.jobs.batch import ModelRef
        from arssr.jobs.local import Local
        from arssr.upsampling.request import Request

        request = Request(
            target_of(scale=scale, spacing=spacing, isotropic=isotropic or None),
            acquisition=acquisition,
            noise=number_or_word("--noise", noise, ("auto", "unknown")),
            ensemble=ensemble,
            memory=bytes_of(memory),
            uncertainty=uncertainty,
            consistent=consistent,
            strict=strict,
            as_stored=as_stored,
            even_slices=even_slices,
        )
        groups = interleaves_of(interleaves)
        _require_sound(merge, request, groups)
        how: dict[str, Any] = {"report": report, "overwrite": overwrite, "interleaves": groups}
        where = place(jobs, dask, slurm, slurm_options)
        if dry_run and where != Local():
            raise typer.BadParameter(DRY_ELSEWHERE)
        labels = (suffixes or ["T1w"], participants or (), sessions or ())
        scans, others = _found(derivatives.source, *labels, filter_file, merge=merge)
        network = ModelRef.find(model, device, precision)
        if dry_run:
            _estimate(derivatives, scans, request, network, others, as_json, how)
            return
        with progress_bar(counted=True) as bar:
            task = bar.add_task("scans", total=len(scans))
            tell = partial(_progress, bar, task)
            for each in super_resolve(derivatives, scans, request, network, where, tell, **how):
                done.append(each)
                bar.update(task, completed=len(done))
                _tell(each)
        if as_json:
            print_json([_as_json(each) for each in done])
        _sum(done, others)
    index = write_index(derivatives)
    stderr.print(f"overview: {index}", markup=False, soft_wrap=True)
    if any(each.error for each in done):
        raise typer.Exit(1)
    if done and all(each.needs_target for each in done):
        raise typer.Exit(2)


def _require_sound(merge: bool, request: "Request", interleaves: "Asked | None") -> None:
    """A usage error for what does not go with --merge, or not without it."""
    from arssr.merging.interleaves import require_interleaves
    from arssr.merging.merge import require_mergeable

    if not merge:
        if interleaves is not None:
            raise typer.BadParameter(
                "--interleaves needs --merge: other scans tell how slices moved"
            )
        return
    try:
        require_mergeable(request)
        require_interleaves(interleaves, separate=False, even_slices=request.even_slices)
    except ArSSRError as error:
        raise typer.BadParameter(f"--merge: {error}") from None


def _found(
    source: "Dataset",
    suffixes: Sequence[str],
    participants: Sequence[str],
    sessions: Sequence[str],
    filter_file: Path | None,
    *,
    merge: bool,
) -> "tuple[list[Scan], Others]":
    """The scans to work on, and how many images lie there besides."""
    from arssr.bids.filters import EVERYTHING, Filter
    from arssr.bids.groups import grouped

    chosen = (
        set(suffixes),
        [label.removeprefix("sub-") for label in participants],
        [label.removeprefix("ses-") for label in sessions],
        Filter.read(filter_file, suffixes) if filter_file else EVERYTHING,
    )
    scans = source.scans(*chosen)
    return grouped(scans) if merge else scans, source.others(*chosen)


def _progress(bar: "Progress", task: "TaskID", what: str, share: float) -> None:
    bar.update(task, description=f"{what} {share:.0%}")


def spread_lists(arguments: Sequence[str]) -> list[str]:
    """The command line of `arssr bids` with an option's name before every word of its list.

    >>> spread_lists(["bids", "in", "out", "participant", "-s", "T1w", "T2w", "--scale", "2"])
    ['bids', 'in', 'out', 'participant', '-s', 'T1w', '-s', 'T2w', '--scale', '2']
    """
    if list(arguments[:1]) != ["bids"]:
        return list(arguments)
    spread: list[str] = []
    option = None
    for word in arguments:
        if word.startswith("-"):
            option = word if word in _LISTS else None
        elif option is not None and spread[-1] != option:
            spread.append(option)
        spread.append(word)
    return spread


def _tell(done: "Done") -> None:
    """A line for what was made now or failed."""
    if done.error:
        complain(done.error)
    elif done.passed_over:
        tell_passed_over(done.passed_over)
    elif done.facts is not None:
        line = f"{done.destination}  {done.facts['seconds']:.1f} s"
        stderr.print(line, markup=False, soft_wrap=True)
        tell_merged(done.scan.paths)
        tell_making(done.scan.path, done.facts)


def _estimate(
    derivatives: "Derivatives",
    scans: "list[Scan]",
    request: "Request",
    network: "ModelRef",
    others: "Others",
    as_json: bool,
    how: Mapping[str, Any],
) -> None:
    """What `bids` would do and what that would take; nothing is computed or written."""
    from arssr.bids.participants import Done, survey

    known: list[Done] = []
    jobs: list[AnyJob] = []
    for found in survey(derivatives, scans, request, network, **how):
        if isinstance(found, Done):
            known.append(found)
            _tell(found)
        else:
            jobs.append(found[1])
    results = estimates(network.load(), jobs, pass_over=True) if jobs else []
    if as_json:
        print_json([*results, *map(_as_json, known)])
    to_do = sum("disk_bytes" in result for result in results)
    needs_target = sum("passed_over" in result for result in results)
    failed = len(jobs) - to_do - needs_target
    stderr.print(f"{to_do} of {len(scans)} to do, {_counts(known, failed, needs_target)}")
    _tell_passed_over(known, others, needs_target)
    if failed or any(each.error for each in known):
        raise typer.Exit(1)


def _sum(done: "list[Done]", others: "Others") -> None:
    """What became of how many."""
    made = sum(each.facts is not None for each in done)
    stderr.print(f"{made} of {len(done)} done, {_counts(done)}")
    _tell_passed_over(done, others)


def _counts(done: "list[Done]", failed: int = 0, passed: int = 0) -> str:
    """How many were not made now, beside so many that failed and were passed over."""
    failed += sum(bool(each.error) for each in done)
    passed += sum(bool(each.passed_over) for each in done)
    before = sum(not (each.error or each.passed_over or each.facts is not None) for each in done)
    last = f", {passed} passed over" if passed else ""
    return f"{before} were done before, {failed} failed{last}"


def _tell_passed_over(done: "list[Done]", others: "Others", needs_target: int = 0) -> None:
    """A line for each kind of image that nothing was made of, with how many there are."""
    from arssr.files import counted

    phase = sum(bool(each.passed_over) and not each.needs_target for each in done)
    isotropic = needs_target + sum(each.needs_target for each in done)
    listed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.suffixes.items()))
    kinds = (
        (phase, "of phase, which wraps around and cannot be interpolated"),
        (isotropic, "isotropic already, and no target was named"),
        (others.filtered, "left out by --bids-filter-file"),
        (others.suffixes.total(), f"of another suffix: {listed} (--suffix takes them)"),
        (others.nameless, "without a name of BIDS"),
    )
    for count, why in kinds:
        if count:
            tell_passed_over(f"{counted(count, 'image')}, {why}")


def _as_json(done: "Done") -> Mapping[str, Any]:
    scan: dict[str, Any] = {"scan": str(done.scan.path)}
    if done.scan.others:
        scan = {"scans": [str(path) for path in done.scan.paths]}
    if done.error:
        return scan | {"error": done.error}
    if done.passed_over:
        return scan | {"passed_over": done.passed_over}
    if done.facts is not None:
        return {**done.facts, **scan}
    return scan | {"result": str(done.destination), "done": "before"}
