"""Line charts as numbers for an SVG: the template draws them, the style sheet colours them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from arssr.grid import Floats
from arssr.viewing.curves import Curve

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
    least = None if y_from is None else math.log10(y_from) if log_y else y_from
    frame = _Frame.around([curve.x for curve in curves.values()], list(values.values()), least)
    if log_y:
        decades = range(math.ceil(frame.y_low), math.floor(frame.y_high) + 1)
        y_ticks = [Tick(frame.y_at(d), f"10{_superscript(d)}") for d in decades]
    else:
        rounds = round_steps(frame.y_low, frame.y_high)
        y_ticks = [Tick(frame.y_at(y), number(y)) for y in rounds]
    marked = [(t, x) for t, x in (marks or {}).items() if frame.x_low <= x <= frame.x_high]
    return Chart(
        title,
        note,
        *labels,
        [Tick(frame.x_at(x), number(x)) for x in round_steps(frame.x_low, frame.x_high)],
        y_ticks,
        {name: frame.path(curve.x, values[name]) for name, curve in curves.items()},
        [Tick(frame.x_at(x), text) for text, x in marked],
    )


class _Frame(NamedTuple):
    """What a chart shows, and where on the page."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    @classmethod
    def around(cls, xs: Sequence[Floats], ys: Sequence[Floats], y_low: float | None) -> "_Frame":
        """All of the curves with a margin, or from `y_low` up."""
        low, high = min(float(y.min()) for y in ys), max(float(y.max()) for y in ys)
        margin = 0.04 * (high - low) or 1.0
        return cls(
            min(float(x.min()) for x in xs),
            max(float(x.max()) for x in xs),
            low - margin if y_low is None else y_low,
            high + margin,
        )

    def x_at(self, x: float) -> float:
        """Where a value lies across the page."""
        share = (x - self.x_low) / ((self.x_high - self.x_low) or 1)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y_at(self, y: float) -> float:
        """Where a value lies down the page."""
        share = (y - self.y_low) / (self.y_high - self.y_low)
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)

    def path(self, x: Floats, y: Floats) -> str:
        """A line with gaps where it would leave the chart below."""
        seen = y >= self.y_low
        starts = seen & ~np.concatenate([[False], seen[:-1]])
        points = [
            f"{'M' if start else 'L'}{self.x_at(float(a))} {self.y_at(float(b))}"
            for a, b, start in zip(x[seen], y[seen], starts[seen], strict=True)
        ]
        return "".join(points)


def round_steps(low: float, high: float, about: int = 5) -> list[float]:
    """About five round numbers between two.

    >>> round_steps(-8, 8)
    [-5.0, 0.0, 5.0]
    >>> round_steps(0, 0.52)
    [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    """
    raw = (high - low) / about
    if not raw > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= 0.7 * raw)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{n * step:.6g}") for n in range(first, last + 1)]


def number(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _superscript(number: int) -> str:
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
