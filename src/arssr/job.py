"""One scan in, one result out, with everything that belongs to it: what the command line, BIDS
data sets and clusters run for each scan.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arssr.api import Model, refines, require_disk, require_memory, target_grid
from arssr.consistency import make_consistent
from arssr.errors import ArSSRError
from arssr.field import ReportProgress, VoxelField, silent
from arssr.files import sidecar
from arssr.formats.dicom_writing import check_series_output, write_dicom_series
from arssr.formats.registry import check_output, open_writer
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.labels import upsample_labels
from arssr.limits import outside_valid_range
from arssr.provenance import describe, write_sidecar
from arssr.transform import Transform, load_transform, resample_through
from arssr.volume import Frames, Volume, open_frames

_DICOM = ".dicom"  # a destination of this name is a folder with a derived series


@dataclass(frozen=True)
class Job:
    """What to do with one scan; plain values, so that it travels between machines.

    target: one of scale, spacing, shape, like, isotropic, as `Model.upsample` takes it.
    options: further arguments of `Model.upsample`: acquisition, noise.
    report: write a page beside the result that shows input, cubic interpolation and result.
    transforms: files of a registration that leads from the space of `like` to the scan.
    series: which one of several DICOM series.
    frames: the scan is 4D, and all its frames are meant.
    labels: the scan is a label map; no network is needed.
    consistent: make the result agree with what was measured.
    strict: leaving what the weights were trained for is an error, not a warning.
    """

    source: Path
    destination: Path
    target: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    overwrite: bool = False
    report: bool = False
    transforms: tuple[Path, ...] = ()
    series: str | None = None
    frames: bool = False
    labels: bool = False
    consistent: bool = False
    strict: bool = False

    @property
    def page(self) -> Path:
        """Where the report goes."""
        return sidecar(self.destination).with_suffix(".html")

    def check(self) -> None:
        """Refuse, before the work, what could not be written. Raises ArSSRError."""
        if self.destination.suffix.lower() == _DICOM:
            check_series_output(self.destination, self.overwrite)
        else:
            check_output(self.destination, self.overwrite)
        companions = [sidecar(self.destination), *([self.page] if self.report else [])]
        for companion in companions:
            if companion.exists() and not self.overwrite:
                raise ArSSRError(f"{companion}: exists already; --overwrite replaces it")


@dataclass(frozen=True)
class Result:
    """What came of one 3D scan: the image, and facts about its making beyond the options."""

    volume: Volume
    voxel_field: VoxelField | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def run(model: Model | None, job: Job, progress: ReportProgress = silent) -> dict[str, Any]:
    """Do the job; returns what the sidecar says and the names of the files.

    model: None will do for labels. Raises ArSSRError for a scan that cannot be read, a result
    that does not fit and a destination that cannot be written; nothing half-written is left then.
    """
    job.check()
    started = time.perf_counter()
    progress("reading", 0.0)
    if job.frames:
        with open_frames(job.source) as frames:
            scan, result = _each_frame(model, job, frames, progress)
    else:
        scan = Volume.read(job.source, job.series)
        result = _one(model, job, scan, progress)
        progress("writing", 0.0)
        _write(job, result.volume)
    progress("written", 1.0)
    seconds = time.perf_counter() - started
    chosen = {k: str(v) if isinstance(v, Path) else v for k, v in job.target.items()}
    if job.transforms:
        chosen["transform"] = [str(path) for path in job.transforms]
    options = chosen | dict(job.options)
    facts = describe(scan, result.volume.grid, options, seconds, model, result.voxel_field)
    facts |= result.facts
    write_sidecar(job.destination, facts)
    if job.report:
        progress("report", 1.0)
        _write_report(job, scan, result.volume, facts)
    return {"scan": str(job.source), "result": str(job.destination), **facts}


def _one(model: Model | None, job: Job, scan: Volume, progress: ReportProgress) -> Result:
    """One 3D image on its target grid, not written yet."""
    transform, grid = _where(job, scan)
    require_disk(job.destination, scan, grid)
    require_memory(grid)
    if job.labels:
        return Result(_labels(scan, transform, grid), facts={"method": "shares of labels"})
    assert model is not None, "only labels do without"
    if transform is None and not refines(scan.grid, grid):
        return Result(resample(scan, grid), facts={"method": "resampled, anti-aliased"})
    warnings = outside_valid_range(model.card, scan.grid, grid) if transform is None else []
    if warnings and job.strict:
        raise ArSSRError(f"{job.source}: {'; '.join(warnings)}")
    voxel_field = model.field(scan, towards=grid, **job.options, progress=progress)
    if transform is not None:
        return Result(
            resample_through(voxel_field, transform, grid, progress=progress), voxel_field
        )
    result = voxel_field.on(grid, progress)
    facts: dict[str, Any] = {"warnings": warnings} if warnings else {}
    if job.consistent:
        result, facts["consistency"] = _agree(voxel_field, result)
    return Result(result, voxel_field, facts)


def _where(job: Job, scan: Volume) -> tuple[Transform | None, Grid]:
    """The transform into the scan's space, if there is one, and the grid of the result."""
    if not job.transforms:
        return None, target_grid(scan.grid, **job.target)
    grid = Volume.coerce(job.target["like"]).grid
    return load_transform(job.transforms, scan.grid, grid), grid


def _labels(scan: Volume, transform: Transform | None, grid: Grid) -> Volume:
    if transform is None:
        return upsample_labels(scan, grid)
    if transform.matrix is None:
        raise ArSSRError("labels can be moved by linear transforms only, not by a warp")
    there = Grid(grid.shape, transform.matrix @ grid.affine)
    return scan.with_data(upsample_labels(scan, there).data, grid)


def _agree(voxel_field: VoxelField, result: Volume) -> tuple[Volume, dict[str, float]]:
    if voxel_field.noise is None:
        raise ArSSRError("consistency needs the noise level, or it would fit the noise; name it")
    sigma = voxel_field.noise * voxel_field.normalisation.scale
    done = make_consistent(result, voxel_field.volume, voxel_field.acquisition_ijk, sigma)
    return done.volume, {
        "residual_before": done.residual_before,
        "residual_after": done.residual_after,
    }


def _each_frame(
    model: Model | None, job: Job, frames: Frames, progress: ReportProgress
) -> tuple[Volume, Result]:
    """The frames one after the other into one file; the first of them and what came of it."""
    first = frames.frame(0)
    result = _one(model, job, first, progress)
    made = result
    with open_writer(
        job.destination, first, result.volume.grid, job.overwrite, len(frames)
    ) as writer:
        for number in range(len(frames)):
            if number:
                made = _one(model, job, frames.frame(number), progress)
            writer.put(made.volume.data)
            progress(f"frame {number + 1} of {len(frames)}", (number + 1) / len(frames))
    return first, result


def _write(job: Job, result: Volume) -> None:
    if job.destination.suffix.lower() == _DICOM:
        write_dicom_series(job.destination, result, job.source, job.series, job.overwrite)
    else:
        result.write(job.destination, job.overwrite)


def _write_report(job: Job, scan: Volume, result: Volume, facts: Mapping[str, Any]) -> None:
    from arssr.evaluation.report import write_report

    if job.transforms:  # the two lie in different spaces
        shown = [("result", result)]
    else:
        shown = [("input", scan), ("cubic", resample(scan, result.grid)), ("result", result)]
    write_report(job.page, shown, provenance={"result": facts}, overwrite=True)
