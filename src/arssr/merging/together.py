"""Several scans of one person and one contrast, to one image on one grid.

Each scan is super-resolved alone, on its own fine grid (`seen`). Rigid motions bring these results
to the first scan's space (`poses`), a smooth factor to its brightness (`brightness`). Their mean is
a first guess; what was measured then corrects it, all scans at once (`stack`, `solve`), but for
slices that disagree with everything else (`slices`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from arssr.api import Model
from arssr.engine.out_of_memory import or_on_cpu
from arssr.field import ReportProgress, silent
from arssr.grid import Floats, Grid
from arssr.merging.brightness import Brightness, match
from arssr.merging.evening import evened
from arssr.merging.finding import find_motion
from arssr.merging.fit import require_fit
from arssr.merging.interleaves import Asked, find_interleaves, most_interleaves, unmoved
from arssr.merging.poses import head_centre, in_common
from arssr.merging.profiles import with_profile
from arssr.merging.seen import Seen, of_several, see
from arssr.merging.shares import shares_ijk
from arssr.merging.slices import slice_weights
from arssr.merging.solve import Problem, Solved, error_variance, solve
from arssr.merging.stacks import head_mask, mean_of, stacks_on
from arssr.upsampling.facts import Facts
from arssr.upsampling.request import Request
from arssr.upsampling.room import require_memory, result_bytes
from arssr.volume import Volume

_SURELY = 0.5  # so far a scan must reach where it alone tells of others
# Of its own noise, what a scan's result is off by at least.
_OWN_NOISE = 0.3
# Results count by a power of one over the variance of their error. That is known too high where it
# is small, as poses and profiles are never quite right: of a thin scan and a thick one the guess is
# 1.8 dB better with 2 than with 1, and of three alike the same (benchmarks/merge.py --crop 88).
_BELIEF = 2
# Images on the common grid that are in memory at a time, besides and for each scan (with what
# `require_memory` takes an image for): the program grew by 0.8 GB for three scans of a head of 3.8
# million voxels.
_COPIES, _COPIES_EACH = 22, 6
# The same for each further interleave of a scan: where it is read, at 8 bytes, in two sets.
_COPIES_INTERLEAVE = 4


@dataclass(frozen=True)
class View:
    """What one scan alone says on the common grid, and how much that counts there."""

    sharp: NDArray[np.float32]
    reach: NDArray[np.float32]


@dataclass(frozen=True)
class Together:
    """Scans that were brought together, and what came of them.

    motions: from the common space to that of each scan. levels: the brightness of each. guess: the
    mean of all results. trusted: weights of slices. likeness: correlation with the first. shares:
    of what is measured of detail along i, j and k.
    """

    common: Grid
    seen: list[Seen]
    motions: list[Floats]
    views: list[View]
    levels: list[Brightness]
    guess: NDArray[np.float32]
    mask: NDArray[np.bool_]
    trusted: list[Floats]
    likeness: list[float]
    shares: list[list[float]]
    solved: Solved

    def placed(self) -> list[Volume]:
        """The scans, where they lie in the common space, as bright as the first."""
        return [
            Volume(
                each.scan.data * level.factor,
                in_common(each.scan.grid, motion),
            )
            for each, motion, level in zip(self.seen, self.motions, self.levels, strict=True)
        ]


def memory_bytes(common: Grid, scans: Sequence[Volume], interleaves: Asked | None = None) -> float:
    """Of memory that merging scans takes, besides what their networks do."""
    return result_bytes(common, _copies(scans, interleaves))


def _copies(scans: Sequence[Volume], interleaves: Asked | None) -> int:
    asked = interleaves or 1
    further = sum(most_interleaves(asked, scan) - 1 for scan in scans)
    return _COPIES + len(scans) * _COPIES_EACH + further * _COPIES_INTERLEAVE


def bring_together(
    model: Model,
    request: Request,
    scans: Sequence[Volume],
    common: Grid,
    registered: bool = True,
    progress: ReportProgress = silent,
    interleaves: Asked | None = None,
) -> Together:
    """All scans as one image on the common grid, which lies in the space of the first.

    registered: find how the person moved between scans; else headers are trusted. interleaves: find
    how groups of slices moved within scans (`find_interleaves`); None for not at all. Raises
    ArSSRError for what no network can take, and for scans that do not fit.
    """
    require_memory(common, _copies(scans, interleaves), request.memory, "merging")
    request, is_evened = replace(request, even_slices=False), request.even_slices
    seen = [
        see(model, request, scan, common, of_several(progress, number, len(scans)))
        for number, scan in enumerate(scans)
    ]
    motions = _motions(seen, registered, progress)
    views, levels = _looks(seen, motions, common)
    if interleaves is not None:
        require_fit(_named(seen, views), common, jagged=True)
        seen, motions = _by_interleaves(
            model, request, seen, motions, levels, common, interleaves, progress
        )
        if any(each.interleaves.count > 1 for each in seen):
            views, levels = _looks(seen, motions, common)
    likeness = require_fit(_named(seen, views), common)
    for number in range(len(seen)) if is_evened else ():
        seen[number] = _evened(model, request, number, seen, motions, views, levels, common)
        each, motion = seen[number], motions[number]
        views[number] = View(each.on(common, motion), views[number].reach)
        progress("evening", (number + 1) / len(seen))
    known = (views, motions, levels, likeness, common, progress)
    with torch.inference_mode():
        return or_on_cpu(
            lambda device: _estimated([each.on_device(device) for each in seen], *known),
            model.device,
        )


def _by_interleaves(
    model: Model,
    request: Request,
    seen: list[Seen],
    motions: list[Floats],
    levels: list[Brightness],
    common: Grid,
    interleaves: Asked,
    progress: ReportProgress,
) -> tuple[list[Seen], list[Floats]]:
    """Scans whose groups of slices have poses of their own, and the motions to the first of these.

    What a network makes of a stack whose slices moved is jagged, so that each such stack is
    super-resolved once more: as it would be without that motion, as an image of all tells.
    """
    centre = head_centre(seen[0].sharp)
    with torch.inference_mode():
        seen, motions = find_interleaves(
            seen, motions, levels, common, interleaves, centre, progress
        )
        if all(each.interleaves.count == 1 for each in seen):
            return seen, motions
        views, levels = _looks(seen, motions, common)
        jagged = _estimated(seen, views, motions, levels, [], common, progress)
    for number, (motion, level) in enumerate(zip(motions, levels, strict=True)):
        each = seen[number]
        if each.interleaves.count > 1:
            scan = unmoved(jagged.seen[number], motion, level, jagged.solved.image, common)
            again = see(model, request, scan, common, of_several(progress, number, len(seen)))
            seen[number] = replace(each, sharp=again.sharp)
    return seen, motions


def _looks(
    seen: Sequence[Seen], motions: Sequence[Floats], common: Grid
) -> tuple[list[View], list[Brightness]]:
    """What each scan alone says on the common grid, and its brightness there."""
    views = [
        View(each.on(common, motion), each.reach(common, motion))
        for each, motion in zip(seen, motions, strict=True)
    ]
    first = views[0]
    levels = [
        match(first.sharp, view.sharp, np.minimum(first.reach, view.reach), common)
        for view in views
    ]
    return views, levels


def _named(
    seen: Sequence[Seen], views: Sequence[View]
) -> list[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """As `require_fit` takes them."""
    return [(s.name, view.sharp, view.reach) for s, view in zip(seen, views, strict=True)]


def _motions(seen: Sequence[Seen], registered: bool, progress: ReportProgress) -> list[Floats]:
    """From the common space to that of each scan."""
    motions: list[Floats] = [np.eye(4)]
    for number, each in enumerate(seen[1:], start=1):
        progress("registering", number / len(seen))
        motions.append(find_motion(seen[0].sharp, each.sharp) if registered else np.eye(4))
    return motions


def _evened(
    model: Model,
    request: Request,
    number: int,
    seen: Sequence[Seen],
    motions: Sequence[Floats],
    views: Sequence[View],
    levels: Sequence[Brightness],
    common: Grid,
) -> Seen:
    """One of the scans, seen anew with even slices; the scan itself stays as it is."""
    each = seen[number]
    lit = [view.sharp * level.at(common) for view, level in zip(views, levels, strict=True)]
    reaches = [view.reach for view in views]
    found = evened(number, seen, motions, lit, reaches, levels[number], common)
    if found is None:
        return each
    again = see(model, request, found.volume, common, silent) if found.is_changed else each
    facts: Facts = {**again.facts, "even_slices": found.describe()}
    return replace(again, scan=each.scan, facts=facts)


def _estimated(
    seen: list[Seen],
    views: list[View],
    motions: list[Floats],
    levels: list[Brightness],
    likeness: list[float],
    common: Grid,
    progress: ReportProgress,
) -> Together:
    """The image, from a guess in which each scan counts as far as the others' data bear it out, and
    slices that disagree with all scans' mean hardly.
    """
    lit = [view.sharp * level.at(common) for view, level in zip(views, levels, strict=True)]
    guess = mean_of(lit, [view.reach for view in views])
    noise = max(each.noise * level.factor for each, level in zip(seen, levels, strict=True))
    mask = head_mask(guess, noise, common)
    seen = _profiled(seen, views, motions, levels, lit, mask, common)
    stacks = stacks_on(common, seen, motions, levels, guess, mask)
    trusted = [
        slice_weights(stack.apart.cpu().numpy(), stack.counts.cpu().numpy(), each.interleaves.axis)
        for stack, each in zip(stacks, seen, strict=True)
    ]
    device = seen[0].measured.device
    chosen = torch.from_numpy(np.flatnonzero(mask)).to(device)
    traces = Problem(stacks, common.shape, chosen).traces()
    errors = []
    for number, each in enumerate(seen):
        by = [other for other in range(len(seen)) if other != number]
        of_it = stacks_on(
            common,
            [seen[n] for n in by],
            [motions[n] for n in by],
            [levels[n] for n in by],
            lit[number],
            mask,
            [trusted[n] for n in by],
        )
        own = (_OWN_NOISE * each.noise * levels[number].factor) ** 2
        errors.append(error_variance(of_it, [traces[n] for n in by]) + own)
        progress("comparing", (number + 1) / len(seen))
    beliefs = (np.min(errors) / errors) ** _BELIEF
    reaches = [
        view.reach * np.float32(belief) * _trust_on(common, each, motion, weights)
        for view, belief, each, motion, weights in zip(
            views, beliefs, seen, motions, trusted, strict=True
        )
    ]
    guess = mean_of(lit, reaches)
    stacks = stacks_on(common, seen, motions, levels, guess, mask, trusted)
    echoes = echoes_of(seen, motions, levels, reaches, mask, trusted, common)
    solved = solve(stacks, torch.from_numpy(guess).to(device), mask, progress, echoes=echoes)
    shares = shares_ijk(solved.stacks, mask)
    estimate = (guess, mask, trusted, likeness, shares, solved)
    return Together(common, seen, motions, views, levels, *estimate)


def _profiled(
    seen: Sequence[Seen],
    views: Sequence[View],
    motions: Sequence[Floats],
    levels: Sequence[Brightness],
    lit: Sequence[NDArray[np.float32]],
    mask: NDArray[np.bool_],
    common: Grid,
) -> list[Seen]:
    """Each scan with the slice profile that the others tell."""
    profiled = []
    for each, motion, level in zip(seen, motions, levels, strict=True):
        others = [
            (image, mask & (view.reach > _SURELY))
            for image, view, other in zip(lit, views, seen, strict=True)
            if other is not each
        ]
        profiled.append(with_profile(each, motion, level, others, common))
    return profiled


def echoes_of(
    seen: Sequence[Seen],
    motions: Sequence[Floats],
    levels: Sequence[Brightness],
    reaches: Sequence[NDArray[np.float32]],
    mask: NDArray[np.bool_],
    trusted: Sequence[Floats],
    common: Grid,
) -> list[float]:
    """By how many times its noise each scan is off a guess that holds noise, by noise alone.

    Scans that no network has seen are in the guess with their noise, which then is not missed: of a
    thin scan that moved about half is left. Taken for all of it, that left the guess uncorrected
    (benchmarks/merge.py --crop 88 --axes 23 --noise 1: 0.2 dB below the thin scan, now 0.7 above).
    What networks make of a scan holds less than a third of its noise, and is taken to hold none.
    """
    if not any(each.untouched for each in seen):
        return [1.0] * len(seen)
    generator = torch.Generator().manual_seed(0)
    noises = []
    for each in seen:
        noise = each.noise * torch.randn(each.measured.shape, generator=generator)
        held = noise.numpy() if each.untouched else np.zeros(each.sharp.grid.shape, np.float32)
        noises.append(
            replace(
                each,
                measured=noise.to(each.measured.device),
                sharp=each.sharp.with_data(held, each.sharp.grid),
            )
        )
    guess = mean_of(
        [
            noise.on(common, motion) * level.at(common)
            for noise, motion, level in zip(noises, motions, levels, strict=True)
        ],
        reaches,
    )
    stacks = stacks_on(common, noises, motions, levels, guess, mask, trusted)
    return [stack.size(stack.apart) for stack in stacks]


def _trust_on(common: Grid, seen: Seen, motion: Floats, weights: Floats) -> NDArray[np.float32]:
    """Weights of slices on the common grid, at least a thousandth."""
    axis, grid = seen.interleaves.axis, seen.acquisition.grid
    to_index = np.linalg.inv(grid.affine) @ motion @ common.affine
    i, j, k = (to_index[axis, a] * np.arange(n) for a, n in enumerate(common.shape))
    at = i[:, None, None] + j[:, None] + k + to_index[axis, 3]
    trust = np.interp(at, np.arange(len(weights)), weights)
    return np.maximum(trust, 1e-3).astype(np.float32)
