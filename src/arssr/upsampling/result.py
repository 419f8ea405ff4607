"""What becomes of one 3D image: where its result lies, what makes it, and what is told of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from arssr.consistency import NOTHING_TO_AGREE, Acquisition, make_consistent
from arssr.domain import Look
from arssr.errors import ArSSRError
from arssr.evenness import even_slices
from arssr.field import ReportProgress, VoxelField
from arssr.formats.kind import INTENSITIES, LABELS, Kind, unlike_intensities
from arssr.formats.samples import Encoding
from arssr.grid import Grid
from arssr.readings import BOTH, together
from arssr.resolution import Resolution
from arssr.scan import Measured, as_measured
from arssr.transforms.registration import load_transform
from arssr.transforms.transform import Transform, slabs_through
from arssr.upsampling.agreement import Agreement, not_computed
from arssr.upsampling.facts import Facts, was_evened
from arssr.upsampling.plain import COPIED, EVENED, NO_NETWORK, RESAMPLED, Plain, without_network
from arssr.upsampling.request import Request
from arssr.upsampling.room import require_memory
from arssr.upsampling.slabs import (
    Slabs,
    Watch,
    WatchedSlabs,
    constant,
    finished,
    finishes,
    gathered,
    made,
)
from arssr.upsampling.target import Target, require_overlap
from arssr.upsampling.uncertainty import HalfWidths
from arssr.upsampling.words import remark
from arssr.volume import Volume, doubtful_grid_of, grid_of
from arssr.weights.interval import way_of
from arssr.weights.limits import (
    coarser_axes,
    outside_valid_range,
    range_set_by_few,
    too_noisy,
    unlike_training,
)

if TYPE_CHECKING:
    from arssr.api import Model


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
    """What comes of a 3D scan: slabs (I, J, n) along the last axis, as a file stores them or, for
    None, float32; they are computed as they are taken. And facts about their making beyond the
    options (known when all have been taken). outputs: 2 where half-widths come with the values.
    """

    scan: Volume
    grid: Grid
    slabs: Slabs
    facts: Facts
    voxel_field: VoxelField | None = None
    measured: Measured | None = None
    outputs: int = 1

    def whole(self) -> tuple[Volume, ...]:
        """All slabs, as an image of the kind of the scan, and one of half-widths."""
        made = together(self.slabs((None,) * self.outputs), self.grid.shape)
        images = zip((self.scan, as_half_widths(self.scan)), made, strict=False)
        return tuple(like.with_data(data, self.grid) for like, data in images)


def as_half_widths(scan: Volume) -> Volume:
    """What lends an image of half-widths all that the scan lends its result, but for the type."""
    return scan.stored_as("float32")


def result_of(
    model: "Model | None",
    request: Request,
    scan: Volume,
    where: Where,
    progress: ReportProgress,
    resolution: Resolution | None = None,
) -> Result:
    """One 3D image on its target grid, after every check that can be made before the work.

    resolution: of the scan, where it is known.
    """
    scan, facts, grid = *_evened(request, _as_asked(request, scan)), where.grid
    # On a grid like its own the slices of what was moved would lie elsewhere.
    moved = scan if where.transform is None else replace(scan, slices=None)
    plain, measured = _look(model, request, scan, where, resolution, facts)
    outputs = BOTH if request.uncertainty else 1
    if model is not None and not plain:
        moved = replace(moved, remark=remark(model.name))
    if "constant" in facts:
        return Result(moved, grid, finished(constant(scan, grid, outputs)), facts, outputs=outputs)
    if plain:
        slabs = _without_network(plain, model, request, scan, grid, facts)
        return Result(moved, grid, slabs, facts)
    if model is None:
        raise ArSSRError("only labels can do without a model")
    told, way = request.acquisition, way_of(request.ensemble, request.consistent)
    interval = model.interval(way) if request.uncertainty else None
    voxel_field = model.field(
        measured or scan,
        towards=grid,
        acquisition=measured.acquisition(told, grid, model.card) if measured else told,
        noise=request.noise,
        ensemble=request.ensemble,
        memory=request.memory,
        skip_air=request.skip_air,
        progress=progress,
        interval=interval,
    )
    _warn(request, scan, facts, _doubts(model, request, voxel_field))
    floor = facts["clamped_at"] = _floor(model, request, scan)
    if where.transform is not None:
        facts["agreement"] = not_computed("the result lies in another space than the scan")
        through = slabs_through(
            voxel_field, where.transform, grid, progress=progress, outputs=outputs
        )
        taken: Slabs = finished(through, floor)
    else:
        compared: WatchedSlabs
        if request.consistent:
            require_memory(grid, copies=2 + outputs, memory=request.memory)
            compared = finished(_agreeing(voxel_field, grid, facts, progress, outputs), floor)
        else:
            compared = partial(_read, voxel_field, grid, progress, floor)
        taken = _compared(compared, voxel_field, request, scan, grid, facts)
    if interval is not None:
        seen, unit = voxel_field.volume, voxel_field.normalisation.scale
        outside = outside_valid_range(model.card, seen.grid, grid, seen.slices, scan.grid)
        taken = gathered(taken, HalfWidths(interval, unit, way, bool(outside)), facts)
    return Result(moved, grid, taken, facts, voxel_field, measured, outputs)


def _read(
    voxel_field: VoxelField,
    grid: Grid,
    progress: ReportProgress,
    floor: float | None,
    encodings: Sequence[Encoding | None],
    watch: Watch | None = None,
) -> Iterator[tuple[NDArray[Any], ...]]:
    return voxel_field.finished(grid, progress, finishes(floor, encodings, watch))


def _compared(
    slabs: WatchedSlabs,
    voxel_field: VoxelField,
    request: Request,
    scan: Volume,
    grid: Grid,
    facts: Facts,
) -> Slabs:
    """Slabs that are compared with what was measured as they come; the facts say what came of it.

    Where that is more than can be there is a warning, at the end.
    """
    try:
        agreement = Agreement.of(voxel_field, grid, was_evened(facts))
    except ArSSRError as error:
        facts["agreement"] = not_computed(str(error))
        return slabs
    voxel_field.held = agreement.bytes(grid)

    def taken(encodings: Sequence[Encoding | None]) -> Iterator[tuple[NDArray[Any], ...]]:
        measuring = agreement.acquisition.measuring()
        yield from slabs(encodings, measuring.take)
        found = facts["agreement"] = agreement.found(measuring)
        if not found.get("agrees", True):
            _warn(request, scan, facts, [found["in_words"]])

    return taken


def _look(
    model: "Model | None",
    request: Request,
    scan: Volume,
    where: Where,
    resolution: Resolution | None,
    facts: Facts,
) -> tuple[Plain | None, Measured | None]:
    """How to do without a network; else what it starts from. Adds what is known before the work.

    A scan that is `constant` by the facts is one of several in which nothing varies.
    """
    grid, is_intensities = where.grid, scan.kind.what == INTENSITIES
    if request.consistent and not is_intensities:
        raise ArSSRError(f"{scan.label}: {scan.kind.taken()}, which --consistent is not for")
    if request.uncertainty and not is_intensities:
        raise ArSSRError(f"{scan.label}: {scan.kind.taken()}, which --uncertainty is not for")
    is_constant = request.frames and is_intensities and scan.data.min() == scan.data.max()
    plain = None if is_constant else without_network(scan, grid, where.transform)
    measured = None if plain or is_constant else _measured(model, request, scan, resolution)
    seen = measured.volume if measured else scan
    warnings = [*scan.warnings, *where.doubts]
    if is_intensities and not (is_constant or (plain and plain.method == COPIED)):
        warnings += unlike_intensities(scan.data, scan.kind)
        if model is not None and where.transform is None:
            warnings += outside_valid_range(model.card, seen.grid, grid, seen.slices, scan.grid)
    _warn(request, scan, facts, warnings)
    if where.because:
        facts["target"] = where.because
    if not (plain or is_constant or where.transform) and (coarser := coarser_axes(seen.grid, grid)):
        facts["notes"] = [coarser]
    if measured and (cut := measured.describe().get("cut_to_band")):
        facts["cut_to_band"] = cut
    if not (is_intensities or request.labels):
        facts["taken"] = scan.kind.taken()
    if is_constant:
        facts["constant"] = float(scan.data.flat[0])
    if plain and plain.method == COPIED and was_evened(facts):
        plain = replace(plain, method=EVENED)
    return plain, measured


def _doubts(model: "Model", request: Request, voxel_field: VoxelField) -> list[str]:
    """Sentences where the intensities that a network sees are not as those of its training."""
    units, data, noise = voxel_field.normalisation, voxel_field.volume.data, voxel_field.noise
    few = range_set_by_few(model.card, units) if model.config.normalises else None
    noisy = None
    if noise is not None and request.noise != "auto":
        noisy = too_noisy(model.card, noise, units.scale)
    return [*filter(None, (few, noisy)), *unlike_training(model.card, Look.of(data, units))]


def _warn(request: Request, scan: Volume, facts: Facts, warnings: Sequence[str]) -> None:
    """Put warnings to the facts; with `strict` they are errors."""
    if warnings and request.strict:
        raise ArSSRError(f"{scan.label}: {'; '.join(warnings)}")
    if warnings:
        facts["warnings"] = [*facts.get("warnings", []), *warnings]


def _without_network(
    plain: Plain,
    model: "Model | None",
    request: Request,
    scan: Volume,
    grid: Grid,
    facts: Facts,
) -> Slabs:
    """Copied, resampled, or interpolated as labels and probabilities are; the facts say how."""
    if request.uncertainty:
        raise ArSSRError(
            f"{scan.label}: {plain.method}: {NO_NETWORK}, so there is no uncertainty to tell; "
            "leave --uncertainty out"
        )
    require_memory(grid, plain.copies, request.memory)
    if request.consistent:
        facts["consistency"] = {"in_words": NOTHING_TO_AGREE}
    facts["method"] = plain.method
    facts["agreement"] = not_computed(NO_NETWORK)
    floor = None
    if plain.method == RESAMPLED:
        floor = facts["clamped_at"] = _floor(model, request, scan)
    return finished(made(plain.make), floor)


def _measured(
    model: "Model | None", request: Request, scan: Volume, resolution: Resolution | None
) -> Measured | None:
    """What was really measured, where that is what a network is to start from."""
    if model is None or request.as_stored or request.consistent or not model.network.corrects:
        return None
    return as_measured(scan, resolution)


def _floor(model: "Model | None", request: Request, scan: Volume) -> float | None:
    """Below which no result of a scan of intensities shall go, where there is such a value."""
    is_of_paper = model is not None and not model.network.corrects
    lowest = float(scan.data.min())
    return (
        lowest if request.clamp and not (request.consistent or is_of_paper or lowest < 0) else None
    )


def where_of(request: Request, scan: Volume) -> Where:
    """Where the result of a scan lies."""
    like = request.target.like
    if like is None:
        chosen = request.target.choose(_as_asked(request, scan), as_stored=request.as_stored)
        return Where(chosen.grid, because=chosen.because, resolution=chosen.resolution)
    if isinstance(like, str | PathLike):
        grid, doubts = doubtful_grid_of(Path(like))
    else:
        grid, doubts = grid_of(like), []
    if not request.is_transformed:
        return Where(Target(like=grid).on(scan.grid), doubts=doubts)
    transform = request.transforms
    if not isinstance(transform, Transform):
        transform = load_transform(transform, scan.grid, grid)
    require_overlap(scan.grid, grid, transform)
    return Where(grid, transform, doubts)


def told_of(facts: Facts) -> list[str]:
    """The sentences of the facts about a result that whoever asked for it should hear.

    First those on what is as it should be, which `strict` lets pass. That on the residual
    (`consistency`) is known when all slabs were taken.
    """
    said = [facts[name] for name in ("taken", "target") if name in facts]
    if facts.get("method") in (COPIED, EVENED, RESAMPLED):
        said.append(f"{facts['method']}: {NO_NETWORK}")
    said += facts.get("notes", [])
    done = (facts.get("even_slices"), facts.get("cut_to_band"), facts.get("consistency"))
    said += [each["in_words"] for each in done if each is not None]
    return said + facts.get("warnings", [])


def _as_asked(request: Request, scan: Volume) -> Volume:
    return replace(scan, kind=Kind(LABELS, "--labels says so")) if request.labels else scan


def _evened(request: Request, scan: Volume) -> tuple[Volume, Facts]:
    """The scan with even slices, if that is asked for and there are intensities; what was done."""
    if not request.even_slices or scan.data.min() == scan.data.max():
        return scan, {}
    if scan.kind.what != INTENSITIES:
        raise ArSSRError(f"{scan.label}: {scan.kind.taken()}, which --even-slices is not for")
    evened = even_slices(scan)
    return evened.volume, {"even_slices": evened.describe()}


def _agreeing(
    voxel_field: VoxelField, grid: Grid, facts: Facts, progress: ReportProgress, outputs: int
) -> Iterator[NDArray[np.float32]]:
    """The field (outputs, …) made to agree with the scan; adds the residuals to the facts.

    Raises ArSSRError at once where it cannot be.
    """
    scan, told, noise = voxel_field.volume, voxel_field.acquisition_ijk, voxel_field.noise
    if noise is None:
        raise ArSSRError("consistency needs the noise level, or it would fit the noise; name it")
    Acquisition(scan.grid, grid, told, scan.slices)

    def slabs() -> Iterator[NDArray[np.float32]]:
        sigma = noise * voxel_field.normalisation.scale
        if outputs == BOTH:
            image, *half_widths = voxel_field.on_with_half_widths(grid, progress)
        else:
            image, half_widths = voxel_field.on(grid, progress), []
        done = make_consistent(image, scan, told, sigma)
        called = "the evened scan" if was_evened(facts) else "the scan"
        facts["consistency"] = done.describe(voxel_field.normalisation.scale, called)
        yield np.stack([done.volume.data, *(each.data for each in half_widths)])

    return slabs()
