"""What weights were trained for, and what is asked of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from arssr.domain import Look
from arssr.files import sha256
from arssr.formats.slices import Slices
from arssr.grid import Grid, spacing_in_words
from arssr.identity import is_among, samples_sha256
from arssr.intensity import Normalisation
from arssr.networks import UNKNOWN
from arssr.volume import Volume
from arssr.weights.licence import images_behind

_AXES = "ijk"
_TAUGHT = "was trained on this scan: how well it does here says nothing about others"
# Spacings in headers are rounded, and a limit is no cliff.
_TOLERANCE = 0.01
# Up to this gap `slice` is the best answer. Beyond, it is worse than cubic interpolation on some
# volumes (up to 1.005 of its error at 25 %, 1.02 at 40 %, trapezoidal slices), and so is
# `unknown` (1.02, 1.03); `spline` is on none (0.99, 0.98): `python benchmarks/slices.py` on four
# volumes of the validation. With Gaussian slices `spline` is 4 % behind `slice` at 25 %.
_SPARSE = 0.2

# How far beyond the images of a training a scan may look (`python benchmarks/domain.py`). Those of
# `light` have a roughness of 0.039 to 0.095 and a peak of up to 0.28, so that 0.020 to 0.19 and
# 0.42 are allowed. Other scans lie between 0.029 and 0.092, at up to 0.34 (but ASL: 0.76); noise at
# 0.29, label maps and a photograph at 0, CT with noise of up to 20 HU at a peak of 0.54.
_ROUGHER, _MORE_ALIKE = 2.0, 1.5

# How many times the noise of its training a network may be told: `light`, taught up to 0.06, still
# follows a level of 0.12. Told 0.2 of a scan with so much noise, it is worse than cubic
# interpolation, and told more it makes images of ten times the range
# (`python benchmarks/told_noise.py`).
_NOISIER = 2.0


def outside_valid_range(
    card: Mapping[str, Any],
    source: Grid,
    target: Grid,
    slices: Slices | None = None,
    stored: Grid | None = None,
) -> list[str]:
    """One sentence for each way in which reading `source` on `target` leaves the card's range.

    stored: that of the file, where `source` has the larger voxels that were measured. An axis that
    gets back no more than zero filling had made of it does not count as refined: beside thick
    slices that changes results by -0.07 to 0.05 dB (`benchmarks/resolution.py --parts filled`).

    Of `valid` in the card are checked, where it has them: `scale`, per axis that the target
    refines; `scale_of_one_thick_axis`, where it refines no other; `spacing_mm`, the voxel size
    along an axis that it refines (the range of voxel sizes that were shown as the truth); and
    where it refines the axis of the source's `slices`, `slice_gap` (see `unseen_slices`). A card
    without `valid`, as of reference checkpoints, promises nothing and is never left.

    >>> scan = Grid((9, 9, 9), np.diag([1, 1, 5, 1]))
    >>> card = {"name": "light", "valid": {"scale": [1, 4], "scale_of_one_thick_axis": [1, 6]}}
    >>> outside_valid_range(card, scan, scan.isotropic())
    []
    >>> outside_valid_range(card, scan, scan.scaled((1, 1, 8)))
    ['a scale of 8 along k is outside what light was trained for, 1 to 6']
    >>> outside_valid_range(card, scan, scan.scaled((2, 1, 5)))
    ['a scale of 5 along k is outside what light was trained for, 1 to 4 (1 to 6 where no other \
axis is refined)']
    """
    valid, name = card.get("valid", {}), card.get("name", "the model")
    scale = 1 / target.cell_in(source)
    refined = np.flatnonzero(target.cell_in(stored or source) < 1 / (1 + _TOLERANCE))
    limits = valid.get("scale_of_one_thick_axis" if len(refined) == 1 else "scale")
    sentences = [
        f"a scale of {scale[axis]:.3g} along {_AXES[axis]} is outside what {name} was trained "
        f"for, {_range(limits)}{_if_alone(valid, scale[axis], len(refined))}"
        for axis in refined
        if _outside(scale[axis], limits)
    ]
    if valid and slices is not None and slices.axis in refined:
        sentences += filter(None, [unseen_slices(card, slices)])
    limits = valid.get("spacing_mm")
    spacing_mm = target.spacing_mm[target.steps_in(stored or source) < 1 - _TOLERANCE]
    return sentences + [
        f"voxels of {mm:.3g} mm are outside what {name} was trained for, {_range(limits)} mm"
        for mm in _different(spacing_mm.tolist())
        if _outside(mm, limits)
    ]


def _if_alone(valid: Mapping[str, Any], scale: float, refined: int) -> str:
    """Says where the scale would be inside, were its axis the only one that is refined."""
    alone = valid.get("scale_of_one_thick_axis")
    if refined == 1 or alone is None or _outside(scale, alone):
        return ""
    return f" ({_range(alone)} where no other axis is refined)"


def coarser_axes(source: Grid, target: Grid) -> str | None:
    """A sentence where a target is coarser than the source along some of its axes.

    >>> scan = Grid((20, 20, 9), np.diag([0.5, 0.5, 4, 1]))
    >>> coarser_axes(scan, scan.with_spacing(1))
    'coarser than the scan along i, j (0.5 mm become 1 mm); a spacing of 0.5×0.5×1 mm keeps the \
detail along them'
    >>> coarser_axes(scan, scan.isotropic())
    """
    cell = target.cell_in(source)
    coarser = np.flatnonzero(cell > 1 + _TOLERANCE)
    if not len(coarser):
        return None
    before, after = source.spacing_mm, source.spacing_mm * cell
    axes = ", ".join(_AXES[axis] for axis in coarser)
    sizes = dict.fromkeys(f"{before[axis]:.3g} mm become {after[axis]:.3g} mm" for axis in coarser)
    said = f"coarser than the scan along {axes} ({', '.join(sizes)})"
    if target.axis_positions_in(source) is None:  # turned: no spacing does
        return said
    kept = spacing_in_words(np.minimum(before, after))
    them = "it" if len(coarser) == 1 else "them"
    return f"{said}; a spacing of {kept} keeps the detail along {them}"


def range_set_by_few(card: Mapping[str, Any], normalisation: Normalisation) -> str | None:
    """A sentence where fewer than 0.2 % of the voxels set the range of intensities that is seen.

    >>> data = np.zeros((10, 10, 20))
    >>> data[5, 5, 5] = 1000
    >>> range_set_by_few({"name": "light"}, Normalisation.fit(data))
    'fewer than 0.2 % of the voxels set the range of intensities that light sees; little of it is \
left for the others'
    """
    if not normalisation.set_by_few:
        return None
    return (
        "fewer than 0.2 % of the voxels set the range of intensities that "
        f"{card.get('name', 'the model')} sees; little of it is left for the others"
    )


def looks_seen(card: Mapping[str, Any]) -> tuple[Look, Look] | None:
    """The least and the greatest, of either number, of how the images behind weights look.

    None unless the card says it of most of them (null: that cannot be told), earlier trainings
    included: weights that were adapted to one scan know what those before them knew.
    """
    images = list(images_behind(card))
    looks = [image["look"] for image in images if image.get("look")]
    known = sum("look" in image for image in images)
    if not looks or 2 * known <= len(images):
        return None
    roughness, peak = ([look[number] for look in looks] for number in ("roughness", "peak"))
    return Look(min(roughness), min(peak)), Look(max(roughness), max(peak))


def unlike_training(card: Mapping[str, Any], look: Look | None) -> list[str]:
    """Sentences where an image looks like none that weights, or those they grew from, have seen.

    Nothing is said where `looks_seen` does not know how those look.

    >>> card = {"name": "light", "data": [{"look": {"roughness": 0.05, "peak": 0.2}}]}
    >>> unlike_training(card, Look(roughness=0.04, peak=0.25))
    []
    >>> unlike_training(card, Look(roughness=0.3, peak=0.1))
    ['neighbouring voxels differ far more than in any image that light was trained on, as where \
there is little but noise; what it makes of them is a guess']
    """
    seen = looks_seen(card)
    if look is None or seen is None:
        return []
    least, greatest = seen
    name = card.get("name", "the model")
    said = []
    if look.roughness < least.roughness / _ROUGHER:
        said.append(
            f"neighbouring voxels differ far less than in any image that {name} was trained on, as "
            "in label maps, drawings, stacks of one picture and images that were smoothed"
        )
    if look.roughness > greatest.roughness * _ROUGHER:
        said.append(
            f"neighbouring voxels differ far more than in any image that {name} was trained on, as "
            "where there is little but noise"
        )
    if look.peak > greatest.peak * _MORE_ALIKE:
        said.append(
            f"far more of the object has nearly one brightness than in any image that {name} was "
            "trained on, as in CT and label maps"
        )
    return [f"{each}; what it makes of them is a guess" for each in said]


def most_noise(card: Mapping[str, Any]) -> float:
    """The noise, in normalised intensity, that a network may be told at most; of a card that does
    not say with how much it was trained, infinite.

    >>> most_noise({"recipe": {"sampling": {"noise": 0.06}}})
    0.12
    """
    behind = card.get("started_from") or {} if "lesson" in card else card
    sampling = (behind.get("recipe") or {}).get("sampling") or {}
    return _NOISIER * sampling.get("noise", math.inf)


def too_noisy(card: Mapping[str, Any], noise: float, unit: float) -> str | None:
    """A sentence where a noise that somebody names is more than a network may be told.

    noise: in normalised intensity; unit: of that, in units of the scan.

    >>> too_noisy({"name": "light", "recipe": {"sampling": {"noise": 0.06}}}, 0.5, unit=100)
    'a noise of 50 is far beyond what light was trained for, up to 6; it is told 12'
    """
    most = most_noise(card)
    if noise <= most:
        return None
    return (
        f"a noise of {noise * unit:.3g} is far beyond what {card.get('name', 'the model')} was "
        f"trained for, up to {most / _NOISIER * unit:.3g}; it is told {most * unit:.3g}"
    )


def trained_on(card: Mapping[str, Any], scan: Volume) -> str | None:
    """A sentence where a scan is among the images that weights, or those they grew from, have seen.

    Not for weights that were adapted to this very scan, which is what they are for.
    """
    behind = card.get("started_from") or {} if "lesson" in card else card
    images = list(images_behind(behind))
    if not images:
        return None
    file = sha256(scan.path) if scan.path else ""
    known = is_among(images, file, samples_sha256(scan.data))
    return f"{card.get('name', 'the model')} {_TAUGHT}" if known else None


def unseen_slices(card: Mapping[str, Any], slices: Slices | None) -> str | None:
    """A sentence where slices lie farther apart, or more over one another, than weights have seen.

    `slice_gap` in `valid` of the card is the range of gaps, as shares of the distance of slices,
    that were shown; none were where it is missing.

    >>> card = {"name": "light", "valid": {"slice_gap": [0, 0.25]}}
    >>> unseen_slices(card, Slices(2, 2.0, 4.0))
    'slices of 2 mm every 4 mm along k are outside what light was trained for, gaps of 0 to 25 %'
    >>> unseen_slices(card, Slices(2, 3.0, 4.0))
    """
    limits = _gaps_seen(card)
    if slices is None or slices.touch or not _outside(slices.gap, limits):
        return None
    known = f"gaps of {_range([100 * limit for limit in limits])} %"
    if not any(limits):
        known = "slices without gaps"
    return f"{slices} are outside what {card.get('name', 'the model')} was trained for, {known}"


def told_of_slices(card: Mapping[str, Any], slices: Slices | None) -> tuple[str, str] | None:
    """What to tell a network of the axis of slices that do not touch, and why, in a sentence.

    None where they touch: then the grid alone decides. Weights that were shown no gaps take such
    slices for thicker ones and sharpen too much, so they are told `unknown`. Others are told
    `slice`, and `spline` where the slices are so thin for their distance that they are nearer to
    samples than to averages.

    >>> card = {"name": "light", "valid": {"slice_gap": [0, 0.25]}}
    >>> told_of_slices(card, Slices(2, 3.0, 4.0))
    ('spline', 'slices of 3 mm every 4 mm along k are nearer to samples than to averages')
    >>> told_of_slices({"name": "rdn"}, Slices(2, 3.0, 4.0))[0]
    'unknown'
    """
    if slices is None or slices.touch:
        return None
    if any(_gaps_seen(card)) and slices.gap > _SPARSE * (1 + _TOLERANCE):
        return "spline", f"{slices} are nearer to samples than to averages"
    if unseen := unseen_slices(card, slices):
        return UNKNOWN, unseen
    return "slice", f"{slices} have a gap as {card.get('name', 'the model')} has seen"


def _gaps_seen(card: Mapping[str, Any]) -> Sequence[float]:
    limits: Sequence[float] = card.get("valid", {}).get("slice_gap", (0.0, 0.0))
    return limits


def _different(sizes: Sequence[float]) -> list[float]:
    """Sizes without those that are as good as another.

    >>> _different([0.5, 0.3984, 0.4])
    [0.3984, 0.5]
    """
    kept: list[float] = []
    for size in sorted(sizes):
        if not kept or size > kept[-1] * (1 + _TOLERANCE):
            kept.append(size)
    return kept


def _outside(value: float, limits: Sequence[float] | None) -> bool:
    if limits is None:
        return False
    low, high = limits
    return not low * (1 - _TOLERANCE) <= value <= high * (1 + _TOLERANCE)


def _range(limits: Sequence[float] | None) -> str:
    return " to ".join(f"{limit:g}" for limit in limits or ())
