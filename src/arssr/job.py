"""One scan in, one result out, with everything that belongs to it: what the command line, BIDS
data sets and clusters run for each scan.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from arssr.api import Model, require_disk, require_memory, stored_bytes
from arssr.consistency import Acquisition, make_consistent
from arssr.engine.machine import speeds
from arssr.ensemble import flips
from arssr.errors import ArSSRError, in_one_line
from arssr.field import ReportProgress, VoxelField, silent
from arssr.files import sidecar
from arssr.formats.dicom_writing import check_series_output, write_dicom_series
from arssr.formats.kind import INTENSITIES, LABELS, Kind, unlike_intensities
from arssr.formats.registry import check_output, open_writer
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.limits import outside_valid_range, range_set_by_few
from arssr.plain import COPIED, RESAMPLED, without_network
from arssr.provenance import describe, write_sidecar
from arssr.registration import load_transform
from arssr.resolution import Resolution
from arssr.scan import Measured, as_measured, require_acquisition, require_noise
from arssr.target import Target, require_overlap
from arssr.transform import Transform, slabs_through
from arssr.volume import Frames, Volume, doubtful_grid_of, open_frames, read_quietly

Facts = dict[str, Any]
Finish = Callable[[], Facts]
# The transform into the scan's space, if there is one, the grid of the result, and what is
# doubtful about the image that it is that of.
Where = tuple[Transform | None, Grid, list[str]]

_log = logging.getLogger(__name__)
_DICOM = ".dicom"  # a destination of this name is a folder with a derived series


@dataclass(frozen=True)
class Job:
    """What to do with one scan; plain values, so that it travels between machines.

    target: where the result shall lie; an image for `like` is named by its path.
    acquisition, noise, ensemble: as `Model.upsample` takes them.
    report: write a page beside the result that shows input, cubic interpolation and result.
    memory: bytes that the process may take, by default a share of what is free.
    skip_air: leave air to the interpolation.
    transforms: files of a registration that leads from the space of `like` to the scan.
    series: which one of several DICOM series.
    frames: the scan is 4D, and all its frames are meant.
    labels: the scan is a label map, whatever its file says; no network is needed.
    consistent: make the result agree with what was measured.
    strict: what would be a warning is an error: a file that contradicts itself, and leaving what
        the weights were trained for.
    as_stored: super-resolve what is stored, even where less was measured (`scan.as_measured`).

    Raises ArSSRError for what does not go together and for values that nothing can be done with.
    """

    source: Path
    destination: Path
    target: Target
    acquisition: str | tuple[str, ...] = "auto"
    noise: float | str | None = "auto"
    ensemble: int = 1
    overwrite: bool = False
    report: bool = False
    memory: float | None = None
    skip_air: bool = True
    transforms: tuple[Path, ...] = ()
    series: str | None = None
    frames: bool = False
    labels: bool = False
    consistent: bool = False
    strict: bool = False
    as_stored: bool = False

    def __post_init__(self) -> None:
        flips(self.ensemble)
        require_acquisition(self.acquisition)
        require_noise(self.noise)
        if self.transforms and self.target.like is None:
            raise ArSSRError(
                "a transform leads to another image's space; name that one with --like"
            )
        if self.consistent and (self.labels or self.transforms):
            raise ArSSRError(
                "--consistent compares with the scan where it lies; it goes neither with labels "
                "nor with a transform"
            )
        if self.labels and self.ensemble > 1:
            raise ArSSRError("--ensemble flips what a network gets; labels need none")
        if self.frames and self.report:
            raise ArSSRError("--report shows one 3D image; leave it out with --frames")

    @property
    def asked(self) -> dict[str, Any]:
        """What was asked for beyond the defaults, as plain values: for a sidecar."""
        asked = {**self.target.asked(), "acquisition": self.acquisition, "noise": self.noise}
        if self.ensemble > 1:
            asked["ensemble"] = self.ensemble
        if self.transforms:
            asked["transform"] = [str(path) for path in self.transforms]
        if self.as_stored:
            asked["as_stored"] = True
        return asked

    @property
    def page(self) -> Path:
        """Where the report goes."""
        return sidecar(self.destination).with_suffix(".html")

    def check(self) -> None:
        """Refuse, before the work, what could not be written. Raises ArSSRError."""
        if self.destination.suffix.lower() == _DICOM:
            check_series_output(self.destination, self.overwrite)
            if self.frames:
                raise ArSSRError(f"{self.destination}: a DICOM series is one 3D image; name a file")
            if self.source.is_file() and self.source.suffix.lower() != ".zip":
                raise ArSSRError(
                    f"{self.source}: is no DICOM series, from which a derived one takes patient "
                    "and study; name a file to write"
                )
        else:
            check_output(self.destination, self.overwrite)
        companions = [sidecar(self.destination), *([self.page] if self.report else [])]
        for companion in companions:
            if companion.exists() and not self.overwrite:
                raise ArSSRError(f"{companion}: exists already; --overwrite replaces it")

    def in_words(self, error: BaseException) -> str:
        """What went wrong with it, on one line that names the scan or the result."""
        line = "out of memory" if isinstance(error, MemoryError) else in_one_line(error)
        named = (str(self.source), str(self.page.with_suffix("")))
        return line if any(name in line for name in named) else f"{self.source}: {line}"

    def read(self) -> Volume:
        """The scan; of a 4D one the first frame. Raises ArSSRError as `Volume.read` does."""
        if not self.frames:
            return read_quietly(self.source, self.series)
        with open_frames(self.source) as frames:
            return frames.frame(0)


@dataclass(frozen=True)
class Result:
    """What comes of a 3D scan: slabs (I, J, n) float32 along the last axis, computed as they are
    taken, and facts about their making beyond the options (known when all have been taken).
    """

    grid: Grid
    slabs: Iterable[np.ndarray]
    voxel_field: VoxelField | None = None
    measured: Measured | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def run(
    model: Model | None,
    job: Job,
    progress: ReportProgress = silent,
    scan: Future[Volume] | None = None,
) -> Facts:
    """Do the job; returns what the sidecar says and the names of the files.

    model: None will do for labels. scan: the source, where it is being read already. The result
    goes to the disk as it is made. Raises ArSSRError for a scan that cannot be read, a result
    that does not fit and a destination that cannot be written; nothing half-written is left then.
    """
    return begin(model, job, progress, scan)()


def begin(
    model: Model | None,
    job: Job,
    progress: ReportProgress = silent,
    scan: Future[Volume] | None = None,
) -> Finish:
    """Compute what `run` writes; what is returned writes the rest of it, in whichever thread.

    It holds the scan and what waits to be written, but neither the field nor its features.
    """
    started = time.perf_counter()
    progress("reading", 0.0)
    job.check()
    volume = scan.result() if scan else job.read()
    where = _where(job, volume.grid)
    result = _one(model, job, volume, where, progress)
    grid = result.grid
    with ExitStack() as stack:
        if job.frames:
            frames = stack.enter_context(open_frames(job.source))
            result = _put_frames(stack, model, job, frames, volume, where, result, progress)
        else:
            _put(stack, job, volume, result)
        facts = describe(volume, grid, job.asked, model, result.voxel_field) | result.facts
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
            _write_report(job, volume, grid, facts)
        return {"scan": str(job.source), "result": str(job.destination), **facts}

    return finish


def estimate(model: Model, job: Job, scan: Future[Volume] | None = None) -> dict[str, Any]:
    """What the job would take, as plain values; nothing is computed or written.

    Bytes of memory and disk (not compressed), and seconds, from the work and this machine's speed.
    Raises ArSSRError where the job cannot be done, or is not one for a network.
    """
    job.check()
    volume = scan.result() if scan else job.read()
    result = _one(model, job, volume, _where(job, volume.grid), silent)
    if result.voxel_field is None or job.transforms:
        way = f" (here: {result.facts['method']})" if "method" in result.facts else ""
        raise ArSSRError(f"{job.source}: only what a network does on a grid can be estimated{way}")
    plan = result.voxel_field.plan(result.grid)
    seconds = plan.seconds(speeds(model.device)[model.precision])
    return {
        "scan": str(job.source),
        "result": str(job.destination),
        "output": result.grid.describe(),
        "warnings": result.facts.get("warnings", []),
        "precision": model.precision,
        "air_skipped": round(result.voxel_field.air, 4),
        "disk_bytes": round(stored_bytes(volume, result.grid)),
        "seconds": float(f"{seconds:.3g}"),
        **plan.describe(),
    }


def _one(
    model: Model | None,
    job: Job,
    scan: Volume,
    where: Where,
    progress: ReportProgress,
    resolution: Resolution | None = None,
) -> Result:
    """One 3D image on its target grid, after every check that can be made before the work.

    resolution: of the scan, where it is known.
    """
    transform, grid, doubts = where
    if job.labels:
        scan = replace(scan, kind=Kind(LABELS, "--labels says so"))
    is_intensities = scan.kind.what == INTENSITIES
    is_constant = job.frames and is_intensities and scan.data.min() == scan.data.max()
    if job.consistent and not is_intensities:
        raise ArSSRError(f"{job.source}: {scan.kind.taken()}, which --consistent is not for")
    plain = None if is_constant else without_network(scan, grid, transform)
    if plain and job.consistent and plain.method == RESAMPLED:
        plain = None
    doubted = is_intensities and not (is_constant or (plain and plain.method == COPIED))
    unlike = unlike_intensities(scan.data) if doubted else []
    measured = None if plain or is_constant else _measured(model, job, scan, resolution)
    if measured is not None:
        scan = measured.volume
    warnings = [*scan.warnings, *doubts, *unlike]
    if doubted and model is not None and transform is None:
        warnings += outside_valid_range(model.card, scan.grid, grid, scan.slices)
    if warnings and job.strict:
        raise ArSSRError(f"{job.source}: {'; '.join(warnings)}")
    facts: dict[str, Any] = {"warnings": warnings} if warnings else {}
    facts |= measured.describe() if measured else {}
    if not (is_intensities or job.labels):
        facts["taken"] = scan.kind.taken()
    require_disk(job.destination, scan, grid)
    if is_constant:
        return _constant(scan, grid, facts)
    if plain:
        require_memory(grid, plain.copies)
        return Result(grid, _made(plain.make), facts=facts | {"method": plain.method})
    if model is None:
        raise ArSSRError("only labels can do without a model")
    told = job.acquisition
    voxel_field = model.field(
        scan,
        towards=grid,
        acquisition=measured.acquisition(told, grid, model.card) if measured else told,
        noise=job.noise,
        ensemble=job.ensemble,
        memory=job.memory,
        skip_air=job.skip_air,
        progress=progress,
    )
    seen = voxel_field.normalisation
    if model.network.is_residual and (few := range_set_by_few(model.card, scan.data, seen)):
        if job.strict:
            raise ArSSRError(f"{job.source}: {few}")
        facts["warnings"] = [*warnings, few]
    if transform is not None:
        slabs = slabs_through(voxel_field, transform, grid, progress=progress)
        return Result(grid, slabs, voxel_field, measured, facts)
    if job.consistent:
        require_memory(grid, copies=3)
        slabs = _agreeing(voxel_field, grid, facts, progress)
        return Result(grid, slabs, voxel_field, measured, facts)
    return Result(grid, voxel_field.slabs(grid, progress), voxel_field, measured, facts)


def _measured(
    model: Model | None, job: Job, scan: Volume, resolution: Resolution | None
) -> Measured | None:
    """What was really measured, where that is what a network is to start from."""
    if model is None or job.as_stored or job.consistent or not model.network.is_residual:
        return None
    return as_measured(scan, resolution)


def _made(make: Callable[[], Volume]) -> Iterator[np.ndarray]:
    yield make().data


def _constant(frame: Volume, grid: Grid, facts: Facts) -> Result:
    """A frame in which nothing varies (a dummy, or one that was lost) stays one."""
    value = frame.data.flat[0]
    planes = repeat(np.full((*grid.shape[:2], 1), value, np.float32), grid.shape[2])
    return Result(grid, planes, facts=facts | {"constant": float(value)})


def _where(job: Job, scan: Grid) -> Where:
    """Where the result of a scan on this grid lies."""
    if not isinstance(job.target.like, Path):
        return None, job.target.on(scan), []
    grid, doubts = doubtful_grid_of(job.target.like)
    if not job.transforms:
        return None, Target(like=grid).on(scan), doubts
    transform = load_transform(job.transforms, scan, grid)
    require_overlap(scan, grid, transform)
    return transform, grid, doubts


def _agreeing(
    voxel_field: VoxelField, grid: Grid, facts: dict[str, Any], progress: ReportProgress
) -> Iterator[np.ndarray]:
    """The field made to agree with the scan; adds the residuals to the facts.

    Raises ArSSRError at once where it cannot be.
    """
    scan, told, noise = voxel_field.volume, voxel_field.acquisition_ijk, voxel_field.noise
    if noise is None:
        raise ArSSRError("consistency needs the noise level, or it would fit the noise; name it")
    Acquisition(scan.grid, grid, told, scan.slices)

    def slabs() -> Iterator[np.ndarray]:
        sigma = noise * voxel_field.normalisation.scale
        done = make_consistent(voxel_field.on(grid, progress), scan, told, sigma)
        facts["consistency"] = {
            "residual_before": done.residual_before,
            "residual_after": done.residual_after,
        }
        yield done.volume.data

    return slabs()


def _put(stack: ExitStack, job: Job, scan: Volume, result: Result) -> None:
    """Compute the result and give it to a writer; closing the stack is the rest of writing."""
    if job.destination.suffix.lower() == _DICOM:
        source = replace(scan, slices=None) if job.transforms else scan
        whole = source.with_data(np.concatenate(list(result.slabs), axis=-1), result.grid)
        stack.enter_context(_written_last(job, whole))
        return
    writer = stack.enter_context(open_writer(job.destination, scan, result.grid, job.overwrite))
    for slab in result.slabs:
        writer.put(slab)


@contextmanager
def _written_last(job: Job, whole: Volume) -> Iterator[None]:
    yield
    write_dicom_series(job.destination, whole, job.source, job.series, job.overwrite)


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

    Returns what came of the first that is not constant, with what is kept of the others: warnings,
    of which there may be more at the end of the file, which were constant, and residuals, of those
    the largest of all frames.
    """
    count, residuals, constant = len(frames), list[dict[str, float]](), list[str]()
    warnings: dict[str, None] = {}  # in order, each once
    writer = stack.enter_context(
        open_writer(job.destination, scan, first.grid, job.overwrite, count)
    )
    for number in range(count):
        progress(f"frame {number + 1} of {count}", number / count)
        made = first
        if number:
            known = first.measured.resolution if first.measured else None
            made = _one(model, job, frames.frame(number), where, silent, known)
        if "constant" in made.facts:
            constant.append(f"{number + 1} (every voxel is {made.facts['constant']:g})")
            if job.strict:
                raise ArSSRError(f"{job.source}: frame {constant[0]} of {count} is constant")
        elif "constant" in first.facts:
            first = made
        for slab in made.slabs:
            writer.put(slab)
        warnings |= dict.fromkeys(made.facts.get("warnings", []))
        if "consistency" in made.facts:
            residuals.append(made.facts["consistency"])
    if constant:
        warnings[f"of {count} frames, constant ones stay so: {', '.join(constant)}"] = None
    if warnings:
        first.facts["warnings"] = list(warnings)
    if residuals:
        first.facts["consistency"] = {
            name: max(each[name] for each in residuals) for name in residuals[0]
        }
    return first


def _write_report(job: Job, scan: Volume, grid: Grid, facts: Mapping[str, Any]) -> None:
    """The page; it needs input, cubic interpolation and result in memory."""
    from arssr.evaluation.report import write_report

    try:
        require_memory(grid, copies=2)
    except ArSSRError as error:
        _log.warning("%s: no report, %s", job.page, error)
        return
    shown = [("result", read_quietly(job.destination))]
    if not job.transforms:  # which leads to another space
        is_drawn = job.labels or scan.kind.what == LABELS
        cubic = [] if is_drawn else [("cubic", resample(scan, grid))]
        shown = [("input", scan), *cubic, *shown]
    write_report(job.page, shown, provenance={"result": facts}, overwrite=True)
