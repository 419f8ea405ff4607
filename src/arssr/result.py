"""What becomes of one 3D image: where its result lies, what makes it, and what is told of it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from arssr.api import Model, require_disk, require_memory
from arssr.consistency import NOTHING_TO_AGREE, Acquisition, make_consistent
from arssr.errors import ArSSRError
from arssr.field import ReportProgress, VoxelField
from arssr.formats.kind import INTENSITIES, LABELS, Kind, unlike_intensities
from arssr.grid import Grid
from arssr.job import Job
from arssr.limits import coarser_axes, outside_valid_range, range_set_by_few
from arssr.plain import COPIED, without_network
from arssr.registration import load_transform
from arssr.resolution import Resolution
from arssr.scan import Measured, as_measured
from arssr.target import Target, require_overlap
from arssr.transform import Transform, slabs_through
from arssr.volume import Volume, doubtful_grid_of

Facts = dict[str, Any]


@dataclass(frozen=True)
class Where:
    """Where a result lies, and how that was found.

    transform: into the scan's space, if there is one. doubts: about the image that `grid` is that
    of. because, resolution: where no target was named, see `Chosen`.
    """

    grid: Grid
    transform: Transform | None = None
    doubts: Sequence[str] = ()
    because: str = ""
    resolution: Resolution | None = None


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


def result_of(
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
    transform, grid = where.transform, where.grid
    scan = _as_asked(job, scan)
    is_intensities = scan.kind.what == INTENSITIES
    is_constant = job.frames and is_intensities and scan.data.min() == scan.data.max()
    if job.consistent and not is_intensities:
        raise ArSSRError(f"{job.source}: {scan.kind.taken()}, which --consistent is not for")
    plain = None if is_constant else without_network(scan, grid, transform)
    doubted = is_intensities and not (is_constant or (plain and plain.method == COPIED))
    unlike = unlike_intensities(scan.data) if doubted else []
    measured = None if plain or is_constant else _measured(model, job, scan, resolution)
    if measured is not None:
        scan = measured.volume
    warnings = [*scan.warnings, *where.doubts, *unlike]
    if doubted and model is not None and transform is None:
        warnings += outside_valid_range(model.card, scan.grid, grid, scan.slices)
    if warnings and job.strict:
        raise ArSSRError(f"{job.source}: {'; '.join(warnings)}")
    facts: dict[str, Any] = {"warnings": warnings} if warnings else {}
    if where.because:
        facts["target"] = where.because
    if not (plain or is_constant or transform) and (coarser := coarser_axes(scan.grid, grid)):
        facts["note"] = coarser
    facts |= measured.describe() if measured else {}
    if not (is_intensities or job.labels):
        facts["taken"] = scan.kind.taken()
    require_disk(job.destination, scan, grid)
    if is_constant:
        return _constant(scan, grid, facts)
    if plain:
        require_memory(grid, plain.copies)
        if job.consistent:
            facts["consistency"] = {"in_words": NOTHING_TO_AGREE}
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


def where_of(job: Job, scan: Volume) -> Where:
    """Where the result of a scan lies."""
    if not isinstance(job.target.like, Path):
        chosen = job.target.choose(_as_asked(job, scan), as_stored=job.as_stored)
        return Where(chosen.grid, because=chosen.because, resolution=chosen.resolution)
    grid, doubts = doubtful_grid_of(job.target.like)
    if not job.transforms:
        return Where(Target(like=grid).on(scan.grid), doubts=doubts)
    transform = load_transform(job.transforms, scan.grid, grid)
    require_overlap(scan.grid, grid, transform)
    return Where(grid, transform, doubts)


def _as_asked(job: Job, scan: Volume) -> Volume:
    return replace(scan, kind=Kind(LABELS, "--labels says so")) if job.labels else scan


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
        facts["consistency"] = done.describe(voxel_field.normalisation.scale)
        yield done.volume.data

    return slabs()
