"""Still pictures: one PNG a person takes in at a glance."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.files import replacing
from arssr.grid import Grid
from arssr.viewing.display import (
    PLANES,
    Detail,
    Plane,
    Window,
    beside,
    canonical,
    content_box,
    detail_side_mm,
    disagreement,
    edges_mm,
    find_detail,
    index_at,
    middle,
    picture,
)
from arssr.volume import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.patheffects import AbstractPathEffect

_BACKGROUND, _INK, _FAINT, _ACCENT = "#101214", "#eceff1", "#98a2a9", "#ffc857"
_COLUMN_INCHES = 2.1
_DPI = 160
_TALLEST = 1.5  # height over width of a panel
_FONT = 8.5
_BESIDE_MM = 10.0
# Differences, from too dark over none to too bright; legible in every kind of colour vision.
_ERROR_COLOURS = ("#bfe6ff", "#2f8fdd", "#101214", "#e8722a", "#ffe2bd")


class _Box(NamedTuple):
    """A rectangle of a plane in mm from the corner edge of the frame's field of view."""

    across: tuple[float, float]
    up: tuple[float, float]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in mm."""
        return self.across[1] - self.across[0], self.up[1] - self.up[0]


class _Column(NamedTuple):
    title: str
    volume: Volume  # beside the frame
    is_error: bool = False


def planes_figure(
    path: Path, columns: Sequence[tuple[str, Volume]], truth: Volume | None = None
) -> Path:
    """A PNG of three orthogonal planes and a detail (rows) of every image (columns).

    With a truth, it is one more column, and so is the error of every image on the truth's grid,
    all on one colour scale. Grey levels are one window for all. An image on other voxels is
    shown as those voxels. The planes go through the middle of the object, but the sagittal one
    runs 10 mm beside it, where a head has more than the fissure between its halves; the detail
    is where the images differ most in the coronal plane (in the axial one, if coronal slices are
    the thick ones). Overwrites. Raises ArSSRError for no columns, a constant image, and a file
    that cannot be written.
    """
    frame, window, shown, reach = _planes_columns(columns, truth)
    reference = next(column.volume for column in shown if column.volume.grid.matches(frame))
    mask = window.object_mask(reference.data)
    at, boxes = list(middle(mask)), [_plane_box(mask, frame, plane) for plane in PLANES]
    at[0] = max(0, at[0] - round(_BESIDE_MM / float(frame.spacing_mm[0])))
    details = [c.volume.data for c in shown if not c.is_error and c.volume.grid.matches(frame)]
    spread = disagreement(details) if len(details) > 1 else reference.data
    side = detail_side_mm(frame)
    zoomed = _along_the_slices([column.volume for column in shown])
    inset = _detail_box(find_detail(spread, mask, frame, zoomed, side, at[zoomed.normal]), frame)

    rows = [*zip(PLANES, boxes, strict=True), (zoomed, inset)]
    heights = [box.size[1] / box.size[0] * _COLUMN_INCHES for _, box in rows]
    figure, axes = _canvas(heights, len(shown), bottom=0.32 if reach else 0.1)
    for row, (plane, box) in enumerate(rows):
        for axis, column in zip(axes[row], shown, strict=True):
            limits = (-reach, reach) if column.is_error else (window.low, window.high)
            _draw(axis, column, plane, box, frame, at, limits)
        first = axes[row][0]
        if row < len(PLANES):
            label_sides(first, plane)
        first.set_ylabel("detail" if row == len(PLANES) else plane.name, color=_FAINT)
    for axis, outlined, column in zip(axes[0], axes[PLANES.index(zoomed)], shown, strict=True):
        axis.set_title(column.title, color=_INK, fontsize=_FONT, pad=5)
        _outline(outlined, inset)
    _scale_bar(axes[len(PLANES) - 1][0], boxes[-1])
    _scale_bar(axes[-1][0], inset)
    if reach:
        _colour_legend(figure, axes[-1][-1], reach)
    return _save(figure, path)


def _along_the_slices(volumes: Sequence[Volume]) -> Plane:
    """The coronal plane, or the axial one where coronal slices are the thickest voxels."""
    coarsest = max(volumes, key=lambda volume: float(volume.grid.spacing_mm.max()))
    coronal = PLANES[1]
    return PLANES[0] if int(np.argmax(coarsest.grid.spacing_mm)) == coronal.normal else coronal


def _planes_columns(
    columns: Sequence[tuple[str, Volume]], truth: Volume | None
) -> tuple[Grid, Window, list[_Column], float]:
    """The frame, the window, what stands in each column, the reach of the error colours (or 0)."""
    if not columns:
        raise ArSSRError("a figure needs at least one image")
    finest = min((v for _, v in columns), key=lambda v: float(v.grid.spacing_mm.prod()))
    reference = canonical(finest if truth is None else truth)
    frame = reference.grid
    shown = [_Column(title, beside(volume, frame)) for title, volume in columns]
    window, reach = Window.fit(reference.data), 0.0
    if truth is not None:
        compared = [column for column in shown if column.volume.grid.matches(frame)]
        shown.append(_Column("truth", reference))
        for title, volume, _ in compared:
            error = volume.data - reference.data
            shown.append(_Column(f"{title} − truth", volume.with_data(error, frame), True))
            inside = window.object_mask(reference.data)
            sample = np.abs(error[inside] if inside.any() else error)
            reach = max(reach, float(np.percentile(sample, 99)), 1e-6 * window.width)
    return frame, window, shown, reach


def _canvas(
    heights: Sequence[float],
    n_columns: int,
    column_inches: float = _COLUMN_INCHES,
    top: float = 0.3,
    bottom: float = 0.1,
) -> "tuple[Figure, NDArray[np.object_]]":
    """A dark figure of tightly packed panels without ticks; no global matplotlib state."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    gap, left, right = 0.05, 0.3, 0.1
    width = left + right + n_columns * column_inches + (n_columns - 1) * gap
    height = top + bottom + sum(heights) + (len(heights) - 1) * gap
    with rc_context({"font.size": _FONT, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(width, height), dpi=_DPI, facecolor=_BACKGROUND)
        axes = figure.subplots(
            len(heights),
            n_columns,
            squeeze=False,
            height_ratios=heights,
            gridspec_kw={
                "left": left / width,
                "right": 1 - right / width,
                "top": 1 - top / height,
                "bottom": bottom / height,
                "wspace": gap / column_inches,
                "hspace": gap * len(heights) / sum(heights),
            },
        )
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[], facecolor="black")
        axis.spines[:].set_visible(False)
    return figure, axes


def _draw(
    axis: "Axes",
    column: _Column,
    plane: Plane,
    box: _Box,
    frame: Grid,
    at: Sequence[int],
    limits: tuple[float, float],
) -> None:
    """The column's plane through the frame's voxel `at`, cut to a box given in mm."""
    mm = (at[plane.normal] + 0.5) * float(frame.spacing_mm[plane.normal])
    index = index_at(column.volume, frame, plane.normal, mm)
    left, right = edges_mm(column.volume, frame, plane.across)
    bottom, top = edges_mm(column.volume, frame, plane.up)
    axis.imshow(
        picture(column.volume.data, plane, index),
        extent=(right, left, bottom, top),  # the far end of `across` is on the viewer's left
        cmap=_error_colours() if column.is_error else "gray",
        vmin=limits[0],
        vmax=limits[1],
        interpolation="antialiased",
        interpolation_stage="data",
    )
    axis.set(xlim=box.across[::-1], ylim=box.up, aspect="equal")


def _plane_box(mask: NDArray[np.bool_], frame: Grid, plane: Plane) -> _Box:
    """Around the object; a tall one gets some air on both sides."""
    spans = content_box(mask)
    spacing = frame.spacing_mm
    across, up = (
        (float(spans[a].start * spacing[a]), float(spans[a].stop * spacing[a]))
        for a in (plane.across, plane.up)
    )
    air = max(0.0, (up[1] - up[0]) / _TALLEST - (across[1] - across[0])) / 2
    return _Box((across[0] - air, across[1] + air), up)


def _detail_box(detail: Detail, frame: Grid) -> _Box:
    half = detail.side_mm / 2
    across, up = (
        (centre - half, centre + half)
        for centre in (
            (detail.centre[a] + 0.5) * float(frame.spacing_mm[a])
            for a in (detail.plane.across, detail.plane.up)
        )
    )
    return _Box(across, up)


def _outline(axis: "Axes", box: _Box) -> None:
    from matplotlib.patches import Rectangle

    corner = (box.across[0], box.up[0])
    axis.add_patch(Rectangle(corner, *box.size, fill=False, edgecolor=_ACCENT, linewidth=0.8))


def label_sides(axis: "Axes", plane: Plane) -> None:
    """The letters of the body at the four sides of a picture of this plane."""
    places = [(0.03, 0.5, plane.left), (0.97, 0.5, plane.right)]
    places += [(0.5, 0.97, plane.top), (0.5, 0.03, plane.bottom)]
    for x, y, text in places:
        axis.text(
            x,
            y,
            text,
            color=_ACCENT,
            fontsize=_FONT - 1.5,
            transform=axis.transAxes,
            path_effects=_halo(),
            ha={0.03: "left", 0.97: "right"}.get(x, "center"),
            va={0.03: "bottom", 0.97: "top"}.get(y, "center"),
        )


def _scale_bar(axis: "Axes", box: _Box) -> None:
    """A round number of millimetres, up to 0.3 of the width."""
    lengths = (100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1)
    mm = next((mm for mm in lengths if mm <= 0.3 * box.size[0]), lengths[-1])
    start = box.across[1] - 0.05 * box.size[0]
    y = box.up[0] + 0.05 * box.size[1]
    axis.plot([start, start - mm], [y, y], color=_INK, linewidth=1.6, path_effects=_halo())
    axis.text(
        start - mm / 2,
        y + 0.015 * box.size[1],
        f"{mm:g} mm",
        color=_INK,
        fontsize=_FONT - 2,
        ha="center",
        va="bottom",
        path_effects=_halo(),
    )


def _halo() -> "list[AbstractPathEffect]":
    """A dark rim that keeps bright lines and letters legible on bright tissue."""
    from matplotlib.patheffects import Normal, Stroke

    return [Stroke(linewidth=2.4, foreground="black", alpha=0.7), Normal()]


def _colour_legend(figure: "Figure", axis: "Axes", reach: float) -> None:
    """A small scale under the last panel."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    legend = axis.inset_axes((0.1, -0.06, 0.8, 0.03))
    scale = ScalarMappable(Normalize(-reach, reach), _error_colours())
    bar = figure.colorbar(scale, cax=legend, orientation="horizontal", ticks=[-reach, 0, reach])
    bar.ax.set_xticklabels([f"−{reach:.3g}", "0", f"+{reach:.3g}"])
    bar.ax.tick_params(labelsize=_FONT - 2.5, colors=_INK, length=0, pad=2)
    bar.outline.set(edgecolor=_FAINT, linewidth=0.5)


def _error_colours() -> "LinearSegmentedColormap":
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("error", _ERROR_COLOURS)


def _save(figure: "Figure", path: Path) -> Path:
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, format="png", facecolor=_BACKGROUND)
    return Path(path)
