"""Tables and curves of `rescan.py`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from arssr.evaluation.tables import markdown_table
from arssr.files import replacing

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # as evaluation/plots.py has
CUBIC, TRUTHS, SHARPENED = "#222222", "#9A9A9A", "#56B4E9"
DPI = 110
Rows = Sequence[Mapping[str, Any]]


def tables(rows: Rows) -> str:
    """All tables of the page."""
    return "\n\n".join(
        [
            "### What is added to cubic interpolation",
            _added(rows),
            "### Agreement by band of frequency, mean of the pairs",
            _agreement(rows),
            "### Invented by band, mean of the pairs",
            _invented(rows),
        ]
    )


def _of(rows: Rows, setting: str) -> dict[str, Rows]:
    """By weights, in this setting."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["setting"] == setting:
            found.setdefault(row["weights"], []).append(row)
    return dict(found)


def _settings(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row["setting"] for row in rows))


def _mean(rows: Rows, *keys: str) -> np.ndarray:
    """Over the pairs, of what lies at the end of these keys."""
    values = []
    for row in rows:
        found: Any = row
        for key in keys:
            found = found[key]
        values.append(found)
    return np.mean(values, axis=0)


def _added(rows: Rows) -> str:
    """Every pair and the mean: energy added, invented, error closed."""
    header = ["", "method", "adds", "of it invented", "pair by pair", "closes"]
    lines = []
    for setting in _settings(rows):
        models = _of(rows, setting)
        ways = {model: (own, "model") for model, own in models.items()}
        ways |= {f"cubic, sharpened as {m}": (own, "sharpened") for m, own in models.items()}
        ways["A itself, with its noise"] = (next(iter(models.values())), "truth")
        for name, (own, way) in ways.items():
            energy, whole, closed = (
                f"{_mean(own, 'added', way, key):.0%}" for key in ("energy", "whole", "closed")
            )
            each = ", ".join(f"{row['added'][way]['whole']:.0%}" for row in own)
            lines.append([setting, name, energy, f"**{whole}**", each, closed])
    return markdown_table(header, lines)


def _bands(rows: Rows) -> list[str]:
    n = len(rows[0]["truths"])
    return [f"{low / n:.3g}–{(low + 1) / n:.3g}" for low in range(n)]


def _agreement(rows: Rows) -> str:
    lines = []
    for setting in _settings(rows):
        models = _of(rows, setting)
        own = next(iter(models.values()))
        found = {"truths, A with B": _mean(own, "truths")}
        found |= {"cubic, other's truth": _mean(own, "cubic", "others")}
        found |= {f"{m}, other's truth": _mean(o, "model", "others") for m, o in models.items()}
        found |= {"cubic, A with B": _mean(own, "cubic", "results")}
        found |= {f"{m}, A with B": _mean(o, "model", "results") for m, o in models.items()}
        lines += [[setting, name, *(f"{v:.2f}" for v in line)] for name, line in found.items()]
    return markdown_table(["", "of", *_bands(rows)], lines)


def _invented(rows: Rows) -> str:
    lines = []
    for setting in _settings(rows):
        models = _of(rows, setting)
        found = {m: _mean(own, "added", "model", "invented") for m, own in models.items()}
        found |= {
            f"cubic, sharpened as {m}": _mean(own, "added", "sharpened", "invented")
            for m, own in models.items()
        }
        lines += [[setting, name, *(f"{v:.2f}" for v in line)] for name, line in found.items()]
    return markdown_table(["", "method", *_bands(rows)], lines)


def picture(rows: Rows, path: Path) -> None:
    """Above: agreement with the other's truth; below: what of the added energy is invented."""
    settings = _settings(rows)
    figure = Figure(figsize=(1 + 3.1 * len(settings), 5.6), layout="constrained")
    axes = figure.subplots(2, len(settings), sharex=True, sharey="row")
    for column, setting in zip(axes.T, settings, strict=True):
        models = _of(rows, setting)
        _draw_agreement(column[0], models)
        _draw_invented(column[1], models)
        column[0].set_title(_title(setting), loc="left", fontsize=10)
        column[1].set_xlabel("frequency, of the truth's Nyquist")
    axes[0, 0].set_ylabel("agreement with the other scan")
    axes[1, 0].set_ylabel("invented, of what is added")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    more = axes[1, 0].get_legend_handles_labels()
    handles += [h for h, la in zip(*more, strict=True) if la not in labels]
    labels += [la for la in more[1] if la not in labels]
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")


def _title(setting: str) -> str:
    name, scale = setting.split()
    return f"{name}, {scale.replace('x', '×')}" + "×" * (len(scale) == 1)


def _middles(n: int) -> np.ndarray:
    return (np.arange(n) + 0.5) / n


def _draw_agreement(axis: Axes, models: Mapping[str, Rows]) -> None:
    own = next(iter(models.values()))
    truths = _mean(own, "truths")
    x = _middles(len(truths))
    axis.plot(x, truths, color=TRUTHS, linewidth=3, label="truth A with truth B: the ceiling")
    axis.plot(x, _mean(own, "cubic", "others"), "s-", color=CUBIC, markersize=3, label="cubic")
    for (model, rows), colour in zip(models.items(), COLOURS, strict=False):
        axis.plot(x, _mean(rows, "model", "others"), "o-", color=colour, markersize=3, label=model)
        results = _mean(rows, "model", "results")
        axis.plot(x, results, ":", color=colour, label=f"{model}: result A with result B")
    _tidy(axis, (-0.05, 1.05))


def _draw_invented(axis: Axes, models: Mapping[str, Rows]) -> None:
    for (model, rows), colour in zip(models.items(), COLOURS, strict=False):
        line = _mean(rows, "added", "model", "invented")
        axis.plot(_middles(len(line)), line, "o-", color=colour, markersize=3, label=model)
    model, rows = next(iter(models.items()))
    line = _mean(rows, "added", "sharpened", "invented")
    label = f"cubic, sharpened as {model}"
    axis.plot(_middles(len(line)), line, "--", color=SHARPENED, label=label)
    axis.axhline(0, color="#C4C4C4", linewidth=0.8)
    axis.axhline(1, color="#C4C4C4", linewidth=0.8)
    _tidy(axis, (-1, 1.5))


def _tidy(axis: Axes, limits: tuple[float, float]) -> None:
    axis.set_xlim(0, 1)
    axis.set_ylim(*limits)
    axis.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
