"""Line charts as numbers for an SVG: the template draws them, the style sheet colours them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from arssr.viewing.curves import Curve, Floats

WIDTH, HEIGHT = 420, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 10, 10, 40
_LEAST = float(np.finfo(np.float64).tiny)  # what stands for 0 on a logarithmic axis


class Tick(NamedTuple):
    """A mark on an axis: where, in SVG units, and its text."""

    at: float
    label: str


@dataclass(frozen=True)
class Chart:
    """One chart, ready to be drawn in a box of WIDTH × HEIGHT; paths are SVG path data."""

    title: str
    note: str
    x_label: str
    y_label: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    paths: Mapping[str, str]
    marks: Sequence[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def line_chart(
    title: str,
    note: str,
    labels: tuple[str, str],
    curves: Mapping[str, Curve],
    *,
    log_y: bool = False,
    y_from: float | None = None,
    marks: Mapping[str, float] | None = None,
) -> Chart:
    """A chart of named curves on common axes; `marks` are labelled vertical lines.

    `y_from` is where the y axis begins; what lies lower is cut off. With `log_y` the decades are
    marked.
    """
    values = {
        name: np.log10(np.maximum(curve.y, _LEAST)) if log_y else np.asarray(curve.y, float)
        for name, curve in curves.items()
    }
    x_low = min(float(curve.x.min()) for curve in curves.values())
    x_high = max(float(curve.x.max()) for curve in curves.values())
    y_low = min(float(y.min()) for y in values.values())
    y_high = max(float(y.max()) for y in values.values())
    margin = 0.04 * (y_high - y_low) or 1.0
    y_high += margin
    if y_from is None:
        y_low -= margin
    else:
        y_low = math.log10(y_from) if log_y else y_from

    def x_at(x: float) -> float:
        share = (x - x_low) / ((x_high - x_low) or 1)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y_at(y: float) -> float:
        share = (y - y_low) / (y_high - y_low)
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)

    def path(x: Floats, y: Floats) -> str:
        """A line with gaps where it would leave the chart below."""
        seen = y >= y_low
        starts = seen & ~np.concatenate([[False], seen[:-1]])
        points = [
            f"{'M' if start else 'L'}{x_at(float(a))} {y_at(float(b))}"
            for a, b, start in zip(x[seen], y[seen], starts[seen], strict=True)
        ]
        return "".join(points)

    paths = {name: path(curve.x, values[name]) for name, curve in curves.items()}
    if log_y:
        decades = range(math.ceil(y_low), math.floor(y_high) + 1)
        y_ticks = [Tick(y_at(d), f"10{_superscript(d)}") for d in decades]
    else:
        y_ticks = [Tick(y_at(y), _number(y)) for y in _round_steps(y_low, y_high)]
    return Chart(
        title,
        note,
        *labels,
        [Tick(x_at(x), _number(x)) for x in _round_steps(x_low, x_high)],
        y_ticks,
        paths,
        [Tick(x_at(x), text) for text, x in (marks or {}).items() if x_low <= x <= x_high],
    )


def _round_steps(low: float, high: float, about: int = 5) -> list[float]:
    """About five round numbers between two.

    >>> _round_steps(-8, 8)
    [-5.0, 0.0, 5.0]
    >>> _round_steps(0, 0.52)
    [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    """
    raw = (high - low) / about
    if not raw > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= 0.7 * raw)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{n * step:.6g}") for n in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _superscript(number: int) -> str:
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
