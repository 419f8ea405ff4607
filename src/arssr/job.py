"""One scan in, one result out, with everything that belongs to it: what the command line, BIDS
data sets and clusters run for each scan.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from arssr.api import Model, require_disk, require_memory, stored_bytes, target_grid
from arssr.engine.machine import speeds
from arssr.errors import ArSSRError
from arssr.field import ReportProgress, VoxelField, silent
from arssr.files import sidecar
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.provenance import describe, write_sidecar
from arssr.volume import Volume, check_output, open_writer

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What to do with one scan; plain values, so that it travels between machines.

    target: one of scale, spacing, shape, like, as `Model.upsample` takes it.
    options: further arguments of `Model.upsample`: acquisition, noise.
    report: write a page beside the result that shows input, cubic interpolation and result.
    memory: bytes that the process may take, by default a share of what is free. skip_air: leave
    air to the interpolation.
    """

    source: Path
    destination: Path
    target: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    overwrite: bool = False
    report: bool = False
    memory: float | None = None
    skip_air: bool = True

    @property
    def page(self) -> Path:
        """Where the report goes."""
        return sidecar(self.destination).with_suffix(".html")

    def check(self) -> None:
        """Refuse, before the work, what could not be written. Raises ArSSRError."""
        check_output(self.destination, self.overwrite)
        companions = [sidecar(self.destination), *([self.page] if self.report else [])]
        for companion in companions:
            if companion.exists() and not self.overwrite:
                raise ArSSRError(f"{companion}: exists already; --overwrite replaces it")


def run(
    model: Model,
    job: Job,
    scan: Future[Volume] | None = None,
    progress: ReportProgress = silent,
) -> dict[str, Any]:
    """Do the job; returns what the sidecar says and the names of the files.

    scan: the source, where it is being read already. The result goes to the disk as it is made
    and is never in memory as a whole. Raises ArSSRError for a scan that cannot be read, a result
    that does not fit and a destination that cannot be written; nothing half-written is left then.
    """
    started = time.perf_counter()
    progress("reading", 0.0)
    volume, grid, field = _prepare(model, job, scan, progress)
    with open_writer(job.destination, volume, grid, job.overwrite) as writer:
        for slab in field.slabs(grid, progress):
            writer.put(slab)
        progress("writing", 1.0)
    seconds = time.perf_counter() - started
    chosen = {k: str(v) if isinstance(v, Path) else v for k, v in job.target.items()}
    facts = describe(model, field, grid, chosen | dict(job.options), seconds)
    write_sidecar(job.destination, facts)
    if job.report:
        progress("report", 1.0)
        del field
        _write_report(job, volume, grid, facts)
    return {"scan": str(job.source), "result": str(job.destination), **facts}


def reading_ahead(jobs: Sequence[Job]) -> Iterator[tuple[Job, Future[Volume]]]:
    """Each job and its scan, which is read while the job before it runs.

    The future raises what reading raised.
    """
    with ThreadPoolExecutor(1, "read") as thread:
        ahead = [thread.submit(Volume.read, job.source) for job in jobs[:1]]
        for job, following in zip_longest(jobs, jobs[1:]):
            if following is not None:
                ahead.append(thread.submit(Volume.read, following.source))
            yield job, ahead.pop(0)


def estimate(model: Model, job: Job, scan: Future[Volume] | None = None) -> dict[str, Any]:
    """What the job would take, as plain values; nothing is computed or written.

    Bytes of memory and disk (not compressed), and seconds, from the work and this machine's speed.
    Raises ArSSRError where the job cannot be done.
    """
    volume, grid, field = _prepare(model, job, scan, silent)
    plan = field.plan(grid)
    seconds = plan.seconds(speeds(model.device)[model.precision])
    return {
        "scan": str(job.source),
        "result": str(job.destination),
        "output": grid.describe(),
        "precision": model.precision,
        "air_skipped": round(field.air, 4),
        "disk_bytes": round(stored_bytes(volume, grid)),
        "seconds": float(f"{seconds:.3g}"),
        **plan.describe(),
    }


def _prepare(
    model: Model, job: Job, scan: Future[Volume] | None, progress: ReportProgress
) -> tuple[Volume, Grid, VoxelField]:
    """The scan, the grid of the result and the field, after every check that can be made."""
    job.check()
    volume = scan.result() if scan else Volume.read(job.source)
    grid = target_grid(volume.grid, **job.target)
    require_disk(job.destination, volume, grid)
    field = model.field(
        volume,
        towards=grid,
        **job.options,
        memory=job.memory,
        skip_air=job.skip_air,
        progress=progress,
    )
    return volume, grid, field


def _write_report(job: Job, scan: Volume, grid: Grid, facts: Mapping[str, Any]) -> None:
    """The page; it needs input, cubic interpolation and result in memory."""
    from arssr.evaluation.report import write_report

    try:
        require_memory(grid, copies=2)
    except ArSSRError as error:
        _log.warning("%s: no report, %s", job.page, error)
        return
    result = Volume.read(job.destination)
    shown = [("input", scan), ("cubic", resample(scan, grid)), ("result", result)]
    write_report(job.page, shown, provenance={"result": facts}, overwrite=True)
