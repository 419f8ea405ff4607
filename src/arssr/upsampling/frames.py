"""What becomes of the frames of a 4D image, one after the other, and what is told of them all."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from arssr.errors import ArSSRError
from arssr.field import ReportProgress, silent
from arssr.upsampling.facts import Facts
from arssr.upsampling.request import Request
from arssr.upsampling.result import Result, Where, result_of
from arssr.volume import Frames

if TYPE_CHECKING:
    from arssr.api import Model


def each_result(
    model: "Model | None",
    request: Request,
    frames: Frames,
    where: Where,
    first: Result,
    progress: ReportProgress,
) -> Iterator[Result]:
    """What comes of each frame; `first` is what comes of the first.

    Raises ArSSRError for a constant frame where the request is strict.
    """
    count = len(frames)
    known = where.resolution
    for number in range(count):
        progress(f"frame {number + 1} of {count}", number / count)
        made = first
        if number:
            made = result_of(model, request, frames.frame(number), where, silent, known)
        if made.measured and known is None:
            known = made.measured.resolution  # of one scanner and one protocol: of all of them
        if request.strict and "constant" in made.facts:
            label = frames.path or "the image"
            which = _constant_in_words(number, made.facts)
            raise ArSSRError(f"{label}: frame {which} of {count} is constant")
        yield made


def facts_of_all(facts: Sequence[Facts]) -> Facts:
    """What is kept of the facts of all frames: warnings, of which there may be more at the end of
    the file, which frames were constant, the lowest value that any was clamped at, if all were,
    of the residuals, half-widths and factors of slices those of the frame where they were largest,
    and what is said of the frame that agrees least with its scan.
    """
    kept: Facts = {}
    least = _least_agreeing(facts)
    warnings = dict.fromkeys(_warnings_but_of_agreement(facts))
    if least:
        kept["agreement"] = least
        if not least["agrees"]:
            warnings[least["in_words"]] = None
    constant = [_constant_in_words(n, f) for n, f in enumerate(facts) if "constant" in f]
    if constant:
        told = f"of {len(facts)} frames, constant ones stay so: {', '.join(constant)}"
        warnings[told] = None
    if warnings:
        kept["warnings"] = list(warnings)
    floors = [f["clamped_at"] for f in facts if "clamped_at" in f]
    if floors:
        known = [floor for floor in floors if floor is not None]
        kept["clamped_at"] = min(known) if len(known) == len(floors) else None
    residuals = [f["consistency"] for f in facts if "consistency" in f]
    if residuals:
        kept["consistency"] = max(residuals, key=lambda each: each.get("residual_before", 0.0))
    if evened := {n: f["even_slices"] for n, f in enumerate(facts, 1) if "even_slices" in f}:
        number = max(evened, key=lambda n: np.ptp(evened[n]["factors"]))
        said = f"frame {number} of {len(facts)}, the least even: {evened[number]['in_words']}"
        kept["even_slices"] = {**evened[number], "in_words": said, "frame": number}
    widths = [f["uncertainty"] for f in facts if "uncertainty" in f]
    if widths:
        kept["uncertainty"] = max(widths, key=lambda each: each.get("mean", 0.0))
    return kept


def _least_agreeing(facts: Sequence[Facts]) -> dict[str, Any] | None:
    """The frame that is farthest from its scan, in one place, and its number, from 1."""
    known = {
        number: f["agreement"]
        for number, f in enumerate(facts, 1)
        if "residual" in f.get("agreement", {})
    }
    if not known:
        return None
    number = max(known, key=lambda n: (not known[n]["agrees"], known[n]["farthest"]["residual"]))
    said = f"frame {number} of {len(facts)}, the farthest: {known[number]['in_words']}"
    return {**known[number], "in_words": said, "frame": number}


def _warnings_but_of_agreement(facts: Sequence[Facts]) -> Iterator[str]:
    """Those of every frame, without the sentence on its agreement: many frames would have one."""
    for each in facts:
        own = each.get("agreement", {}).get("in_words")
        yield from (warning for warning in each.get("warnings", []) if warning != own)


def _constant_in_words(number: int, facts: Facts) -> str:
    return f"{number + 1} (every voxel is {facts['constant']:g})"
