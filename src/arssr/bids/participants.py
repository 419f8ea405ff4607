"""The participant level of a BIDS App: every scan of some subjects, as far as it is not done."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from arssr.bids.dataset import Scan, require_fetched
from arssr.bids.derivatives import Derivatives
from arssr.bids.groups import require_each_once
from arssr.errors import ArSSRError
from arssr.extras import require
from arssr.field import ReportProgress, silent
from arssr.files import sidecar
from arssr.formats.bids import metadata
from arssr.formats.kind import kind_of
from arssr.jobs.batch import ModelRef, Place, run_jobs
from arssr.jobs.job import Job
from arssr.jobs.merging import AnyJob, MergeJob
from arssr.merging.interleaves import Asked
from arssr.upsampling.facts import Facts
from arssr.upsampling.request import Request


@dataclass(frozen=True)
class Done:
    """A scan that is dealt with: a result now (`facts`), one from an earlier run, an `error`, or
    a reason why it is `passed_over`: it is no image for any network, or `needs_target`, being
    isotropic, and none was named.
    """

    scan: Scan
    destination: Path
    facts: Facts | None = None
    error: str = ""
    passed_over: str = ""
    needs_target: bool = False


def survey(
    derivatives: Derivatives,
    scans: Iterable[Scan],
    request: Request,
    network: ModelRef,
    *,
    report: bool = True,
    overwrite: bool = False,
    interleaves: Asked | None = None,
) -> Iterator[Done | tuple[Scan, AnyJob]]:
    """What there is to do, a job for each scan, and what is known of the others; writes nothing.

    overwrite: what is done, do again. interleaves: of scans that are merged. Raises ArSSRError, at
    once, where two scans would have the same result.
    """
    jobs = _jobs(derivatives, scans, request, report, interleaves)
    yield from _surveyed(derivatives, jobs, network, overwrite)


def _surveyed(
    derivatives: Derivatives,
    jobs: Iterable[tuple[Scan, AnyJob]],
    network: ModelRef,
    overwrite: bool,
) -> Iterator[Done | tuple[Scan, AnyJob]]:
    for scan, job in jobs:
        try:
            kind_of(scan.path).require_interpolable(scan.path)
        except ArSSRError as error:
            yield Done(scan, job.destination, passed_over=str(error))
            continue
        try:
            is_done = _is_done(derivatives, scan, job, network, overwrite)
        except ArSSRError as error:
            yield Done(scan, job.destination, error=job.in_words(error))
        else:
            yield Done(scan, job.destination) if is_done else (scan, job)


def super_resolve(
    derivatives: Derivatives,
    scans: Iterable[Scan],
    request: Request,
    network: ModelRef,
    where: Place,
    progress: ReportProgress = silent,
    *,
    report: bool = True,
    overwrite: bool = False,
    interleaves: Asked | None = None,
) -> Iterator[Done]:
    """Make what is missing; tells of every scan, in the order in which it is dealt with.

    report: a page for each result. overwrite: what is done, do again. interleaves: of scans that
    are merged. A failure is that scan's own, and remembered in the folder of results. Raises
    ArSSRError, at once, where two scans would have the same result, where nothing can be written,
    and where what draws pages is not there.
    """
    jobs = _jobs(derivatives, scans, request, report, interleaves)
    derivatives.describe()
    todo: dict[Path, tuple[Scan, AnyJob]] = {}
    for found in _surveyed(derivatives, jobs, network, overwrite):
        if isinstance(found, Done):
            yield _noted(derivatives, found)
        else:
            todo[found[1].destination] = found
    for outcome in run_jobs((job for _, job in todo.values()), network, where, progress):
        scan, job = todo[outcome.job.destination]
        done = Done(scan, job.destination, outcome.facts, outcome.error)
        if outcome.needs_target:
            done = Done(scan, job.destination, passed_over=outcome.error, needs_target=True)
        elif outcome.facts is not None:
            try:
                derivatives.record(scan, job.destination, outcome.facts)
            except ArSSRError as error:
                done = Done(scan, job.destination, error=str(error))
        yield _noted(derivatives, done)


def _noted(derivatives: Derivatives, done: Done) -> Done:
    """The same, once it is remembered in the folder of results whether the scan failed."""
    if done.error:
        derivatives.record_failure(done.scan, done.error)
    else:
        derivatives.forget_failure(done.scan)
    return done


def _jobs(
    derivatives: Derivatives,
    scans: Iterable[Scan],
    request: Request,
    report: bool,
    interleaves: Asked | None,
) -> list[tuple[Scan, AnyJob]]:
    """What is there and not done was cut off, or is to be done again: all may be overwritten."""
    if report:
        require("bids", "arssr bids without --no-report")
    jobs = [
        (scan, _job(scan, derivatives.destination(scan), request, report, interleaves))
        for scan in scans
    ]
    if any(isinstance(job, MergeJob) for _, job in jobs):
        require("formats", "arssr bids --merge", "SimpleITK")
    known: dict[Path, Scan] = {}
    for scan, job in jobs:
        twin = known.setdefault(sidecar(job.destination), scan)
        if twin is not scan:
            raise ArSSRError(
                f"two scans would both become {sidecar(job.destination).stem}: {twin.path} and "
                f"{scan.path.name}; remove one, or leave it out with --bids-filter-file"
            )
    return jobs


def _job(
    scan: Scan, destination: Path, request: Request, report: bool, interleaves: Asked | None
) -> AnyJob:
    if scan.others:
        return MergeJob(
            scan.paths,
            (destination,),
            request,
            overwrite=True,
            report=report,
            interleaves=interleaves,
            otherwise=f"the first scan is {scan.path.name}, --bids-filter-file leaves scans out",
        )
    return Job(scan.path, destination, request, None, True, report)


def _is_done(
    derivatives: Derivatives, scan: Scan, job: AnyJob, network: ModelRef, again: bool
) -> bool:
    """Whether there is nothing to do. Raises ArSSRError for a scan that cannot be dealt with."""
    require_each_once(scan)
    for path in scan.paths:
        require_fetched(path)
        metadata(path)  # what cannot be read is better known before the work
    return not again and derivatives.is_done(job, network)
