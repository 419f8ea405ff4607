"""Tables, curves and card entries of `lesions.py`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from arssr.evaluation.lesions import smallest_surviving
from arssr.evaluation.protocol import Setting
from arssr.evaluation.tables import markdown_table
from arssr.files import replacing

SHARES = (0.5, 0.8)  # of the contrast, which a lesion keeps that survives
COLOURS = {"cubic": "#222222", "light": "#0072B2", "rdn": "#D55E00"}  # as evaluation/plots.py has
OTHERS = ("#009E73", "#CC79A7")
TITLES = {
    "kspace 2": "kspace, 2×",
    "slice-box 2": "slice-box, 2×",
    "slice-box 4": "slice-box, 4×",
    "slice-box 1x1x4": "slice-box, 1×1×4",
}
FEWER = (0.5, 1.0, 2.0, 4.0)  # diameters of the table with three numbers in a cell
DPI = 90


class Found(NamedTuple):
    """What one method recovers of one lesion."""

    volume: str
    external: bool
    setting: Setting
    method: str
    auto: bool
    diameter: float
    put: float
    contrast: float
    peak: float
    signal: float
    size: float
    false_peak: float
    false_energy: float

    @property
    def label(self) -> str:
        """The method, with what it is not told."""
        return f"{self.method} (auto)" if self.auto else self.method


def mean_by(found: Iterable[Found], *keys: str, of: str = "contrast") -> dict[tuple, float]:
    """Means of a number, by the values of some attributes, in the order of appearance."""
    groups: dict[tuple, list[float]] = {}
    for each in found:
        key = tuple(getattr(each, name) for name in keys)
        groups.setdefault(key, []).append(getattr(each, of))
    return {key: fmean(values) for key, values in groups.items()}


def curves(
    found: Iterable[Found], of: str = "contrast"
) -> dict[tuple[str, str], dict[float, float]]:
    """(setting, label) → diameter → mean, smallest first."""
    lines: dict[tuple[str, str], dict[float, float]] = {}
    for (setting, label, diameter), mean in mean_by(
        found, "setting", "label", "diameter", of=of
    ).items():
        lines.setdefault((str(setting), label), {})[diameter] = mean
    return {key: dict(sorted(line.items())) for key, line in lines.items()}


def smallest_of(found: Sequence[Found], method: str) -> dict[str, Any]:
    """What a card says: the smallest diameters that survive, with cubic's, by setting."""
    lines, settings = curves(found), dict.fromkeys(each.setting for each in found)
    return {
        "shares": list(SHARES),
        "volumes": sorted({each.volume for each in found}),
        "settings": [
            {"degradation": setting.degradation, "scale": setting.scale}
            | {
                name: [rounded(smallest_surviving(lines[str(setting), label], s)) for s in SHARES]
                for name, label in (("cubic", "cubic"), ("model", method))
            }
            for setting in settings
        ],
    }


def rounded(diameter: float | None) -> float | None:
    """To four decimals, so that tables round it once; where there is one."""
    return None if diameter is None else round(diameter, 4)


def tables(found: Sequence[Found], real: Sequence[Mapping[str, Any]]) -> str:
    """All tables of the page."""
    own = _without_repeats([each for each in found if not each.external])
    told = [each for each in own if not each.auto]
    external = [each for each in found if each.external and not each.auto]
    return "\n\n".join(
        [
            "### The smallest lesion that survives, in voxels of the scan",
            _smallest(own),
            "### Contrast by diameter",
            _by_diameter(own),
            "### Peak / signal / volume by diameter",
            _peak_signal_volume(told),
            "### Bright and dark, strong and faint: contrast of lesions of 1 and 1.5 voxels",
            _by_contrast(told),
            "### False structure farther than two voxels of the scan from any lesion",
            _false(own),
            "### Scans of another source (OASIS): contrast by diameter",
            _by_diameter(external),
            "### Real lesions: contrast / volume, of the truth's",
            _real(real),
        ]
    )


def _without_repeats(found: Sequence[Found]) -> list[Found]:
    """Without `auto` where a scan says of itself what was told."""
    lines = curves(found)
    return [
        each
        for each in found
        if not each.auto
        or lines[str(each.setting), each.label] != lines[str(each.setting), each.method]
    ]


def _smallest(found: Sequence[Found]) -> str:
    """A line a setting, and one for `auto`; a column for every method and share."""
    lines = curves(found)
    methods = list(dict.fromkeys(each.method for each in found))
    header = ["", *(f"{share:.0%}, {method}" for share in SHARES for method in methods)]
    rows = []
    for setting, auto in dict.fromkeys((str(each.setting), each.auto) for each in found):
        names = [f"{method} (auto)" if auto else method for method in methods]
        sizes = [_diameter(lines.get((setting, n)), share) for share in SHARES for n in names]
        rows.append([setting + ", auto" * auto, *sizes])
    return markdown_table(header, rows)


def _diameter(line: Mapping[float, float] | None, share: float) -> str:
    if line is None:
        return ""
    smallest = smallest_surviving(line, share)
    if smallest is None:
        return f"> {max(line):g}"
    return f"{smallest:.1f}" if smallest > min(line) else f"≤ {smallest:g}"


def _by_diameter(found: Sequence[Found]) -> str:
    lines = curves(found)
    diameters = sorted({each.diameter for each in found})
    rows = [
        [setting, label, *(f"{line[d]:.2f}" if d in line else "" for d in diameters)]
        for (setting, label), line in lines.items()
    ]
    return markdown_table(["", "", *(f"{d:g}" for d in diameters)], rows)


def _peak_signal_volume(found: Sequence[Found]) -> str:
    lines = [curves(found, of) for of in ("peak", "signal", "size")]
    rows = [
        [*key, *(" / ".join(f"{line[key][d]:.2f}" for line in lines) for d in FEWER)]
        for key in lines[0]
    ]
    return markdown_table(["", "", *(f"{d:g}" for d in FEWER)], rows)


def _by_contrast(found: Sequence[Found]) -> str:
    some = [each for each in found if each.diameter in (1.0, 1.5)]
    means = mean_by(some, "setting", "label", "put")
    contrasts = sorted({each.put for each in some}, reverse=True)
    pairs = dict.fromkeys((setting, label) for setting, label, _ in means)
    rows = [
        [str(setting), label, *(f"{means[setting, label, c]:.2f}" for c in contrasts)]
        for setting, label in pairs
    ]
    return markdown_table(["", "", *(f"{c:+.0%}" for c in contrasts)], rows)


def _false(found: Sequence[Found]) -> str:
    """Means, and the worst single lesion; of those from one voxel on, which the truth shows."""
    some = [each for each in found if each.diameter >= 1]
    peaks = mean_by(some, "setting", "label", of="false_peak")
    energies = mean_by(some, "setting", "label", of="false_energy")  # of all lesions of a scan
    worst = {key: max(e.false_peak for e in some if (e.setting, e.label) == key) for key in peaks}
    rows = [
        [str(key[0]), key[1], f"{peaks[key]:.1%}", f"{worst[key]:.0%}", f"{energies[key]:.2%}"]
        for key in peaks
    ]
    return markdown_table(["", "", "largest, mean", "worst lesion", "energy, mean"], rows)


def _real(real: Sequence[Mapping[str, Any]]) -> str:
    methods = list(dict.fromkeys(each["method"] for each in real))
    cells = {
        (each["lesion"], each["setting"], each["method"]): (each["contrast"], each["volume"])
        for each in real
    }
    rows = [
        [*pair, *("{:.2f} / {:.2f}".format(*cells[(*pair, method)]) for method in methods)]
        for pair in dict.fromkeys((lesion, setting) for lesion, setting, _ in cells)
    ]
    return markdown_table(["lesion", "", *methods], rows)


def picture(found: Sequence[Found], examples: Mapping[str, list], path: Path) -> None:
    """Above: contrast by diameter. Below: what that looks like, a row a method."""
    told = [each for each in found if not each.external and not each.auto]
    diameters = sorted({each.diameter for each in told})
    figure = Figure(figsize=(1 + 2.4 * len(TITLES), 3 + 1.2 * len(examples)), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(2.8, 1.2 * len(examples)))
    lines = curves(told)
    axes = above.subplots(1, len(TITLES), sharey=True)
    for (setting, title), axis in zip(TITLES.items(), axes, strict=True):
        _draw(axis, {label: line for (s, label), line in lines.items() if s == setting})
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_xlabel("diameter, voxels of the scan")
    axes[0].set_ylabel("contrast, of the truth's")
    axes[0].legend(fontsize=9, frameon=False, loc="lower right")
    panels = below.subplots(len(examples), len(diameters))
    limits = {"vmin": 0, "vmax": float(np.max(examples["truth"]))}
    for (name, planes), row in zip(examples.items(), panels, strict=True):
        for plane, axis in zip(planes, row, strict=True):
            axis.imshow(np.transpose(plane), cmap="gray", origin="lower", **limits)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
    for diameter, axis in zip(diameters, panels[0], strict=True):
        axis.set_title(f"{diameter:g} slice" + "s" * (diameter != 1), fontsize=9)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")


def _draw(axis: Axes, lines: Mapping[str, Mapping[float, float]]) -> None:
    others = iter(OTHERS)
    for share in SHARES:
        axis.axhline(share, color="#C4C4C4", linewidth=0.8, linestyle=":")
    axis.axhline(1, color="#C4C4C4", linewidth=0.8)
    for label, line in lines.items():
        colour = COLOURS.get(label) or next(others)
        axis.plot(*zip(*line.items(), strict=True), "o-", label=label, color=colour, markersize=3.5)
    axis.set_xscale("log")
    ticks = list(next(iter(lines.values())))
    axis.set_xticks(ticks, [f"{d:g}" for d in ticks], fontsize=8)
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    axis.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
