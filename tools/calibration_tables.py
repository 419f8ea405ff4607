"""What `calibrate.py` has counted, as factors, as tables, and as facts for a card."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arssr.evaluation.card_page import to_markdown
from arssr.evaluation.coverage import Scores, left_out, pooled
from arssr.evaluation.tables import markdown_table
from arssr.files import replacing
from arssr.weights.files import load_spread, load_weights, save_weights
from arssr.weights.interval import CONSISTENT, KEY, PLAIN

SIDE, MARGIN = 96, 8
PROBABILITY = 0.9
BRIGHTNESS = (0.1, 0.2, 0.4, 0.6, 0.8)  # shares of the truth's range; below the first: no object
AIR = "air"  # scores of skipped voxels, their half-width being the range
RIVALS = {f"spread of {n}": n for n in (4, 8)}  # standard deviation over the members of an ensemble
ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/uncertainty.md"
_BEGIN, _END = "<!-- tables: tools/calibrate.py -->", "<!-- end of tables -->"
_LEVELS = range(1, len(BRIGHTNESS) + 1)  # of the object
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


def object_of(counted: Iterable[Counted], way: str, levels: Iterable[int] = _LEVELS) -> Scores:
    """The scores of a way of computing, over the voxels of objects."""
    wanted = list(levels)
    found = (each.scores.get((way, n)) for each in counted for n in wanted)
    return pooled(each for each in found if each is not None)


def by(counted: Sequence[Counted], name: Callable[[Counted], str], way: str) -> dict[str, Scores]:
    """The same for each name that `name` gives."""
    groups: dict[str, list[Counted]] = {}
    for each in counted:
        if (way, 1) in each.scores:
            groups.setdefault(name(each), []).append(each)
    return {group: object_of(some, way) for group, some in groups.items()}


def ways_of(counted: Sequence[Counted]) -> list[str]:
    """The ways of computing and the rivals, in order."""
    return list(dict.fromkeys(w for each in counted for w, _ in each.scores if w != AIR))


def in_all_ways(counted: Sequence[Counted]) -> list[Counted]:
    """Those that were brought back in every way, to compare ways with one another."""
    return [each for each in counted if (next(iter(RIVALS)), 1) in each.scores]


def percent(share: float) -> str:
    """As tables have it."""
    return f"{100 * share:.1f}"


def facts(val: Sequence[Counted], test: Sequence[Counted]) -> dict[str, Any]:
    """What the card keeps: factors, and coverage of volumes that had no say in them."""
    ways = [way for way in ways_of(val) if way not in RIVALS]
    factors = {way: object_of(val, way).factor(PROBABILITY) for way in ways}
    air = pooled(each.scores[AIR, 0] for each in val if (AIR, 0) in each.scores)
    found: dict[str, Any] = {}
    for way in ways:
        own = left_out(by(val, lambda c: c.volume, way), PROBABILITY)
        found[way] = {
            "pooled": round(_pooled_coverage(val, way, own), 4),
            "volumes": {name: round(coverage, 4) for name, (_, coverage) in own.items()},
        }
    factor = factors[PLAIN]
    of_test = {n: s.coverage(factor) for n, s in by(test, lambda c: c.volume, PLAIN).items()}
    tested = {
        "pooled": round(object_of(test, PLAIN).coverage(factor), 4),
        "volumes": len(of_test),
        "least": round(min(of_test.values()), 4),
    }
    low = {
        f"{name} ({way})": share
        for way in ways
        for name, share in found[way]["volumes"].items()
        if share < _LEAST
    }
    return {
        "probability": PROBABILITY,
        "factors": {way: float(f"{f:.4g}") for way, f in factors.items()},
        "air": float(f"{air.factor(PROBABILITY):.3g}"),
        "left_out": found,
        **({"never_calibrates": tested} if test else {}),
        **({"below_80_percent": low} if low else {}),
    }


def _pooled_coverage(
    counted: Sequence[Counted], way: str, own: Mapping[str, tuple[float, float]]
) -> float:
    """The share of all voxels that lie within, each volume with the factor of the others."""
    sizes = {name: scores.count for name, scores in by(counted, lambda c: c.volume, way).items()}
    return sum(own[n][1] * size for n, size in sizes.items()) / sum(sizes.values())


def tables(val: Sequence[Counted], test: Sequence[Counted], known: Mapping[str, Any]) -> str:
    """The tables of docs/uncertainty.md."""
    parts = [
        f"The middle {SIDE} voxels of each volume along each axis, without {MARGIN} at faces that "
        "were cut; voxels whose truth is brighter than a tenth of the range. Widths are shares of "
        "the range of intensities.",
        "### Leaving one volume out at a time",
        _of_volumes(val, known),
    ]
    factor = known["factors"][PLAIN]
    if test:
        parts += [
            "### Volumes that never calibrate",
            _of_groups(test, {"all": lambda _: "all", "case": lambda c: c.case}, factor),
            _of_test_volumes(test, factor),
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
        _of_groups(val, groups, factor),
        "### By brightness of the tissue",
        _of_levels(val, factor),
        "### Against the spread of an ensemble",
        _of_rivals(val),
    ]
    return "\n\n".join(parts)


def _of_volumes(val: Sequence[Counted], known: Mapping[str, Any]) -> str:
    ways = list(known["left_out"])
    rows = []
    for name in known["left_out"][PLAIN]["volumes"]:
        rows.append([name, *(_percent_of(known["left_out"][w]["volumes"], name) for w in ways)])
    rows.append(["**pooled**", *(percent(known["left_out"][w]["pooled"]) for w in ways)])
    rows.append(["factor (of all)", *(f"{known['factors'][w]:.3f}" for w in ways)])
    rows.append(
        ["mean half-width", *(percent(object_of(val, w).width(known["factors"][w])) for w in ways)]
    )
    return markdown_table(["coverage, %", *ways], rows)


def _percent_of(shares: Mapping[str, float], name: str) -> str:
    return percent(shares[name]) if name in shares else ""


def _of_groups(
    counted: Sequence[Counted], groups: Mapping[str, Callable[[Counted], str]], factor: float
) -> str:
    rows = [
        [kind, name, percent(scores.coverage(factor)), percent(scores.width(factor))]
        for kind, of in groups.items()
        for name, scores in by(counted, of, PLAIN).items()
    ]
    return markdown_table(["", "", "coverage, %", "mean half-width, %"], rows)


def _of_test_volumes(test: Sequence[Counted], factor: float) -> str:
    shares = sorted(s.coverage(factor) for s in by(test, lambda c: c.volume, PLAIN).values())
    return (
        f"Of the {len(shares)} volumes each has {percent(shares[0])} to {percent(shares[-1])} %, "
        f"the median {percent(shares[len(shares) // 2])} %."
    )


def _of_levels(val: Sequence[Counted], factor: float) -> str:
    ends = [0.0, *BRIGHTNESS, math.inf]
    rows = []
    for level in range(len(BRIGHTNESS) + 1):
        scores = object_of(val, PLAIN, [level])
        name = f"{ends[level]:g} to {ends[level + 1]:g}" if level else "below 0.1 (no object)"
        share = percent(scores.coverage(factor))
        rows.append([name.replace(" to inf", " and more"), share, percent(scores.width(factor))])
    return markdown_table(["share of the range", "coverage, %", "mean half-width, %"], rows)


def _of_rivals(val: Sequence[Counted]) -> str:
    """Each calibrated on the same voxels, leaving no volume out."""
    same, rows = in_all_ways(val), []
    for way in (PLAIN, CONSISTENT, "ensemble 4", "ensemble 8", *RIVALS):
        scores = object_of(same, way)
        factor = scores.factor(PROBABILITY)
        of = (lambda c: c.volume, lambda c: c.case)
        shares = [[s.coverage(factor) for s in by(same, name, way).values()] for name in of]
        levels = [object_of(same, way, [level]).coverage(factor) for level in _LEVELS]
        rows.append(
            [
                way,
                percent(scores.width(factor)),
                f"{100 * scores.interval_score(factor, PROBABILITY):.2f}",
                *(f"{percent(min(each))}–{percent(max(each))}" for each in (*shares, levels)),
            ]
        )
    head = ["half-widths by", "mean, %", "interval score, %", "volumes, %", "cases, %", "levels, %"]
    return markdown_table(head, rows)


def report(path: Path, val: Sequence[Counted], test: Sequence[Counted], write: bool) -> None:
    """Print the tables; with `write`, put them on the page, and what is known into the card."""
    known = facts(val, test)
    text = tables(val, test, known)
    print(text)
    if not write:
        return
    network, card = load_weights(path)
    card[KEY] = {"taught": card[KEY]["taught"], **known}
    save_weights(path, network, card, half=True, spread=load_spread(path))
    if PAGE.exists():
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
        after = rest.partition(_END)[2]
        with replacing(PAGE) as temporary:
            whole = f"{before}{_BEGIN}\n\n{text}\n\n{_END}{after}"
            temporary.write_text(whole, encoding="utf-8")
    page = ROOT / f"docs/models/{card['name']}.md"
    if page.exists() and path.parent.name == "shipped":
        with replacing(page) as temporary:
            temporary.write_text(to_markdown(card), encoding="utf-8")
