"""What came from where, for the report of scans that were merged: a table, two charts, a verdict.

Everything is what the sidecar says (`arssr.merging.merge.facts_of`); the templates draw it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from arssr.grid import Grid, spacing_in_words
from arssr.merging.fit import SAME
from arssr.viewing.charts import Tick, number, round_steps
from arssr.viewing.verdict import Verdict, axes_in_words, listed, name_in_words, sentences
from arssr.volume import Volume

WIDTH = 420
_BAR, _STEP = 24, 50  # the height of a bar, and from one to the next
_ROW, _LEFT, _RIGHT = 30, 58, 14  # from scan to scan, and the margins of their lines
_LABELLED, _NAMED = 0.1, 0.2  # what part of a bar has room for its number, and for its name
_TOLD = 0.005  # of the detail along an axis: less is not worth a word
_PROFILES = {None: "no thick slices", "gaussian": "Gaussian", "trapezoid": "trapezoid"}


class Part(NamedTuple):
    """A part of a bar in SVG units: which scan it stands for, and its text."""

    scan: int
    x: float
    width: float
    label: str


class Bar(NamedTuple):
    """An axis: what it runs along, where the bar lies, and the shares of the scans."""

    name: str
    y: int
    parts: Sequence[Part]


class Missed(NamedTuple):
    """By how much the first guess and the result miss a scan, as places on a line."""

    name: str
    y: int
    before: float
    after: float


@dataclass(frozen=True)
class Origins:
    """A section of a report.

    rows: of the table, what is told and of each scan what it is. bars: shares of detail along each
    axis. missed: residuals, of which `noise` is where the noise alone would be.
    """

    names: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    bars: Sequence[Bar]
    missed: Sequence[Missed]
    ticks: Sequence[Tick]
    noise: float
    width: int = WIDTH
    bar: int = _BAR

    @property
    def bars_height(self) -> int:
        """Of the picture of all bars."""
        return _STEP * len(self.bars)

    @property
    def missed_height(self) -> int:
        """Of the lines of all scans, without their axis."""
        return _ROW * len(self.missed) + 16


def origins(facts: Mapping[str, Any], grid: Grid) -> Origins:
    """The section on a result that lies on `grid`, of what its sidecar says."""
    scans = facts["merged"]["scans"]
    names = [f"scan {n}" for n in range(1, len(scans) + 1)]
    axes = axes_in_words(grid)
    shares = [[scan["share_of_detail_ijk"][axis] for scan in scans] for axis in range(3)]
    most = max(max(s["residual_before"], s["residual_after"], 1.0) for s in scans) * 1.05

    def at(times_noise: float) -> float:
        return round(_LEFT + times_noise / most * (WIDTH - _LEFT - _RIGHT), 1)

    missed = [
        Missed(name, 16 + _ROW // 2 + _ROW * n, at(s["residual_before"]), at(s["residual_after"]))
        for n, (name, s) in enumerate(zip(names, scans, strict=True))
    ]
    bars = [
        Bar(name, 16 + _STEP * n, _parts(each))
        for n, (name, each) in enumerate(zip(axes, shares, strict=True))
    ]
    ticks = [Tick(at(x), number(x)) for x in round_steps(0, most)]
    return Origins(names, _rows(facts, axes), bars, missed, ticks, at(1.0))


def _parts(shares: Sequence[float]) -> list[Part]:
    parts, x = [], 0.0
    whole = sum(shares) or 1.0
    for scan, share in enumerate(shares):
        width = share / whole * WIDTH
        parts.append(Part(scan, round(x, 1), round(width, 1), _label(scan, share)))
        x += width
    return parts


def _label(scan: int, share: float) -> str:
    if share < _LABELLED:
        return ""
    name = f"scan {scan + 1}" if share >= _NAMED else f"{scan + 1}"
    return f"{name}: {100 * share:.0f} %"


def _rows(facts: Mapping[str, Any], axes: Sequence[str]) -> list[tuple[str, list[str]]]:
    scans = facts["merged"]["scans"]
    rows = {
        "file": [f"{s['file'] or '–'} {s.get('series', '')}".strip() for s in scans],
        "voxels": [spacing_in_words(scan["spacing_mm"]) for scan in scans],
        "moved against scan 1": ["–", *map(_motion, scans[1:])],
        "local correlation with scan 1": ["–", *(f"{s['correlation']:.3f}" for s in scans[1:])],
        "slice profile": [_PROFILES[scan["slice_profile"]] for scan in scans],
        "slices evened": [_evened(scan.get("even_slices")) for scan in scans],
        "doubtful slices": [", ".join(map(str, s["doubtful_slices"])) or "none" for s in scans],
        "brightness, multiplied by": [f"{scan['brightness']:.3g}" for scan in scans],
        "noise, its own units": [f"{scan['noise']:.3g}" for scan in scans],
        "trusted as if it were": [f"{s['noise'] * s['noise_raised']:.3g}" for s in scans],
        "first guess off by, × noise": [f"{s['residual_before']:.2f}" for s in scans],
        "result off by, × noise": [f"{s['residual_after']:.2f}" for s in scans],
    }
    for axis, name in enumerate(axes):
        shares = [scan["share_of_detail_ijk"][axis] for scan in scans]
        rows[f"detail {name}"] = [f"{100 * share:.0f} %" for share in shares]
    if not any("even_slices" in scan for scan in scans):
        del rows["slices evened"]
    return list(rows.items())


def _motion(scan: Mapping[str, Any]) -> str:
    motion = scan["motion"]
    return f"{motion['mm']:.1f} mm, {motion['degrees']:.1f}°"


def _evened(told: Mapping[str, Any] | None) -> str:
    factors = told["factors"] if told else [1]
    if min(factors) == max(factors) == 1:
        return "no"
    return f"by {min(factors):.3g} to {max(factors):.3g}"


def merged_verdict(result: Volume, facts: Mapping[str, Any]) -> Verdict:
    """What the report of a merged result says first."""
    scans = facts["merged"]["scans"]
    axes = axes_in_words(result.grid)
    size = spacing_in_words(result.grid.spacing_mm)
    registered = facts["options"].get("register", True)
    answers = {
        "What was done": [
            f"{len(scans)} scans became one image with voxels of {size}, in the space of scan 1, "
            f"with the weights {facts['model']['name']}.",
            *sentences(*facts.get("notes", []), facts.get("target")),
            *([] if registered else ["Headers were trusted: nobody looked whether they lie."]),
        ],
        "What it is not for": sentences(facts.get("not_for", "").removesuffix(".")),
        "Do they belong together?": [_together(scans)],
        "Does it agree with them?": _agreement(scans),
        "What came from where": [_shares(scans, axis, name) for axis, name in enumerate(axes)],
        "What to look at": _to_look_at(scans),
    }
    return Verdict(
        f"{name_in_words(result)}, {len(scans)} scans merged",
        {heading: said for heading, said in answers.items() if said},
        facts.get("warnings", []),
        [facts["methods"], *facts["cite"]],
    )


def _together(scans: Sequence[Mapping[str, Any]]) -> str:
    least = min(scan["correlation"] for scan in scans[1:])
    return (
        f"Yes: but for a tenth of the head they correlate with scan 1, place by place, by "
        f"{least:.3f} or more. Of one head that is above {SAME}, of two heads below it."
    )


def _agreement(scans: Sequence[Mapping[str, Any]]) -> list[str]:
    numbers = listed([str(n) for n, _ in enumerate(scans, start=1)])
    before, after = (
        listed([f"{scan[f'residual_{when}']:.2f}" for scan in scans])
        for when in ("before", "after")
    )
    return [
        f"Measured again as scans {numbers} were, it is off by {after} times their noise.",
        f"The mean of what the network makes of each, the first guess, is off by {before}.",
    ]


def _shares(scans: Sequence[Mapping[str, Any]], axis: int, name: str) -> str:
    shares = [scan["share_of_detail_ijk"][axis] for scan in scans]
    order = sorted(range(len(scans)), key=lambda n: -shares[n])
    said = [f"{100 * shares[n]:.0f} % from scan {n + 1}" for n in order if shares[n] >= _TOLD]
    return f"Detail {name}: {listed(said or ['none'])}."


def _to_look_at(scans: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"Slices of scan {n} that disagree with everything else count less: "
        f"{listed(list(map(str, scan['doubtful_slices'])))}, counted from 0. The person moved, or "
        "there was a spike."
        for n, scan in enumerate(scans, start=1)
        if scan["doubtful_slices"]
    ]
