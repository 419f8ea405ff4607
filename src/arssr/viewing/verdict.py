"""What a report says first, in words: what was done to a scan, what the scan is, how far the
result agrees with it, whether the weights know its like, and where to look.

Every sentence is computed from the scan, the result and what the sidecar says of its making.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from nibabel.orientations import io_orientation

from arssr.consistency import Acquisition, in_percent
from arssr.domain import Look
from arssr.errors import ArSSRError
from arssr.formats.bids import BIDSName
from arssr.grid import SAME_STEP, Grid, spacing_in_words
from arssr.intensity import Normalisation
from arssr.on_device import samples_on
from arssr.resolution import Resolution, cut_to_band
from arssr.upsampling.agreement import noise_in_words, place_in_words
from arssr.upsampling.facts import was_evened
from arssr.upsampling.plain import COPIED, EVENED, RESAMPLED
from arssr.viewing.display import PLANES
from arssr.volume import Volume
from arssr.weights.licence import images_behind
from arssr.weights.limits import outside_valid_range, unlike_training
from arssr.weights.words import valid_in_words

_AXES = "ijk"
_DIRECTIONS = ("left–right", "back–front", "foot–head")  # of RAS
_WAYS = {
    "slice": "2D multi-slice (slice)",
    "kspace": "3D, or the plane of 2D slices: a cut band of k-space (kspace)",
    "spline": "samples without averaging (spline)",
}
_NEARLY = 0.8  # of the largest scale: as much was added along an axis
_HARDLY = 1.05  # times finer: less adds no detail that is worth a sentence


@dataclass(frozen=True)
class Verdict:
    """Sentences under headings, in the order in which a person asks.

    scan: its name in words. to_paste: a paragraph for a Methods section, and what it cites.
    places: in RAS+ mm, of sentences that name one.
    """

    scan: str
    answers: Mapping[str, Sequence[str]]
    warnings: Sequence[str] = ()
    to_paste: Sequence[str] = ()
    places: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Refined:
    """An axis of the scan along which the result is finer."""

    axis: int
    world: int  # the axis of the body next to it: 0 left–right, 1 back–front, 2 foot–head
    scale: float
    mm: float  # between the scan's voxels

    def __str__(self) -> str:
        return _named(self.world, self.axis)


def verdict_on(
    scan: Volume,
    result: Volume,
    facts: Mapping[str, Any],
    card: Mapping[str, Any],
    resolution: Resolution | None,
    cubic: Volume | None = None,
    sure: Sequence[str] = (),
) -> Verdict:
    """The verdict on a result, in the sentences of its report.

    scan: with even slices, where they were evened (`--even-slices`).
    cubic: the scan interpolated on the result's grid, to compare with.
    facts: what its sidecar says (`running.run`); card: that of the weights that made it.
    resolution: of the scan; None for what has none, such as labels.
    sure: how sure the result is, in short.
    """
    measured = scan
    if resolution is not None and "cut_to_band" in facts:
        measured = cut_to_band(scan, resolution)
    refined = _refined(measured.grid, result.grid)
    outside, trained = [], []
    if "method" not in facts:
        grids = measured.grid, result.grid
        outside = outside_valid_range(card, *grids, measured.slices, scan.grid)
        outside += unlike_training(card, Look.of(measured.data))
        trained = _trained(card, outside)
    look, twice = _where_to_look(refined, facts), {}
    if look and (farthest := facts.get("agreement", {}).get("farthest")):
        twice = {_look_twice(farthest): farthest["centre_ras_mm"]}
    answers = {
        "What was done": _done(scan, measured, result, refined, facts),
        "What it is not for": sentences(facts.get("not_for", "").removesuffix(".")),
        "What the scan is": of_scan(scan, resolution, facts),
        "Does the result agree with the scan?": _agreement(measured, result, cubic, facts),
        "Do the weights know its like?": trained,
        "What to look at": [*look, *twice],
        "How sure is it?": sure,
    }
    return Verdict(
        name_in_words(scan),
        {heading: sentences for heading, sentences in answers.items() if sentences},
        [warning for warning in facts.get("warnings", []) if warning not in outside],
        [facts["methods"], *facts["cite"]] if "methods" in facts else [],
        twice,
    )


def name_in_words(image: Volume) -> str:
    """What an image is called on a page; of a BIDS data set, the subject first.

    >>> import numpy as np
    >>> from pathlib import Path
    >>> data, grid = np.zeros((2, 2, 2)), Grid((2, 2, 2), np.eye(4))
    >>> name_in_words(Volume(data, grid, path=Path("sub-01_ses-b_run-2_T1w.nii.gz")))
    'Subject 01, session b, run-2 T1w'
    >>> name_in_words(Volume(data, grid, path=Path("FLAIR.nii.gz")))
    'FLAIR'
    """
    name = BIDSName.parse(image.path.name) if image.path else None
    if name is None or "sub" not in name.entities:
        return image.name
    others = dict(name.entities)
    parts = [f"Subject {others.pop('sub')}"]
    if "ses" in others:
        parts.append(f"session {others.pop('ses')}")
    return ", ".join([*parts, " ".join([*(f"{k}-{v}" for k, v in others.items()), name.suffix])])


def axes_in_words(grid: Grid) -> list[str]:
    """What i, j and k of a grid run along: the nearest direction of the body.

    >>> axes_in_words(Grid((4, 4, 4), np.diag([1, -1, 1, 1])))
    ['left–right (i)', 'back–front (j)', 'foot–head (k)']
    """
    nearest = io_orientation(grid.affine)[:, 0].astype(int)
    return [_named(world, axis) for axis, world in enumerate(nearest)]


def _named(world: int, axis: int) -> str:
    return f"{_DIRECTIONS[world]} ({_AXES[axis]})"


def _refined(source: Grid, target: Grid) -> list[_Refined]:
    """Axes along which a target is finer; those that hardly are only where no other is."""
    cell = target.cell_in(source)
    world = io_orientation(source.affine)[:, 0].astype(int)
    finer = [
        _Refined(axis, int(world[axis]), 1 / float(c), float(source.spacing_mm[axis]))
        for axis, c in enumerate(cell)
        if c < 1 - SAME_STEP
    ]
    return [each for each in finer if each.scale >= _HARDLY] or finer


def _done(
    scan: Volume,
    measured: Volume,
    result: Volume,
    refined: Sequence[_Refined],
    facts: Mapping[str, Any],
) -> list[str]:
    before, after = (spacing_in_words(v.grid.spacing_mm) for v in (measured, result))
    finer = ", ".join(f"{each.scale:.3g} times finer {each}" for each in refined)
    evened = sentences(facts.get("even_slices", {}).get("in_words"))
    if was_evened(facts):
        evened.append(
            "Cubic interpolation, too, is that of the evened scan; the input is as it is."
        )
    if method := facts.get("method"):
        return [*_without_network(method, before, after), *evened, *_taken(facts)]
    said = [
        f"Brought from voxels of {before} to voxels of {after} with the weights "
        f"{facts['model']['name']}{': ' if finer else ''}{finer}."
    ]
    if measured.grid != scan.grid:
        stored = spacing_in_words(scan.grid.spacing_mm)
        names = axes_in_words(scan.grid)
        wider = np.flatnonzero(measured.grid.spacing_mm > scan.grid.spacing_mm * (1 + SAME_STEP))
        along = listed([names[axis] for axis in wider])
        said.append(
            f"The file has voxels of {stored}: {along} that is finer than the scan was measured."
        )
        said.append("Work began on the smallest voxels on which it may have been measured.")
    said += [*evened, *sentences(facts.get("target"), *facts.get("notes", []))]
    told = facts["told"]["acquisition_ijk"]
    for each in refined:
        way = _WAYS.get(told[each.axis])
        said.append(
            f"{_capital(each)} it was taken for {way}."
            if way
            else f"{_capital(each)} the weights were not told how it was made (unknown)."
        )
    flips = facts["options"].get("ensemble", 1)
    return (
        said
        + sentences(facts["told"].get("because"))
        + ([f"It is the mean over {flips} flips of the scan."] if flips > 1 else [])
    )


def _without_network(method: str, before: str, after: str) -> list[str]:
    if method == COPIED:
        return ["Copied, sample for sample: the scan lies on this grid already."]
    if method == EVENED:
        return ["Copied: the scan lies on this grid already."]
    if method == RESAMPLED:
        return [f"Resampled from voxels of {before} to voxels of {after}, nowhere finer."]
    return [f"Brought from voxels of {before} to voxels of {after} without weights: {method}."]


def _taken(facts: Mapping[str, Any]) -> list[str]:
    return [f"The scan {facts['taken']}."] if "taken" in facts else []


def of_scan(scan: Volume, resolution: Resolution | None, facts: Mapping[str, Any]) -> list[str]:
    """How finely it was measured along each axis, and how noisy the weights were told it is."""
    if resolution is None:
        return []
    said = [
        f"{_capital(name)}: {found.in_words()}."
        for name, found in zip(axes_in_words(scan.grid), resolution.axes, strict=True)
    ]
    if "noise" not in facts:
        return said
    noise, is_estimate = facts["noise"], facts["options"].get("noise") == "auto"
    how = "estimated" if is_estimate else "as was said"
    if noise is None:
        return [*said, "The weights were not told how noisy it is."]
    if noise == 0:
        return [*said, f"Noise: none {'found' if is_estimate else '(as was said)'}."]
    share = in_percent(noise / _span(scan))
    return [*said, f"Noise: standard deviation {noise:.3g}, {share} of the range ({how})."]


def _agreement(
    measured: Volume, result: Volume, cubic: Volume | None, facts: Mapping[str, Any]
) -> list[str]:
    """How far the scan lies from what its acquisition makes of the result, and of `cubic`."""
    if "told" not in facts or "agreement" not in facts:
        return []
    found = facts["agreement"]
    if "residual" not in found:
        return sentences(found["in_words"])
    beside = ""
    if cubic is not None:
        told = facts["told"]["acquisition_ijk"]
        acquisition = Acquisition(measured.grid, result.grid, told, measured.slices)
        scan, interpolated = (samples_on(image.data) for image in (measured, cubic))
        share = acquisition.residual(scan, interpolated) / _span(measured)
        beside = f" (cubic interpolation by {in_percent(share)})"
    it = "it, evened," if was_evened(facts) else "it"
    said = [
        f"Measured again as the scan was, the result differs from {it} by "
        f"{in_percent(found['share_of_range'])} of its range of intensities{beside}."
    ]
    if times := found.get("times_noise"):
        said.append(f"That is {noise_in_words(times)}; the truth would differ by it.")
    if not found["agrees"]:
        said.append("Somewhere they differ by more than can be: see the warning.")
    if "consistency" in facts:
        said.append("It was made to agree with the scan (--consistent).")
    return said


def _trained(card: Mapping[str, Any], outside: Sequence[str]) -> list[str]:
    if outside:
        return [f"No: {'; '.join(outside)}."]
    if not (valid := card.get("valid")):
        return ["Their card names no range of scales and voxel sizes."]
    said = [f"Scale and voxel size, yes; they were trained for: {valid_in_words(valid)}."]
    if any(image.get("look") for image in images_behind(card)):
        said.append("In texture and brightness it looks like scans that they know.")
    return [*said, "Whether they know this anatomy and this contrast was not checked."]


def _where_to_look(refined: Sequence[_Refined], facts: Mapping[str, Any]) -> list[str]:
    if not refined or "told" not in facts:
        return []
    most = max(each.scale for each in refined)
    main = [each for each in refined if each.scale > _NEARLY * most]
    worlds = {each.world for each in main}
    showing = [plane.name for plane in PLANES if worlds & {plane.across, plane.up}]
    along = listed([_DIRECTIONS[each.world] for each in main])
    said = [
        f"Compare the {listed(showing)} planes along {along}: there most detail was added. Flip "
        "between cubic interpolation and the result, and look where they differ most."
    ]
    if minor := [each for each in refined if each not in main]:
        said.append(f"Some was added {listed([_DIRECTIONS[each.world] for each in minor])}, too.")
    thickest = max(refined, key=lambda each: each.mm)
    said.append(
        f"What is smaller than {thickest.mm:.3g} mm {_DIRECTIONS[thickest.world]} was estimated, "
        "not measured."
    )
    return said


def _look_twice(farthest: Mapping[str, Any]) -> str:
    return (
        f"Look twice around {place_in_words(farthest['centre_ras_mm'])}: there the result is "
        f"farthest from what was measured, by {in_percent(farthest['share_of_range'])} of the "
        "range."
    )


def _span(scan: Volume) -> float:
    """The range of nearly all intensities of a scan."""
    try:
        return Normalisation.fit(scan.data).scale
    except ArSSRError:  # constant
        return 1.0


def sentences(*fragments: str | None) -> list[str]:
    """What is said in lower case elsewhere, as sentences of a page."""
    return [f"{_capital(fragment)}." for fragment in fragments if fragment]


def _capital(of: object) -> str:
    return str(of)[0].upper() + str(of)[1:]


def listed(words: Sequence[str]) -> str:
    """
    >>> listed(["axial", "coronal", "sagittal"])
    'axial, coronal and sagittal'
    """
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
