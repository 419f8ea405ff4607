"""Figures of an evaluation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from arssr.evaluation.baselines import BASELINES
from arssr.evaluation.metrics import METRICS
from arssr.evaluation.rows import Row
from arssr.evaluation.summary import YARDSTICK, Summary, by_setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Models in colours that colour-blind readers can tell apart (Okabe and Ito), baselines in greys.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_GREYS = dict(zip(BASELINES, ("#C4C4C4", "#A8A8A8", "#222222", "#8A8A8A", "#6A6A6A"), strict=True))
_MARKERS = dict(zip(BASELINES, "v^so*", strict=True))
_DODGE = 0.08  # between methods, where scales are 1 apart: told apart, and each at its scale


def plot(rows: Sequence[Row], metric: str = "psnr") -> "Figure":
    """Above: a metric's mean over volumes against the scale. Below: the difference from cubic.

    A panel for every degradation and noise level. Bars are 95 % bootstrap intervals, dots are
    volumes. The lower half is left out where cubic was not among the methods.
    """
    from matplotlib.figure import Figure

    summaries = [summary for summary in by_setting(rows) if summary.volumes]
    panels = list(dict.fromkeys((summary.degradation, summary.snr) for summary in summaries))
    halves = 2 if any(summary.differences for summary in summaries) else 1
    figure = Figure(figsize=(1.2 + 3.4 * len(panels), 0.9 + 2.6 * halves), layout="constrained")
    axes = figure.subplots(halves, len(panels), sharex="col", sharey="row", squeeze=False)
    styles = _styles(list(dict.fromkeys(summary.method for summary in summaries)))
    for panel, column in zip(panels, axes.T, strict=True):
        own = [summary for summary in summaries if (summary.degradation, summary.snr) == panel]
        scales = list(dict.fromkeys(summary.scale for summary in own))
        noise = "" if panel[1] is None else f", SNR {panel[1]:g}"
        column[0].set_title(panel[0] + noise, loc="left", fontsize=10)
        _draw_means(column[0], own, scales, metric, styles)
        if halves == 2:
            _draw_differences(column[1], own, scales, metric, styles)
        column[-1].set_xticks(range(len(scales)), [s.replace("x", "×") for s in scales])
        column[-1].set_xlim(-0.5, len(scales) - 0.5)
        column[-1].set_xlabel("scale")
    axes[0, 0].set_ylabel(METRICS[metric].label)
    if halves == 2:
        axes[1, 0].set_ylabel(f"{METRICS[metric].label}, minus cubic's")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    columns = min(len(labels), 1 + 2 * len(panels))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=9)
    return figure


def _styles(methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    models = [method for method in methods if method not in BASELINES]
    colours = {model: _COLOURS[i % len(_COLOURS)] for i, model in enumerate(models)} | _GREYS
    return {m: {"color": colours[m], "marker": _MARKERS.get(m, "D")} for m in methods}


def _draw_means(
    axes: "Axes",
    summaries: Sequence[Summary],
    scales: Sequence[str],
    metric: str,
    styles: dict[str, dict[str, Any]],
) -> None:
    for method, style in styles.items():
        means = {s.scale: s.means[metric] for s in summaries if s.method == method}
        label = method
        for isotropic in (True, False):  # no line leads from one kind of scale to the other
            x = [i for i, s in enumerate(scales) if s in means and ("x" not in s) == isotropic]
            y = [means[scales[i]] for i in x]
            axes.plot(x, y, label=label, linewidth=1.4, markersize=4.5, **style)
            label = ""
    _tidy(axes)


def _draw_differences(
    axes: "Axes",
    summaries: Sequence[Summary],
    scales: Sequence[str],
    metric: str,
    styles: dict[str, dict[str, Any]],
) -> None:
    methods = [method for method in styles if method != YARDSTICK]
    reach = min(0.3, _DODGE * (len(methods) - 1) / 2)
    offsets = np.linspace(-reach, reach, len(methods))
    for summary in summaries:
        difference = summary.differences.get(metric)
        if difference is None:
            continue
        style = styles[summary.method]
        x = scales.index(summary.scale) + offsets[methods.index(summary.method)]
        for value in difference.per_volume.values():
            axes.plot(x, value, ".", color=style["color"], alpha=0.4, markersize=4)
        low, high = difference.low, difference.high
        if low is not None and high is not None:
            axes.plot([x, x], [low, high], color=style["color"], linewidth=1.4)
        axes.plot(x, difference.mean, markersize=4.5, **style)
    axes.axhline(0, color=_GREYS[YARDSTICK], linewidth=1)
    _tidy(axes)


def _tidy(axes: "Axes") -> None:
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
