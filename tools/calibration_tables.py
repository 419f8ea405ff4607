"""What `calibrate.py` has counted, as factors, as tables, and as facts for a card."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from arssr.evaluation.card_page import write_card_page
from arssr.evaluation.coverage import Scores, pooled
from arssr.evaluation.tables import markdown_table, write_tables
from arssr.files import replacing
from arssr.networks import UNKNOWN
from arssr.weights.files import load_weights, save_card
from arssr.weights.interval import KEY, PLAIN

SIDE, MARGIN = 96, 8
PROBABILITY = 0.9
BRIGHTNESS = (0.1, 0.2, 0.4, 0.6, 0.8)  # shares of the truth's range; below the first: no object
AIR = "air"  # scores of skipped voxels, their half-width being the range
RIVALS = {f"spread of {n}": n for n in (4, 8)}  # standard deviation over the members of an ensemble
ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/uncertainty.md"
_LEVELS = range(1, len(BRIGHTNESS) + 1)  # of the object
Name = TypeVar("Name")
_LEAST = 0.8  # of a volume's own voxels; below, the card says so


@dataclass(frozen=True)
class Counted:
    """The scores of one volume, measured in one way: by way of computing and brightness."""

    volume: str
    case: str
    scores: dict[tuple[str, int], Scores]

    def write(self, path: Path) -> None:
        """Keep them."""
        arrays = {}
        for (way, level), each in self.scores.items():
            arrays[f"{way}|{level}|counts"], arrays[f"{way}|{level}|widths"] = (
                each.counts,
                each.widths,
            )
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def read(cls, path: Path, volume: str, case: str) -> "Counted":
        """What `write` kept."""
        found: dict[tuple[str, int], Scores] = {}
        with np.load(path) as arrays:
            for name in arrays:
                way, level, what = name.split("|")
                if what == "counts":
                    widths = arrays[f"{way}|{level}|widths"]
                    found[way, int(level)] = Scores(arrays[name], widths)
        return cls(volume, case, found)


def kind_of(counted: Counted) -> str:
    """The acquisition that the network was told, or `unknown`."""
    return UNKNOWN if "not told" in counted.case else counted.case.split(" ")[0].split("-")[0]


def scale_of(counted: Counted) -> float:
    """The largest of the scales along the axes."""
    return max(map(float, counted.case.split(" ")[1].rstrip(",").split("x")))


def group_of(counted: Counted) -> tuple[str, float]:
    """What has a factor of its own."""
    return kind_of(counted), scale_of(counted)


def object_of(counted: Iterable[Counted], way: str, levels: Iterable[int] = _LEVELS) -> Scores:
    """The scores of a way of computing, over the voxels of objects."""
    wanted = list(levels)
    found = (each.scores.get((way, n)) for each in counted for n in wanted)
    return pooled(each for each in found if each is not None)


def by(counted: Sequence[Counted], name: Callable[[Counted], Name], way: str) -> dict[Name, Scores]:
    """The same for each name that `name` gives."""
    groups: dict[Name, list[Counted]] = {}
    for each in counted:
        if (way, 1) in each.scores:
            groups.setdefault(name(each), []).append(each)
    return {group: object_of(some, way) for group, some in groups.items()}


@dataclass(frozen=True)
class Calibration:
    """Factors by acquisition and scale, and what each way of computing multiplies them by."""

    factors: Mapping[tuple[str, float], float]
    ways: Mapping[str, float]

    @classmethod
    def of(cls, counted: Sequence[Counted]) -> "Calibration":
        """That of some volumes. Factors are those of the plain way."""
        groups = by(counted, group_of, PLAIN)
        factors = {group: scores.factor(PROBABILITY) for group, scores in groups.items()}
        plain, ways = cls(factors, {}), {}
        same = in_all_ways(counted)
        usual = object_of(plain.applied(same), PLAIN).factor(PROBABILITY)
        for way in ways_of(counted):
            if way not in RIVALS:
                own = object_of(plain.applied(same), way).factor(PROBABILITY)
                ways[way] = own / usual
        return cls(factors, ways)

    def applied(self, counted: Iterable[Counted]) -> list[Counted]:
        """The same with half-widths as these weights would tell them: a score of 1 is the end."""
        made = []
        for each in counted:
            factor = self.factors[group_of(each)]
            scores = {
                (way, level): one
                if way in (AIR, *RIVALS)
                else one.scaled(factor * self.ways.get(way, 1.0))
                for (way, level), one in each.scores.items()
            }
            made.append(Counted(each.volume, each.case, scores))
        return made

    def describe(self) -> dict[str, Any]:
        """What a card has, see `arssr.weights.interval`."""
        kinds: dict[str, list[list[float]]] = {}
        for (kind, scale), factor in sorted(self.factors.items()):
            kinds.setdefault(kind, []).append([scale, round(factor, 3)])
        return {"factors": kinds, "ways": {w: round(share, 3) for w, share in self.ways.items()}}


def ways_of(counted: Sequence[Counted]) -> list[str]:
    """The ways of computing and the rivals, in order."""
    return list(dict.fromkeys(w for each in counted for w, _ in each.scores if w != AIR))


def in_all_ways(counted: Sequence[Counted]) -> list[Counted]:
    """Those that were brought back in every way, to compare ways with one another."""
    return [each for each in counted if (next(iter(RIVALS)), 1) in each.scores]


def left_out(val: Sequence[Counted]) -> list[Counted]:
    """Each volume with the calibration of the others."""
    made: list[Counted] = []
    for name in dict.fromkeys(each.volume for each in val):
        others = Calibration.of([each for each in val if each.volume != name])
        made += others.applied([each for each in val if each.volume == name])
    return made


def percent(share: float) -> str:
    """As tables have it."""
    return f"{100 * share:.1f}"


def facts(val: Sequence[Counted], test: Sequence[Counted]) -> dict[str, Any]:
    """What the card keeps: factors, and coverage of volumes that had no say in them."""
    calibration, honest = Calibration.of(val), left_out(val)
    air = pooled(each.scores[AIR, 0] for each in val if (AIR, 0) in each.scores)
    found: dict[str, Any] = {}
    for way in calibration.ways:
        of_volumes = by(honest, lambda c: c.volume, way)
        found[way] = {
            "pooled": round(object_of(honest, way).coverage(1.0), 4),
            "volumes": {name: round(s.coverage(1.0), 4) for name, s in of_volumes.items()},
        }
    low = {
        f"{name} ({way})": share
        for way in found
        for name, share in found[way]["volumes"].items()
        if share < _LEAST
    }
    known = {
        "probability": PROBABILITY,
        "air": float(f"{air.factor(PROBABILITY):.3g}"),
        **calibration.describe(),
        "left_out": found,
    }
    if test:
        applied = calibration.applied(test)
        shares = [s.coverage(1.0) for s in by(applied, lambda c: c.volume, PLAIN).values()]
        known["never_calibrates"] = {
            "pooled": round(object_of(applied, PLAIN).coverage(1.0), 4),
            "volumes": len(shares),
            "least": round(min(shares), 4),
        }
    return {**known, **({"below_80_percent": low} if low else {})}


def tables(val: Sequence[Counted], test: Sequence[Counted], known: Mapping[str, Any]) -> str:
    """The tables of docs/uncertainty.md."""
    calibration, honest = Calibration.of(val), left_out(val)
    parts = [
        f"The middle {SIDE} voxels of each volume along each axis, without {MARGIN} at faces that "
        "were cut; voxels whose truth is brighter than a tenth of the range, unless said. Widths "
        "are shares of the range of intensities. In all tables but the last a volume of the "
        "validation has the calibration of the four others.",
        "### Each volume",
        _of_volumes(honest, known),
        "### Factors",
        _of_factors(known),
    ]
    if test:
        applied = calibration.applied(test)
        parts += [
            "### Volumes that never calibrate",
            _of_tested(applied, test, object_of(val, PLAIN).factor(PROBABILITY)),
            _of_test_volumes(applied),
        ]
    groups: dict[str, Callable[[Counted], str]] = {
        "acquisition": lambda c: c.case.split(" ")[0],
        "scale": lambda c: c.case.split(" ")[1].rstrip(","),
        "noise": lambda c: "SNR 20" if "SNR" in c.case else "none",
        "contrast": lambda c: c.volume.rsplit("_", 1)[-1],
        "told": lambda c: "not told" if "not told" in c.case else "told",
        "case": lambda c: c.case,
    }
    parts += [
        "### By what the scan is",
        _of_groups(honest, groups),
        "### By brightness of the tissue",
        _of_levels(honest),
        "### Against one factor for all, and against the spread of an ensemble",
        "All volumes calibrate here, so that pooled coverage is 90 %, with one factor or by what "
        "the scan is (told acquisition, scale). Half-widths of the spread are the standard "
        "deviation over the members of an ensemble, and 0.1 % of the range.",
        _of_rivals(val),
    ]
    return "\n\n".join(parts)


def _of_volumes(honest: Sequence[Counted], known: Mapping[str, Any]) -> str:
    found = known["left_out"]
    rows = []
    for name in found[PLAIN]["volumes"]:
        rows.append([name, *(_percent_of(found[way]["volumes"], name) for way in found)])
    rows.append(["**pooled**", *(percent(found[way]["pooled"]) for way in found)])
    widths = (percent(object_of(honest, way).width(1.0)) for way in found)
    rows.append(["mean half-width", *widths])
    same = in_all_ways(honest)
    widths = (percent(object_of(same, way).width(1.0)) for way in found)
    rows.append(["the same, of cases in all ways", *widths])
    return markdown_table(["coverage, %", *found], rows)


def _percent_of(shares: Mapping[str, float], name: str) -> str:
    return percent(shares[name]) if name in shares else ""


def _of_factors(known: Mapping[str, Any]) -> str:
    scales = sorted({scale for each in known["factors"].values() for scale, _ in each})
    rows = []
    for kind, pairs in known["factors"].items():
        of_scale = dict(pairs)
        cells = (f"{of_scale[s]:.2f}" if s in of_scale else "" for s in scales)
        rows.append([kind, *cells])
    ways = ", ".join(f"{way} {share:.2f}" for way, share in known["ways"].items())
    table = markdown_table(["told", *(f"{scale:g}×" for scale in scales)], rows)
    return (
        f"{table}\n\nThese times, by way of computing: {ways}. Between the scales factors lie on "
        f"straight lines. Air that was left to the interpolation: {100 * known['air']:.2g} % of "
        "the range."
    )


def _of_groups(counted: Sequence[Counted], groups: Mapping[str, Callable[[Counted], str]]) -> str:
    rows = [
        [kind, name, percent(scores.coverage(1.0)), percent(scores.width(1.0))]
        for kind, of in groups.items()
        for name, scores in by(counted, of, PLAIN).items()
    ]
    return markdown_table(["", "", "coverage, %", "mean half-width, %"], rows)


def _of_tested(applied: Sequence[Counted], test: Sequence[Counted], one_factor: float) -> str:
    """By case, and what one factor for all would do."""
    rows = []
    for of in (lambda _: "all", lambda c: c.case):
        raw = by(test, of, PLAIN)
        for name, scores in by(applied, of, PLAIN).items():
            found = scores.coverage(1.0), scores.width(1.0)
            others = raw[name].coverage(one_factor), raw[name].width(one_factor)
            rows.append([name, *map(percent, (*found, *others))])
    head = ["", "coverage, %", "mean half-width, %", "with one factor: coverage, %", "width, %"]
    return markdown_table(head, rows)


def _of_test_volumes(test: Sequence[Counted]) -> str:
    shares = sorted(s.coverage(1.0) for s in by(test, lambda c: c.volume, PLAIN).values())
    return (
        f"Of the {len(shares)} volumes each has {percent(shares[0])} to {percent(shares[-1])} %, "
        f"the median {percent(shares[len(shares) // 2])} %."
    )


def _of_levels(honest: Sequence[Counted]) -> str:
    ends = [0.0, *BRIGHTNESS, math.inf]
    rows = []
    for level in range(len(BRIGHTNESS) + 1):
        scores = object_of(honest, PLAIN, [level])
        name = f"{ends[level]:g} to {ends[level + 1]:g}" if level else "below 0.1 (no object)"
        share, width = percent(scores.coverage(1.0)), percent(scores.width(1.0))
        rows.append([name.replace(" to inf", " and more"), share, width])
    return markdown_table(["share of the range", "coverage, %", "mean half-width, %"], rows)


def _of_rivals(val: Sequence[Counted]) -> str:
    """Each calibrated on the same voxels in the same way, leaving no volume out."""
    same, rows = in_all_ways(val), []
    of: tuple[Callable[[Counted], str], ...] = (lambda c: c.volume, lambda c: c.case)
    for way in ways_of(same):
        for name, groups in (("one", lambda _: ""), ("by scan", group_of)):
            counted = _in_groups(same, way, groups)
            scores = object_of(counted, way)
            shares = [[s.coverage(1.0) for s in by(counted, one, way).values()] for one in of]
            shares.append([object_of(counted, way, [n]).coverage(1.0) for n in _LEVELS])
            rows.append(
                [
                    way if way in RIVALS else f"head, {way}",
                    name,
                    percent(scores.width(1.0)),
                    f"{100 * scores.interval_score(1.0, PROBABILITY):.2f}",
                    *(f"{percent(min(each))}–{percent(max(each))}" for each in shares),
                ]
            )
    head = ["half-widths", "factor", "mean, %", "interval score, %", "volumes, %", "cases, %"]
    return markdown_table([*head, "brightness, %"], rows)


def _in_groups(
    counted: Sequence[Counted], way: str, group: Callable[[Counted], Name]
) -> list[Counted]:
    """A way of computing, calibrated group by group."""
    factors = {name: s.factor(PROBABILITY) for name, s in by(counted, group, way).items()}
    return [
        Counted(
            each.volume,
            each.case,
            {
                (own, level): one.scaled(factors[group(each)])
                for (own, level), one in each.scores.items()
                if own == way
            },
        )
        for each in counted
        if (way, 1) in each.scores
    ]


def report(path: Path, val: Sequence[Counted], test: Sequence[Counted], write: bool) -> None:
    """Print the tables; with `write`, put them on the page, and what is known into the card."""
    known = facts(val, test)
    text = tables(val, test, known)
    print(text)
    if not write:
        return
    _, card = load_weights(path)
    card[KEY] = {"taught": card[KEY]["taught"], **known}
    save_card(path, card)
    if PAGE.exists():
        write_tables(PAGE, "tools/calibrate.py", text)
    page = ROOT / f"docs/models/{card['name']}.md"
    if page.exists() and path.parent.name == "shipped":
        write_card_page(page, card)
