"""Several scans of one person become one image: what is asked for, and what is told of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from arssr.api import Model
from arssr.errors import ArSSRError
from arssr.field import ReportProgress, silent
from arssr.grid import Grid
from arssr.merging.poses import extent
from arssr.merging.slices import doubtful
from arssr.merging.together import Together, bring_together, head_centre
from arssr.upsampling.facts import Facts
from arssr.upsampling.request import Request
from arssr.upsampling.result import where_of
from arssr.upsampling.target import NoTargetError
from arssr.upsampling.words import remark
from arssr.volume import Volume

_UNASKED = ("frames", "labels", "uncertainty", "consistent")


@dataclass(frozen=True)
class Merged:
    """The image, and what a sidecar says of its making."""

    volume: Volume
    facts: Facts


def common_grid(request: Request, first: Volume) -> tuple[Grid, str]:
    """Where the result lies, and because of what where nobody said."""
    try:
        where = where_of(request, first)
    except NoTargetError:
        return first.grid, "no target was named: on the voxels of the first scan"
    return where.grid, where.because


def merge_scans(
    model: Model,
    request: Request,
    scans: Sequence[Volume],
    registered: bool = True,
    progress: ReportProgress = silent,
) -> Merged:
    """All scans as one image in the space of the first; see `bring_together`.

    Raises ArSSRError as that does, and for what is asked of single scans alone.
    """
    for name in _UNASKED:
        if getattr(request, name):
            raise ArSSRError(f"{name} is of single scans; it does not go with merging")
    if request.is_transformed:
        raise ArSSRError("merging finds itself how scans lie; it takes no transform")
    common, because = common_grid(request, scans[0])
    together = bring_together(model, request, scans, common, registered, progress)
    data = together.solved.image.numpy()
    if request.clamp and min(float(scan.data.min()) for scan in scans) >= 0:
        np.maximum(data, float(scans[0].data.min()), out=data)
    facts = {"target": because} if because else {}
    like = replace(scans[0], remark=remark(model.name))
    return Merged(like.with_data(data, common), facts | facts_of(together))


def facts_of(together: Together) -> Facts:
    """What a sidecar says of the merging, scan by scan."""
    centre = head_centre(together.seen[0].sharp)
    solved = together.solved
    scans: list[dict[str, Any]] = []
    for number, each in enumerate(together.seen):
        mm, degrees = extent(together.motions[number], centre)
        scans.append(
            {
                "file": each.scan.path.name if each.scan.path else None,
                **each.scan.grid.describe(),
                "motion": {
                    "mm": round(mm, 2),
                    "degrees": round(degrees, 2),
                    "to_scan_ras_mm": np.round(together.motions[number], 6).tolist(),
                },
                "brightness": _short(together.levels[number].factor),
                "noise": _short(each.noise),
                "residual_before": _short(solved.before[number]),
                "residual_after": _short(solved.after[number]),
                "doubtful_slices": doubtful(together.trusted[number]),
            }
        )
    warnings = [f"{each.name}: {w}" for each in together.seen for w in each.facts.get("warnings", ())]
    merged = {
        "in_words": _in_words(scans),
        "scans": scans,
        "residuals_are": "root mean squares, times the noise",
        "weight_of_prior": _short(solved.ridge),
        "steps": solved.steps,
    }
    return {"merged": merged, **({"warnings": warnings} if warnings else {})}


def _in_words(scans: Sequence[dict[str, Any]]) -> str:
    moved = [
        f"scan {n} by {each['motion']['mm']:.1f} mm and {each['motion']['degrees']:.1f} degrees"
        for n, each in enumerate(scans[1:], start=2)
    ]
    lost = [
        f"slices {', '.join(map(str, each['doubtful_slices']))} of scan {n} disagree with the "
        "others and count less"
        for n, each in enumerate(scans, start=1)
        if each["doubtful_slices"]
    ]
    first = f"{len(scans)} scans merged; moved against the first: {', '.join(moved)}"
    return "; ".join([first, *lost])


def _short(value: float) -> float:
    return float(f"{value:.4g}")
