"""One scan in, one result out, with everything that belongs to it: what the command line, BIDS
data sets and clusters run for each scan.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arssr.api import Model, require_disk, require_memory, target_grid
from arssr.errors import ArSSRError
from arssr.field import ReportProgress, silent
from arssr.files import sidecar
from arssr.interpolation import resample
from arssr.provenance import describe, write_sidecar
from arssr.volume import Volume, check_output


@dataclass(frozen=True)
class Job:
    """What to do with one scan; plain values, so that it travels between machines.

    target: one of scale, spacing, shape, like, as `Model.upsample` takes it.
    options: further arguments of `Model.upsample`: acquisition, noise.
    report: write a page beside the result that shows input, cubic interpolation and result.
    """

    source: Path
    destination: Path
    target: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    overwrite: bool = False
    report: bool = False

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


def run(model: Model, job: Job, progress: ReportProgress = silent) -> dict[str, Any]:
    """Do the job; returns what the sidecar says and the names of the files.

    Raises ArSSRError for a scan that cannot be read, a result that does not fit and a
    destination that cannot be written; nothing half-written is left then.
    """
    job.check()
    started = time.perf_counter()
    progress("reading", 0.0)
    scan = Volume.read(job.source)
    grid = target_grid(scan.grid, **job.target)
    require_disk(job.destination, scan, grid)
    require_memory(grid)
    voxel_field = model.field(scan, towards=grid, **job.options, progress=progress)
    result = voxel_field.on(grid, progress)
    progress("writing", 0.0)
    result.write(job.destination, job.overwrite)
    progress("written", 1.0)
    seconds = time.perf_counter() - started
    chosen = {k: str(v) if isinstance(v, Path) else v for k, v in job.target.items()}
    facts = describe(model, voxel_field, result, chosen | dict(job.options), seconds)
    write_sidecar(job.destination, facts)
    if job.report:
        progress("report", 1.0)
        _write_report(job, scan, result, facts)
    return {"scan": str(job.source), "result": str(job.destination), **facts}


def _write_report(job: Job, scan: Volume, result: Volume, facts: Mapping[str, Any]) -> None:
    from arssr.evaluation.report import write_report

    shown = [("input", scan), ("cubic", resample(scan, result.grid)), ("result", result)]
    write_report(job.page, shown, provenance={"result": facts}, overwrite=True)
