"""Where a result is least sure, as a picture for its report: planes of it, and its half-widths."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from arssr.viewing.display import PLANES, Window, canonical, content_box, middle, picture
from arssr.volume import Volume

_WIDTH_INCHES, _DPI = 9.0, 110
_SHOWN = 99.0  # percent of the object's half-widths that are not shown as the brightest
_CLOSE, _FAR = 0.05, 0.15  # shares of the window: what can be seen, and what changes tissue


@dataclass(frozen=True)
class Sureness:
    """A section of a report: sentences, and a PNG in base64, with what is to be seen in words."""

    sentences: Sequence[str]
    png: str
    seen: str


def sureness(result: Volume, half_widths: Volume, told: Mapping[str, Any]) -> Sureness:
    """The section on half-widths (on the grid of the result), told as the sidecar has them.

    Raises ArSSRError for a constant result.
    """
    image, wide = canonical(result), canonical(half_widths)
    window = Window.fit(image.data)
    mask = window.object_mask(image.data)
    inside = wide.data[mask] if mask.any() else wide.data.ravel()
    most = float(np.percentile(inside, _SHOWN)) or 1.0
    shares = [float((inside < share * window.width).mean()) for share in (_CLOSE, _FAR)]
    sentences = [
        f"{told['in_words'][0].upper()}{told['in_words'][1:]}." if "in_words" in told else "",
        f"Of the object, {100 * shares[0]:.0f} % is known to within ±{100 * _CLOSE:.0f} % of the "
        f"window from black to white, and {100 * (1 - shares[1]):.0f} % is not known to within "
        f"±{100 * _FAR:.0f} %.",
        "Look twice where the picture is bright: there the scan leaves most open.",
    ]
    seen = (
        f"Above the result, below half-widths from 0 (black) to {most:.3g} and more (yellow), in "
        "the units of the image."
    )
    png = _drawn(image, wide, window, most, mask)
    return Sureness([each for each in sentences if each], png, seen)


def _drawn(
    image: Volume, wide: Volume, window: Window, most: float, mask: "np.ndarray[Any, Any]"
) -> str:
    from matplotlib.figure import Figure

    at, box, mm = middle(mask), content_box(mask), image.grid.spacing_mm
    size = [(s.stop - s.start) * float(step) for s, step in zip(box, mm, strict=True)]
    widths = [size[plane.across] for plane in PLANES]
    height = max(size[plane.up] for plane in PLANES) / sum(widths) * _WIDTH_INCHES
    figure = Figure(figsize=(_WIDTH_INCHES, 2 * height), dpi=_DPI, facecolor="black")
    axes = figure.subplots(2, len(PLANES), width_ratios=widths)
    figure.subplots_adjust(0, 0, 1, 1, 0.02, 0.02)
    rows = ((image, "gray", window.low, window.high), (wide, "inferno", 0.0, most))
    for row, (volume, colours, low, high) in zip(axes, rows, strict=True):
        for axis, plane in zip(row, PLANES, strict=True):
            cut = list(box)
            cut[plane.normal] = slice(None)
            shown = picture(volume.data[tuple(cut)], plane, at[plane.normal])
            aspect = float(mm[plane.up] / mm[plane.across])
            axis.imshow(shown, cmap=colours, vmin=low, vmax=high, aspect=aspect)
            axis.set_axis_off()
    content = io.BytesIO()
    figure.savefig(content, format="png", facecolor="black")
    return base64.b64encode(content.getvalue()).decode("ascii")
