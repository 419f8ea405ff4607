"""One scan in, one result out, with everything that belongs to it: image, sidecar and report."""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from arssr.api import Model
from arssr.engine.machine import speeds
from arssr.engine.transfer import beside
from arssr.errors import ArSSRError
from arssr.evenness import evened_as
from arssr.field import ReportProgress, silent
from arssr.formats.kind import INTENSITIES, LABELS, Kind
from arssr.formats.registry import open_writer
from arssr.formats.writing import Origin
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.jobs.job import Job
from arssr.jobs.provenance import describe, write_sidecar
from arssr.jobs.resuming import NO_REPORT
from arssr.resolution import Resolution, measure_resolution
from arssr.upsampling.facts import Facts, was_evened
from arssr.upsampling.frames import each_result, facts_of_all
from arssr.upsampling.result import Result, Where, as_half_widths, result_of, where_of
from arssr.upsampling.room import require_disk, require_memory, stored_bytes
from arssr.upsampling.words import method_in_words, words_on
from arssr.volume import Frames, Volume, grid_of, open_frames, read_quietly
from arssr.weights.limits import trained_on

Finish = Callable[[], Facts]
Foretell = Callable[[Mapping[str, Any]], None]
# Of a report, for a million voxels of the result and besides. Processor time of `resample` and
# `write_report` on three clinical scans at 1.5, 1 and 0.7 mm: 1.1 to 8.1 s for 2 to 21 million.
_REPORT_SECONDS, _REPORT_SECONDS_BESIDES = 0.35, 1.0
_REPORT_COPIES = 4  # it grew by 19 bytes for each voxel of a result of 256³ or 320³

_log = logging.getLogger(__name__)


class Relay:
    """Passes on what is told of progress, to whom it is set."""

    def __init__(self) -> None:
        self.to: ReportProgress = silent

    def __call__(self, what: str, share: float) -> None:
        self.to(what, share)


class Prepared:
    """A scan, where its result lies, and what the result will come of.

    With a limit of memory, which another job may need now, that is made only when it is taken.
    """

    def __init__(self, model: Model | None, job: Job) -> None:
        self.volume, self.progress = job.read(), Relay()
        self.where = where_of(job.request, self.volume)
        _require_disk(job, self.volume, self.where.grid)
        self._made: Result | None = None
        if job.request.memory is None:
            with beside(model.device if model else torch.device("cpu")):
                self._made = self._result(model, job)

    def take(self, model: Model | None, job: Job) -> Result:
        """What the result comes of; it is not kept here, as it may hold features."""
        made, self._made = self._made or self._result(model, job), None
        return made

    def _result(self, model: Model | None, job: Job) -> Result:
        where = self.where
        return result_of(model, job.request, self.volume, where, self.progress, where.resolution)


def run(model: Model | None, job: Job, progress: ReportProgress = silent) -> Facts:
    """Do the job; returns what the sidecar says and the names of the files.

    model: None will do for labels. The result goes to the disk as it is made. Raises ArSSRError
    for a scan that cannot be read, a result that does not fit and a destination that cannot be
    written; nothing half-written is left then.
    """
    return begin(model, job, progress)()


def begin(
    model: Model | None,
    job: Job,
    progress: ReportProgress = silent,
    ahead: Future[Prepared] | Future[Prepared | None] | None = None,
    foretell: Foretell = lambda _facts: None,
) -> Finish:
    """Compute what `run` writes; what is returned writes the rest of it, in whichever thread.

    ahead: the job, where it is being prepared already. foretell: hears, before the work, what is
    known of it by then. What is returned holds the scan and what waits to be written, but neither
    the field nor its features.
    """
    started = time.perf_counter()
    progress("reading", 0.0)
    job.check()
    prepared = (ahead.result() if ahead else None) or Prepared(model, job)
    prepared.progress.to = progress
    volume, where = prepared.volume, prepared.where
    result = prepared.take(model, job)
    grid = result.grid
    foretell(_known_before(volume, result))
    with ExitStack() as stack:
        if job.request.frames:
            frames = stack.enter_context(open_frames(job.source, job.series))
            _require_disk(job, volume, grid, len(frames))
            result = _put_frames(stack, model, job, frames, volume, where, result, progress)
        else:
            _put(stack, job, result)
        made = describe(volume, grid, job.asked, model, result.voxel_field)
        facts: Facts = {**made, **result.facts}
        facts |= words_on(facts)
        resolution = result.measured.resolution if result.measured else where.resolution
        if result.voxel_field and model and (taught := trained_on(model.card, volume)):
            facts["notes"] = [*facts.get("notes", []), taught]
        unwritten = stack.pop_all()

    def finish() -> Facts:
        progress("writing", 1.0)
        with unwritten:
            pass  # what waits for the compressor
        progress("written", 1.0)
        facts["seconds"] = round(time.perf_counter() - started, 3)
        write_sidecar(job.destination, facts)
        if job.report:
            progress("report", 1.0)
            card = model.card if model else {}
            if reason := write_page(job, volume, facts, card, resolution):
                facts[NO_REPORT] = reason
                write_sidecar(job.destination, facts)
        return {"scan": str(job.source), "result": str(job.destination), **facts}

    return finish


def estimate(model: Model | None, job: Job, scan: Future[Volume] | None = None) -> dict[str, Any]:
    """What the job would take, as plain values; nothing is computed or written.

    Bytes of memory and disk (not compressed), and seconds, from the work and this machine's speed;
    `report_seconds` are those of the report, roughly. Every frame is taken to be as much work as
    the first that is not constant. `exists` is what would have to be overwritten. Memory and
    seconds are those of a network that reads its field on a lattice: they are left out where none
    has a part (`method`), and through a transform. Raises ArSSRError where the job cannot be done.
    """
    replace(job, overwrite=True).check()
    volume, count = scan.result() if scan else job.read(), 1
    if job.request.frames:
        with open_frames(job.source, job.series) as frames:
            count = len(frames)
            volume = next((frame for frame in frames if np.ptp(frame.data)), volume)
    where = where_of(job.request, volume)
    _require_disk(job, volume, where.grid)
    result = result_of(model, job.request, volume, where, silent, where.resolution)
    known = _known_before(volume, result)
    if job.report:
        million = np.prod(result.grid.shape) / 1e6
        known["report_seconds"] = round(_REPORT_SECONDS_BESIDES + _REPORT_SECONDS * million, 1)
    facts = {
        "scan": str(job.source),
        "result": str(job.destination),
        "exists": [str(path) for path in job.existing()],
        "output": result.grid.describe(),
        "warnings": [],
        **known,
        "disk_bytes": round(stored_bytes(volume, result.grid, count, job.request.uncertainty)),
    }
    if "method" in result.facts:
        facts["method"] = result.facts["method"]
    if result.voxel_field is None or job.request.is_transformed:
        return facts
    plan = result.voxel_field.plan(result.grid)
    network = result.voxel_field.network  # on the CPU, if no plan fits the GPU
    seconds = count * plan.seconds(speeds(network.device)[network.precision])
    return {
        **facts,
        "precision": network.precision,
        "air_skipped": round(result.voxel_field.air, 4),
        "seconds": float(f"{seconds:.3g}"),
        **plan.describe(),
    }


def _known_before(scan: Volume, result: Result) -> dict[str, Any]:
    """What should be told of a result before it is computed."""
    facts: Mapping[str, Any] = result.facts
    names = ("target", "notes", "warnings", "even_slices", "cut_to_band")
    known = {name: facts[name] for name in names if name in facts}
    return {"input": scan.grid.describe(), **known}


def _require_disk(job: Job, volume: Volume, grid: Grid, frames: int = 1) -> None:
    require_disk(job.destination, volume, grid, frames, job.request.uncertainty)


def _put(stack: ExitStack, job: Job, result: Result) -> None:
    """Compute the result and give it to writers; closing the stack is the rest of writing."""
    origin = Origin(job.source, job.series, method_in_words(result.facts))
    put = _writing(stack, job, result.scan, result.grid, origin)
    put(result)
    _name_half_widths(job, result.facts)


def _put_frames(
    stack: ExitStack,
    model: Model | None,
    job: Job,
    frames: Frames,
    scan: Volume,
    where: Where,
    first: Result,
    progress: ReportProgress,
) -> Result:
    """The frames one after the other into one file; `first` is what comes of the first, `scan`.

    Returns what came of the first that is not constant, with what is kept of the others.
    """
    told: list[Facts] = []
    put = _writing(stack, job, first.scan, first.grid, frames=len(frames))
    for made in each_result(model, job.request, frames, where, first, progress):
        put(made)
        told.append(made.facts)
        if "constant" in first.facts:
            first = made
    first.facts.update(facts_of_all(told))
    _name_half_widths(job, first.facts)
    return first


def _writing(
    stack: ExitStack,
    job: Job,
    scan: Volume,
    grid: Grid,
    origin: Origin | None = None,
    frames: int = 1,
) -> Callable[[Result], None]:
    """What takes a result, frame by frame, to the files of a job; closing the stack is the rest of
    writing. Either all files are there then or none.
    """
    like = (scan, as_half_widths(scan))
    writers = []
    for path, lends, what in zip(job.images, like, ("", " uncertainty"), strict=False):
        of = replace(origin, what=what) if origin else None
        opened = open_writer(path, lends, grid, job.overwrite, frames, of)
        writers.append(stack.enter_context(opened))

    def finished(kind: type[BaseException] | None, *_: object) -> None:
        for writer in writers if kind is None else ():
            writer.finish()

    stack.push(finished)

    def put(result: Result) -> None:
        for slabs in result.slabs([writer.encoding for writer in writers]):
            for writer, slab in zip(writers, slabs, strict=True):
                writer.put_stored(slab)

    return put


def _name_half_widths(job: Job, facts: Facts) -> None:
    if job.half_widths and "uncertainty" in facts:
        facts["uncertainty"] = {"file": job.half_widths.name, **facts["uncertainty"]}


def write_page(
    job: Job,
    scan: Volume,
    facts: Facts,
    card: Mapping[str, Any],
    resolution: Resolution | None = None,
    called: str = "",
) -> str:
    """The report of a job whose result is there, or in words why there is none; it needs input,
    cubic and result in memory.

    A result without anything to show, such as an empty mask, is a result all the same.
    facts: what its sidecar says. resolution: of the scan, where it is known. called: the scan's
    name, where its file has another.
    """
    from arssr.viewing.half_widths import sureness
    from arssr.viewing.report import write_report
    from arssr.viewing.verdict import verdict_on

    try:
        grid = grid_of(job.destination)
        copies = _REPORT_COPIES + job.request.uncertainty
        require_memory(grid, copies, job.request.memory)
        if job.request.labels:
            scan = replace(scan, kind=Kind(LABELS, "--labels says so"))
        is_drawn = scan.kind.what == LABELS
        if scan.kind.what == INTENSITIES:
            resolution = resolution or measure_resolution(scan)
        begun = evened_as(scan, facts["even_slices"]) if was_evened(facts) else scan
        cubic = None if is_drawn else resample(begun, grid)
        result = read_quietly(job.destination)
        beside = [] if cubic is None else [("cubic", cubic)]
        shown = [("input", scan), *beside, ("result", result)]
        said = ("methods", "cite", "not_for")  # by the verdict, in words
        made = {"result": {name: value for name, value in facts.items() if name not in said}}
        sure = None
        if job.half_widths and "uncertainty" in facts:
            sure = sureness(result, read_quietly(job.half_widths), facts["uncertainty"])
        short = sure.in_short if sure else ()
        verdict = verdict_on(begun, result, facts, card, resolution, cubic, short)
        verdict = replace(verdict, scan=called or verdict.scan)
        write_report(job.page, shown, None, made, True, verdict, resolution, sure=sure)
    except ArSSRError as error:
        _log.warning("%s: no report, %s", job.page, error)
        return str(error)
    return ""
