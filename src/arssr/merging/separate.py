"""Several contrasts of one person, each sharpened on its own, on one grid.

They are only registered to each other: each is interpolated once, by its own network, and nothing
of one is in another.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from arssr.api import Model
from arssr.evenness import slice_axis
from arssr.field import ReportProgress, silent
from arssr.grid import Grid
from arssr.interpolation import resample_in_air
from arssr.merging.fit import require_overlap_of_heads
from arssr.merging.poses import extent, head_centre, in_common, register
from arssr.merging.seen import of_several
from arssr.merging.stack import fine_grid
from arssr.transforms.transform import Affine, Transform, resample_through
from arssr.upsampling.facts import Facts
from arssr.upsampling.request import Request
from arssr.upsampling.result import Result, Where, result_of
from arssr.upsampling.room import require_memory
from arssr.volume import Volume

_COPIES = 6


def each_on(
    model: Model,
    request: Request,
    scans: Sequence[Volume],
    common: Grid,
    registered: bool = True,
    progress: ReportProgress = silent,
) -> list[tuple[Volume, Facts]]:
    """Each scan on the common grid, which lies in the space of the first, and what is told of it.

    registered: find how the person moved between scans; else headers are trusted. Raises ArSSRError
    for scans that show next to nothing of what the first shows.
    """
    require_memory(common, _COPIES + len(scans), request.memory, "this")
    done: list[tuple[Volume, Facts]] = []
    fixed: Volume | None = None
    for number, scan in enumerate(scans):
        tell = of_several(progress, number, len(scans))
        where = Where(fine_grid(scan.grid, common))
        result = result_of(model, request_for(request, scan), scan, where, tell)
        [sharp] = result.whole()
        fixed = fixed or sharp
        centre, motion = head_centre(fixed), np.eye(4)
        if registered and sharp is not fixed:
            tell("registering", 0.0)
            motion = register(fixed, sharp, centre, contrasts=True)
        there = in_common(sharp.grid, motion)
        require_overlap_of_heads(scan.label, fixed, replace(sharp, grid=there))
        mm, degrees = extent(motion, centre)
        motion_told = {"mm": round(mm, 2), "degrees": round(degrees, 2)}
        facts: Facts = {
            **result.facts,
            "motion": {**motion_told, "to_scan_ras_mm": motion.tolist()},
        }
        facts.pop("agreement", None)
        done.append((_once(result, sharp, Transform((Affine(motion),)), common, there), facts))
    return done


def request_for(request: Request, scan: Volume) -> Request:
    """What is asked for of one of several scans: slices are evened where there are slices."""
    return replace(request, even_slices=request.even_slices and slice_axis(scan) is not None)


def _once(result: Result, sharp: Volume, transform: Transform, common: Grid, there: Grid) -> Volume:
    """A scan on the common grid, interpolated once."""
    if result.voxel_field is None:  # that needs no network
        placed = resample_in_air(replace(sharp, grid=there), common)
        return result.scan.with_data(placed.data, common)
    made = resample_through(result.voxel_field, transform, common)
    floor = result.facts.get("clamped_at")
    data = made.data if floor is None else np.maximum(made.data, floor)
    return replace(result.scan, slices=None).with_data(data, common)
