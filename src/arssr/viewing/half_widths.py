"""Where a result is least sure, as a picture for its report: planes of it, and its half-widths."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from arssr.consistency import in_percent
from arssr.viewing.display import (
    PLANES,
    Window,
    canonical,
    content_box,
    middle,
    picture,
    slice_in_words,
)
from arssr.viewing.stills import label_sides
from arssr.volume import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH_INCHES, _DPI = 9.0, 150  # at 110 an L looked like an I
_HEAD_INCHES, _BAR_INCHES = 0.25, 0.5  # which slices these are, and what the colours mean
_AIR = 0.08  # of a picture, around it: for the letters
_INK = "#eceff1"
_SHOWN = 99.0  # percent of the object's half-widths that are not shown as the brightest
_CLOSE, _FAR = 0.05, 0.15  # shares of the window: what can be seen, and what changes tissue


@dataclass(frozen=True)
class Sureness:
    """A section of a report: sentences, and a PNG in base64, with what is to be seen in words.

    in_short: sentences for the verdict. centre_ras_mm: where the planes meet.
    """

    sentences: Sequence[str]
    in_short: Sequence[str]
    png: str
    seen: str
    centre_ras_mm: Sequence[float]


def sureness(result: Volume, half_widths: Volume, told: Mapping[str, Any]) -> Sureness:
    """The section on half-widths (on the grid of the result), told as the sidecar has them.

    Raises ArSSRError for a constant result.
    """
    image, wide = canonical(result), canonical(half_widths)
    window = Window.fit(image.data)
    mask = window.object_mask(image.data)
    inside = wide.data[mask] if mask.any() else wide.data.ravel()
    most = float(np.percentile(inside, _SHOWN)) or 1.0
    mean, close, far = float(inside.mean()), _CLOSE * window.width, _FAR * window.width
    seen = (
        f"Above is the result, below are its half-widths from 0 (black) to {most:.3g} and more "
        "(yellow), in the units of the image."
    )
    sentences = [
        f"{told['in_words'][0].upper()}{told['in_words'][1:]}." if "in_words" in told else "",
        f"In the object, without the air around it, H is {mean:.3g} on average.",
        f"It is below {close:.3g}, a twentieth of the window from black to white, in "
        f"{_share(inside < close)} of the object.",
        f"It is above {far:.3g}, three twentieths of that window, in {_share(inside > far)} of "
        "the object.",
        seen,
        "Look twice where the lower picture is yellow: there the scan leaves most open.",
    ]
    in_short = [
        f"With a probability of {100 * told['probability']:.0f} % the truth lies within ±H of the "
        f"result; in the object H is {mean:.3g} on average.",
        f"That is {in_percent(mean / window.width)} of the window from black to white. See “How "
        "sure it is”, below.",
    ]
    at = middle(mask)
    png = _drawn(image, wide, window, most, content_box(mask), at)
    centre = [float(mm) for mm in image.grid.to_world(at)]
    return Sureness([each for each in sentences if each], in_short, png, seen, centre)


def _share(of: "np.ndarray[Any, Any]") -> str:
    return f"{100 * float(of.mean()):.0f} %"


def _drawn(
    image: Volume,
    wide: Volume,
    window: Window,
    most: float,
    box: Sequence[slice],
    at: Sequence[int],
) -> str:
    """Planes through the voxel `at`, cut to a box of voxels."""
    from matplotlib.figure import Figure

    mm = image.grid.spacing_mm
    size = [(s.stop - s.start) * float(step) for s, step in zip(box, mm, strict=True)]
    widths = [size[plane.across] for plane in PLANES]
    row = max(size[plane.up] for plane in PLANES) / sum(widths) * _WIDTH_INCHES
    height = _HEAD_INCHES + 2 * row + _BAR_INCHES
    figure = Figure(figsize=(_WIDTH_INCHES, height), dpi=_DPI, facecolor="black")
    axes = figure.subplots(2, len(PLANES), width_ratios=widths)
    top, bottom = 1 - _HEAD_INCHES / height, _BAR_INCHES / height
    figure.subplots_adjust(0, bottom, 1, top, 0.02, 0.02)
    rows = ((image, "gray", window.low, window.high), (wide, "inferno", 0.0, most))
    for row_axes, (volume, colours, low, high) in zip(axes, rows, strict=True):
        for axis, plane in zip(row_axes, PLANES, strict=True):
            cut = list(box)
            cut[plane.normal] = slice(None)
            shown = picture(volume.data[tuple(cut)], plane, at[plane.normal])
            aspect = float(mm[plane.up] / mm[plane.across])
            axis.imshow(shown, cmap=colours, vmin=low, vmax=high, aspect=aspect)
            axis.use_sticky_edges = False
            axis.margins(_AIR)
            axis.set_axis_off()
            label_sides(axis, plane)
    for axis, plane in zip(axes[0], PLANES, strict=True):
        middle_of = axis.get_position().x0 + axis.get_position().width / 2
        words = slice_in_words(plane, at, image.grid)
        figure.text(
            middle_of, (1 + top) / 2, words, color=_INK, fontsize=8, ha="center", va="center"
        )
    _colour_bar(figure, axes[1][0], height)
    content = io.BytesIO()
    figure.savefig(content, format="png", facecolor="black")
    return base64.b64encode(content.getvalue()).decode("ascii")


def _colour_bar(figure: "Figure", axis: "Axes", height: float) -> None:
    """What the colours of the lower pictures mean, below them."""
    place = figure.add_axes((0.3, 0.3 / height, 0.4, 0.1 / height))
    bar = figure.colorbar(axis.images[0], cax=place, orientation="horizontal", extend="max")
    bar.ax.tick_params(labelsize=8, colors=_INK, length=2, pad=2)
    bar.ax.text(
        -0.03,
        0.5,
        "±H",
        color=_INK,
        fontsize=8,
        ha="right",
        va="center",
        transform=bar.ax.transAxes,
    )
