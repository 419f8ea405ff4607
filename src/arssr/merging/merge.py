"""Several scans of one person become one image: what is asked for, and what is told of it."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, Unpack, overload

import numpy as np

from arssr.api import Model, load_model
from arssr.errors import ArSSRError, ArSSRWarning
from arssr.extras import require
from arssr.field import ReportProgress, silent
from arssr.grid import Floats, Grid
from arssr.merging.interleaves import Asked, require_interleaves
from arssr.merging.posed import Interleaves
from arssr.merging.poses import extent, head_centre
from arssr.merging.seen import require_noise_level
from arssr.merging.separate import each_on
from arssr.merging.slices import doubtful
from arssr.merging.together import Together, bring_together
from arssr.scan import as_acquisition
from arssr.upsampling.facts import Facts
from arssr.upsampling.request import Request, ScanOptions
from arssr.upsampling.result import told_of, where_of
from arssr.upsampling.target import NoTargetError, Target
from arssr.upsampling.words import remark
from arssr.volume import Image, Volume

_TARGETS = ("scale", "spacing", "shape", "like", "isotropic")
_UNASKED = ("frames", "labels", "uncertainty", "consistent", "ensemble")


class Options(ScanOptions, total=False):
    """What `merge` takes by name, besides `separate`."""

    register: bool
    even_slices: bool
    interleaves: Asked | None


@dataclass(frozen=True)
class Merged:
    """The image, what a sidecar says of its making, and the scans where they lie in its space."""

    volume: Volume
    facts: Facts
    scans: Sequence[Volume] = ()


@overload
def merge(
    images: Sequence[Image],
    model: str | Path = "light",
    *,
    separate: Literal[False] = False,
    **options: Unpack[Options],
) -> Volume: ...


@overload
def merge(
    images: Sequence[Image],
    model: str | Path = "light",
    *,
    separate: Literal[True],
    **options: Unpack[Options],
) -> list[Volume]: ...


def merge(
    images: Sequence[Image],
    model: str | Path = "light",
    *,
    separate: bool = False,
    **options: Unpack[Options],
) -> Volume | list[Volume]:
    """Several scans of one person, in the space and the units of the first.

    images: two or more, of any orientation, voxels and field of view, each as in `Model.upsample`.
    separate: they have different contrasts: each is sharpened on its own, all on one grid, and the
        result is a list.
    register: find how the person moved between scans (SimpleITK); else headers are trusted.
    interleaves: find how groups of slices moved against each other within scans: how many there are
        in each (slices 0, N, 2N, …; 1, N + 1, …), or "auto" for 2 to 4, or the passes that times
        of slices tell, where that clearly explains more. By default none is looked for.
    scale, spacing, shape, like, isotropic: where the result lies, as in `Model.upsample` of the
        first scan, whose field of view it has; where none is named, its slices become as fine as
        their plane, and if it has no thick ones its voxels are kept.
    acquisition, noise, memory, skip_air, as_stored, strict, clamp, progress: as there; so is
        even_slices, of scans that have slices.

    What is told of the making, and warned of, is an `ArSSRWarning`. Raises ArSSRError for scans
    that do not show the same in the same contrast.

    >>> from arssr import Grid, Volume
    >>> x, y, z = np.indices((24, 24, 24)) - 11.5
    >>> ball = np.where(x**2 + y**2 + 2 * z**2 < 90, 100 + 20 * np.sin(x), 0)
    >>> axial = Volume(ball.reshape(24, 24, 6, 4).mean(3), Grid((24, 24, 6), np.diag([1, 1, 4, 1])))
    >>> moved = Grid((6, 24, 24), [[4, 0, 0, 1.5], [0, 1, 0, 0], [0, 0, 1, -1.5], [0, 0, 0, 1]])
    >>> sagittal = Volume(ball.reshape(6, 4, 24, 24).mean(1), moved)
    >>> merge([axial, sagittal], register=False, noise=0.5).grid
    Grid(24×24×24 voxels of 1×1×1 mm, RAS)
    """
    named: dict[str, Any] = dict(options)
    register = bool(named.pop("register", True))
    interleaves: Asked | None = named.pop("interleaves", None)
    progress = named.pop("progress", None) or silent
    target = {name: named.pop(name) for name in _TARGETS if name in named}
    acquisition = as_acquisition(named.pop("acquisition", "auto"))
    request = Request(Target(**target), acquisition=acquisition, **named)
    scans = [Volume.coerce(image) for image in images]
    common = common_grid(request, scans, register, separate)
    how = (register, separate, progress, interleaves)
    made = made_of(load_model(model), request, scans, common, *how)
    for each in made:
        for sentence in told_of(each.facts):
            warnings.warn(sentence, ArSSRWarning, stacklevel=2)
    volumes = [each.volume for each in made]
    return volumes if separate else volumes[0]


def made_of(
    model: Model,
    request: Request,
    scans: Sequence[Volume],
    common: tuple[Grid, str],
    registered: bool = True,
    separate: bool = False,
    progress: ReportProgress = silent,
    interleaves: Asked | None = None,
) -> list[Merged]:
    """One image of all scans, or one of each, on what `common_grid` says of them.

    Raises ArSSRError as `merge` does.
    """
    require_interleaves(interleaves, separate, request.even_slices)
    grid, because = common
    because_of: Facts = {"target": because} if because else {}
    if separate:
        done = each_on(model, request, scans, grid, registered, progress)
        made = [Merged(volume, facts) for volume, facts in done]
        made[0] = replace(made[0], facts={**because_of, **made[0].facts})  # it is of that scan
        return made
    together = bring_together(model, request, scans, grid, registered, progress, interleaves)
    data = together.solved.image.numpy()
    if request.clamp and min(float(scan.data.min()) for scan in scans) >= 0:
        np.maximum(data, float(scans[0].data.min()), out=data)
    like = replace(scans[0], remark=remark(model.name))
    facts: Facts = {**because_of, **facts_of(together, interleaves is not None)}
    return [Merged(like.with_data(data, grid), facts, together.placed())]


def common_grid(
    request: Request, scans: Sequence[Volume], registered: bool = True, separate: bool = False
) -> tuple[Grid, str]:
    """Where the result lies, and because of what where nobody said.

    Raises ArSSRError for what cannot be merged, before anything is computed.
    """
    if registered:
        require("formats", "merging (but for --no-register, register=False)", "SimpleITK")
    require_mergeable(request, separate)
    if len(scans) < 2:
        raise ArSSRError("merging needs two scans or more")
    for scan in scans:
        scan.kind.require_intensities(scan.label)
    for one, other in combinations(scans, 2):
        if np.array_equal(one.data, other.data):
            raise ArSSRError(f"{one.label} and {other.label} are one and the same image")
    try:
        where = where_of(request, scans[0])
    except NoTargetError:
        return scans[0].grid, "no target was named: on the voxels of the first scan"
    return where.grid, where.because


def require_mergeable(request: Request, separate: bool = False) -> None:
    """Refuse what can be asked of single scans alone. Raises ArSSRError."""
    for name in _UNASKED:
        if getattr(request, name) != getattr(Request, name):
            raise ArSSRError(f"{name} is of single scans; it does not go with merging")
    if request.is_transformed:
        raise ArSSRError("merging finds itself how scans lie; it takes no transform")
    if not separate:
        require_noise_level(request)


def facts_of(together: Together, interleaves: bool = False) -> Facts:
    """What a sidecar says of the merging, scan by scan.

    interleaves: whether they were looked for.
    """
    centre = head_centre(together.seen[0].sharp)
    solved = together.solved
    scans: list[dict[str, Any]] = []
    for number, each in enumerate(together.seen):
        mm, degrees = extent(together.motions[number], centre)
        scans.append(
            {
                "file": each.scan.path.name if each.scan.path else None,
                **({"series": each.scan.series} if each.scan.series else {}),
                **each.scan.grid.describe(),
                "motion": {
                    "mm": round(mm, 2),
                    "degrees": round(degrees, 2),
                    "to_scan_ras_mm": np.round(together.motions[number], 6).tolist(),
                },
                "correlation": _short(together.likeness[number]),
                "slice_profile": each.profile,
                "brightness": _short(together.levels[number].factor),
                "noise": _short(each.noise),
                "noise_raised": _short(solved.raised[number]),
                "residual_before": _short(solved.before[number]),
                "residual_after": _short(solved.after[number]),
                "share_of_detail_ijk": [round(share, 3) for share in together.shares[number]],
                "doubtful_slices": doubtful(together.trusted[number]),
            }
        )
        if interleaves:
            scans[-1]["interleaves"] = describe_interleaves(
                each.interleaves, together.motions[number], centre
            )
        if "even_slices" in each.facts:
            scans[-1]["even_slices"] = each.facts["even_slices"]
    warnings = [f"{s.name}: {told}" for s in together.seen for told in s.facts.get("warnings", ())]
    facts: Facts = {
        "notes": [*_in_words(scans), *([interleaves_in_words(scans)] if interleaves else [])],
        "merged": {
            "scans": scans,
            "residuals_are": "root mean squares, times the noise",
            "weight_of_prior": _short(solved.ridge),
            "steps": solved.steps,
        },
    }
    if warnings:
        facts["warnings"] = warnings
    return facts


def describe_interleaves(
    interleaves: Interleaves, motion: Floats, centre: Floats
) -> list[dict[str, Any]]:
    """How each group lies against the first, for a sidecar; motion, centre: see `extent`."""
    there = motion[:3, :3] @ centre + motion[:3, 3]
    told = [(pose, *extent(pose, there)) for pose in interleaves.motions]
    return [
        {
            "mm": round(mm, 2),
            "degrees": round(degrees, 2),
            "from_first_ras_mm": np.round(pose, 6).tolist(),
            **({"slices": interleaves.of(number)[interleaves.axis]} if interleaves.passes else {}),
        }
        for number, (pose, mm, degrees) in enumerate(told)
    ]


def interleaves_in_words(scans: Sequence[Mapping[str, Any]]) -> str:
    """What was found, of what a sidecar says of each scan.

    >>> groups = [{"mm": 0.0, "degrees": 0.0}, {"mm": 1.24, "degrees": 0.8}]
    >>> interleaves_in_words([{"interleaves": groups[:1]}, {"interleaves": groups}])
    'within scan 2 every second slice moved: by 1.2 mm and 0.8 degrees against the first ones'
    """
    found = []
    for number, scan in enumerate(scans, start=1):
        count = len(scan["interleaves"])
        if count > 1:
            which = "every second slice" if count == 2 else f"{count} interleaves of slices"
            if "slices" in scan["interleaves"][0]:
                which = f"{count} passes of slices, as their times tell,"
            by = ", ".join(
                f"by {each['mm']:.1f} mm and {each['degrees']:.1f} degrees"
                for each in scan["interleaves"][1:]
            )
            found.append(f"within scan {number} {which} moved: {by} against the first ones")
    return "; ".join(found) or "no slices were found to have moved against others of their scan"


def _in_words(scans: Sequence[dict[str, Any]]) -> list[str]:
    moved = [
        f"scan {n} by {each['motion']['mm']:.1f} mm and {each['motion']['degrees']:.1f} degrees"
        for n, each in enumerate(scans[1:], start=2)
    ]
    lost = [
        f"slices of scan {n} that disagree with the others count less: "
        f"{', '.join(map(str, each['doubtful_slices']))}"
        for n, each in enumerate(scans, start=1)
        if each["doubtful_slices"]
    ]
    apart = [
        f"scan {n} ({each['noise_raised']:.1f} times)"
        for n, each in enumerate(scans, start=1)
        if each["noise_raised"] > 1
    ]
    evened = [
        f"scan {n}: {each['even_slices']['in_words']}"
        for n, each in enumerate(scans, start=1)
        if "even_slices" in each
    ]
    first = f"{len(scans)} scans merged; moved against the first: {', '.join(moved)}"
    if apart:
        lost.append(
            "off what all say by more than their noise, and trusted that much less: "
            + ", ".join(apart)
        )
    return ["; ".join([first, *lost]), *evened]


def _short(value: float) -> float:
    return float(f"{value:.4g}")
