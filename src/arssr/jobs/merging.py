"""Several scans in, one result out, or one of each contrast, with all that belongs to it."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from arssr.api import Model
from arssr.engine.machine import speeds
from arssr.errors import ArSSRError
from arssr.field import ReportProgress, silent
from arssr.files import sha256, sidecar
from arssr.formats.registry import check_output, open_writer
from arssr.formats.writing import Origin
from arssr.jobs.job import Job, named_in_words, require_no_bug
from arssr.jobs.provenance import describe, write_sidecar
from arssr.merging.interleaves import Asked, require_interleaves
from arssr.merging.merge import Merged, common_grid, made_of
from arssr.merging.separate import request_for
from arssr.merging.stack import fine_grid
from arssr.merging.together import memory_bytes
from arssr.upsampling.facts import Facts, was_evened
from arssr.upsampling.request import Request
from arssr.upsampling.result import Where, result_of
from arssr.upsampling.room import require_disk, stored_bytes
from arssr.upsampling.words import EVENED_BEFORE, NOT_FOR, PAPER, method_in_words, software
from arssr.volume import Volume, read_quietly

# Of all but the networks, for a million voxels of the result and each scan: on a busy core.
_SECONDS = 15.0
# So many times that where interleaves are looked for and found (pieces of `val`, 88 voxels a side).
_TIMES = 4


@dataclass(frozen=True)
class MergeJob:
    """What to do with several scans of one person.

    sources: two or more; the first is the frame. series: which DICOM image each of them is, None
    where there is but one; empty for that of all. destinations: of the one result, or of one for
    each scan where contrasts are kept separate. registered: find how the person moved. report: a
    page beside the result that shows the scans where they lie, and what came from which.
    interleaves: how many groups of slices may have moved within scans, or auto; None: none is
    looked for. otherwise: what else there is to say where a scan does not do.
    """

    sources: tuple[Path, ...]
    destinations: tuple[Path, ...]
    request: Request
    registered: bool = True
    separate: bool = False
    overwrite: bool = False
    report: bool = False
    series: tuple[str | None, ...] = ()
    interleaves: Asked | None = None
    otherwise: str = ""

    def __post_init__(self) -> None:
        if len(set(self.scans)) < len(self.scans):
            raise ArSSRError("one scan is named twice")
        names = Counter(map(sidecar, self.destinations))
        if twice := [name for name, count in names.items() if count > 1]:
            both = twice[0].with_suffix("")
            raise ArSSRError(
                f"two scans would both be written to {both}; rename one, or name its series "
                "otherwise"
            )
        if self.report and self.separate:
            raise ArSSRError("--report shows one result; see `arssr compare` for several")
        require_interleaves(self.interleaves, self.separate, self.request.even_slices)

    @property
    def scans(self) -> list[tuple[Path, str | None]]:
        """Each scan, as `Volume.read` takes it."""
        return [*zip(self.sources, self.series or (None,) * len(self.sources), strict=True)]

    @property
    def asked(self) -> dict[str, Any]:
        """What was asked for beyond the defaults, as plain values: for a sidecar."""
        said: dict[str, Any] = {"register": self.registered, "separate": self.separate}
        if self.series:
            said["series"] = list(self.series)
        if self.interleaves is not None:
            said["interleaves"] = self.interleaves
        return self.request.asked() | {"merge": True, **said}

    @property
    def source(self) -> Path:
        """The first scan, which is the frame."""
        return self.sources[0]

    @property
    def destination(self) -> Path:
        """Where the result goes, or the first one."""
        return self.destinations[0]

    @property
    def images(self) -> list[Path]:
        """All images that are written."""
        return list(self.destinations)

    @property
    def page(self) -> Path:
        """Where the report goes."""
        return sidecar(self.destination).with_suffix(".html")

    def existing(self) -> list[Path]:
        """What the job would have to overwrite, and may not."""
        files = [file for each in self.destinations for file in (each, sidecar(each))]
        files += [self.page] if self.report else []
        return [] if self.overwrite else [path for path in files if path.exists()]

    def check(self) -> None:
        """Refuse, before the work, what could not be written. Raises ArSSRError."""
        for source, destination in zip(self.sources, self.destinations, strict=False):
            if destination.resolve() in {each.resolve() for each in self.sources}:
                raise ArSSRError(f"{destination} is a scan itself; name another place to write to")
            check_output(destination, self.overwrite, False, source)
        for path in self.existing():
            raise ArSSRError(f"{path}: exists already; --overwrite replaces it")

    def in_words(self, error: BaseException) -> str:
        """What went wrong with it, on one line that names a scan or the result."""
        line = named_in_words(error, self.destination, *self.sources)
        is_of_a_scan = any(str(source) in line for source in self.sources)
        return f"{line}; {self.otherwise}" if self.otherwise and is_of_a_scan else line

    def failed(self, error: Exception) -> dict[str, Any]:
        """See `Job.failed`."""
        require_no_bug(error)
        return {"scans": [str(source) for source in self.sources], "error": self.in_words(error)}

    def read(self) -> list[Volume]:
        """The scans. Raises ArSSRError as `Volume.read` does."""
        return [read_quietly(path, series) for path, series in self.scans]


AnyJob = Job | MergeJob
SomeJob = TypeVar("SomeJob", bound=AnyJob)


def run_merge(model: Model, job: MergeJob, progress: ReportProgress = silent) -> list[Facts]:
    """Do the job; returns what each sidecar says and the names of the files.

    Raises ArSSRError as `made_of` does and for a destination that cannot be written; nothing
    half-written is left then.
    """
    started = time.perf_counter()
    job.check()
    progress("reading", 0.0)
    scans = job.read()
    where = common_grid(job.request, scans, job.registered, job.separate)
    common, _ = where
    for path, scan in zip(job.destinations, scans, strict=False):
        require_disk(path, scan, common)
    how = (job.registered, job.separate, progress, job.interleaves)
    made = made_of(model, job.request, scans, where, *how)
    sums = {path: sha256(path) for path in job.sources}
    inputs = [{"file": path.name, "sha256": sums[path]} for path in job.sources]
    for each, series in zip(inputs, job.series, strict=False):
        each |= {"series": series} if series else {}
    results: list[Facts] = []
    for number, (merged, path) in enumerate(zip(made, job.destinations, strict=True)):
        origin = _origin(job, number, merged.facts)
        with open_writer(path, merged.volume, common, job.overwrite, origin=origin) as writer:
            writer.put(merged.volume.data)
        facts = describe(scans[number], common, job.asked, model)
        facts = {**facts, "inputs": [*inputs], **merged.facts}
        facts |= _words(facts, job)
        facts["seconds"] = round(time.perf_counter() - started, 3)
        write_sidecar(path, facts)
        if job.report:
            progress("report", 1.0)
            _write_page(job, merged, facts)
        facts = {"scan": scans[number].label, "result": str(path), **facts}
        results.append(facts)
    return results


def estimate_merge(model: Model, job: MergeJob) -> dict[str, Any]:
    """What the job would take, as plain values, roughly; nothing is computed or written.

    Raises ArSSRError where it cannot be done, but for scans that turn out not to fit.
    """
    replace(job, overwrite=True).check()
    scans = job.read()
    common, because = common_grid(job.request, scans, job.registered, job.separate)
    voxels = float(np.prod(common.shape))
    times = 1 if job.interleaves is None else _TIMES
    seconds = times * _SECONDS * voxels / 1e6 * len(scans)
    peak = memory_bytes(common, scans, job.interleaves)
    warnings: list[str] = []
    for scan in scans:
        fine = fine_grid(scan.grid, common)
        result = result_of(model, request_for(job.request, scan), scan, Where(fine), silent)
        warnings += [f"{scan.label}: {told}" for told in result.facts.get("warnings", ())]
        if result.voxel_field is not None:
            plan = result.voxel_field.plan(fine)
            network = result.voxel_field.network
            again = job.interleaves is not None or (job.request.even_slices and not job.separate)
            seconds += (1 + again) * plan.seconds(speeds(network.device)[network.precision])
            peak = max(peak, plan.describe()["memory_bytes"]["peak"])
    return {
        "scans": [scan.label for scan in scans],
        "result": ", ".join(map(str, job.destinations)),
        "exists": [str(path) for path in job.existing()],
        "output": common.describe(),
        **({"target": because} if because else {}),
        "warnings": warnings,
        "disk_bytes": round(len(job.destinations) * stored_bytes(scans[0], common)),
        "memory_bytes": {"peak": round(peak)},
        "seconds": float(f"{seconds:.3g}"),
    }


def _origin(job: MergeJob, number: int, facts: Facts) -> Origin:
    """What an image was made from, and how: all scans, or where contrasts are separate its own."""
    each = [Origin(*scan, method_in_words(facts)) for scan in job.scans]
    return each[number] if job.separate else replace(each[0], others=each[1:])


def _words(facts: Mapping[str, Any], job: MergeJob) -> Facts:
    """What goes with a result into a paper."""
    program, model = facts["versions"]["arssr"], facts["model"]
    by = f"with ArSSR (version {program}) and its weights {model['name']!r}"
    if job.separate:
        said = f"Each image was super-resolved on its own {by}, on one grid"
    else:
        said = (
            f"{len(job.sources)} scans were super-resolved one by one {by}; their mean was "
            "corrected by least squares to agree with what each had measured"
        )
    how = "after rigid registration" if job.registered else "as their headers have it"
    said = f"{said}, {how}."
    if was_evened(facts):
        said += f" {EVENED_BEFORE}"
    return {"methods": said, "cite": [PAPER, software(program)], "not_for": NOT_FOR}


def _write_page(job: MergeJob, merged: Merged, facts: Facts) -> None:
    """The report: the scans where they lie in the common space, and the result."""
    from arssr.viewing.merged import merged_verdict, origins
    from arssr.viewing.report import write_report

    shown = [(f"scan {n}", scan) for n, scan in enumerate(merged.scans, start=1)]
    said = ("methods", "cite", "not_for", "merged")  # elsewhere on the page
    told = {"result": {name: value for name, value in facts.items() if name not in said}}
    images, verdict = [*shown, ("result", merged.volume)], merged_verdict(merged.volume, facts)
    where = origins(facts, merged.volume.grid)
    write_report(job.page, images, None, told, True, verdict, merged=where)
