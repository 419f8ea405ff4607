"""Three planes of an image at a glance, as a notebook shows them: pictures in HTML, and facts.

Nothing here needs more than numpy: matplotlib is not installed everywhere, and a grey PNG is a
header and deflated rows. Images are shown along their own axes, in the radiological convention.
"""

import base64
import html
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from arssr.files import bytes_in_words
from arssr.grid import Floats, Grid, shape_in_words, spacing_in_words

if TYPE_CHECKING:
    from arssr.volume import Volume

# The darkest and brightest voxels that may be clipped, in percent: noise and a few vessels.
_CLIPPED_PERCENTILES = (1.0, 99.8)
# What is brighter than this part of the range counts as the object, not as air around it.
OBJECT = 0.12
_ENOUGH_VOXELS = 2**18  # evenly spread ones tell how bright an image is
_PIXELS = 240  # along the longest side of an image: three planes fit beside one another
# Pages with a dark theme dim pictures and frame them.
_AS_IT_IS = "max-width:none;margin:0;padding:0;border-radius:0;background:none;filter:none"
_STRAIGHT = 0.5  # degrees that axes may be off those of the body before it is said


class Plane(NamedTuple):
    """One of the three orthogonal planes of a volume in right, anterior, superior order."""

    name: str
    normal: int  # the axis that the plane stands on
    across: int  # the axis shown from right to left, its far end on the left
    up: int
    left: str
    right: str
    top: str
    bottom: str


PLANES = (
    Plane("axial", 2, 0, 1, left="R", right="L", top="A", bottom="P"),
    Plane("coronal", 1, 0, 2, left="R", right="L", top="S", bottom="I"),
    Plane("sagittal", 0, 1, 2, left="A", right="P", top="S", bottom="I"),
)


def slice_in_words(plane: Plane, at: Sequence[float], grid: Grid) -> str:
    """Which slice of a grid goes through a voxel, such as "axial, S 31.5 mm"."""
    mm = grid.to_world(at)[plane.normal]
    side = ("LR", "PA", "IS")[plane.normal][int(mm >= 0)]
    return f"{plane.name}, {side} {abs(mm):.1f} mm"


class Cut(NamedTuple):
    """A plane through an image, in square pixels from the top left.

    index_ijk: (H, W, 3) voxel coordinates of the middle of each pixel.
    """

    plane: Plane
    index_ijk: Floats
    words: str

    def nearest(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H, W) the voxels of an image (I, J, K) in which the pixels lie."""
        i, j, k = np.moveaxis(np.rint(self.index_ijk).astype(int), -1, 0)
        chosen: NDArray[np.float32] = data[i, j, k]
        return chosen


def three_cuts(grid: Grid) -> list[Cut]:
    """The planes through the middle voxel of an image, along its axes; 240 pixels are its longest
    side.

    >>> for cut in three_cuts(Grid((4, 4, 3), np.diag([1, 1, 5, 1]))):
    ...     print(cut.words, cut.index_ijk.shape)
    axial, S 5.0 mm (64, 64, 3)
    coronal, A 1.0 mm (240, 64, 3)
    sagittal, R 1.0 mm (240, 64, 3)
    """
    turn = io_orientation(grid.affine)
    middle = (np.array(grid.shape) - 1) // 2
    counts = np.maximum(1, np.rint(_PIXELS * grid.extent_mm / grid.extent_mm.max())).astype(int)

    def along(world: int) -> tuple[int, Floats]:
        """The axis of the image that runs along one of the body, and where on it pixels lie."""
        axis = int(np.flatnonzero(turn[:, 0] == world)[0])
        where = (np.arange(counts[axis]) + 0.5) * grid.shape[axis] / counts[axis] - 0.5
        return axis, where[::-1] if turn[axis, 1] > 0 else where

    cuts = []
    for plane in PLANES:
        (column, across), (row, up) = along(plane.across), along(plane.up)
        index = np.empty((len(up), len(across), 3))
        index[:] = middle
        index[..., column], index[..., row] = across, up[:, None]
        cuts.append(Cut(plane, index, slice_in_words(plane, middle.tolist(), grid)))
    return cuts


def brightness(samples: NDArray[np.floating]) -> tuple[float, float]:
    """What to show black and white: the 1st percentile of all samples, the 99.8th of the object.

    They are equal where there is nothing to see.
    """
    low, high = (float(value) for value in np.percentile(samples, _CLIPPED_PERCENTILES))
    bright = samples[samples > low + OBJECT * (high - low)]
    if bright.size:
        high = float(np.percentile(bright, _CLIPPED_PERCENTILES[1]))
    return low, high


def brightness_at_a_glance(data: NDArray[np.float32]) -> tuple[float, float]:
    """`brightness` of an image (I, J, K) of any size, from some of its finite samples; and where
    that shows nothing, the lowest and the highest of them.
    """
    step = max(1, round((data.size / _ENOUGH_VOXELS) ** (1 / 3)))
    some = data[::step, ::step, ::step].astype(np.float64).ravel()
    some = some[np.isfinite(some)]
    if not some.size:
        return 0.0, 0.0
    low, high = brightness(some)
    return (low, high) if high > low else (float(some.min()), float(some.max()))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A grey picture (H, W) as a PNG file, https://www.w3.org/TR/png-3/"""
    height, width = pixels.shape
    rows = np.pad(pixels, ((0, 0), (1, 0))).tobytes()  # a filter of type 0 before each

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pictures(
    cuts: Sequence[Cut], values: Iterable[NDArray[np.floating]], black_white: tuple[float, float]
) -> str:
    """HTML of planes (H, W) side by side, with the letters of their sides below.

    What is not finite is black, and an image that is constant grey.
    """
    low, high = black_white
    figures = []
    for cut, found in zip(cuts, values, strict=True):
        with np.errstate(all="ignore"):
            share = (found.astype(np.float64) - low) / (high - low)
        if not high > low:
            share = np.where(np.isfinite(found), 0.5, np.nan)
        pixels = np.rint(255 * np.clip(np.nan_to_num(share, nan=0.0), 0, 1)).astype(np.uint8)
        source = base64.b64encode(png(pixels)).decode("ascii")
        height, width = pixels.shape
        figures.append(
            '<div style="display:inline-block;margin:0 8px 8px 0;vertical-align:bottom">'
            f'<img alt="{cut.words}" width="{width}" height="{height}" style="{_AS_IT_IS}" '
            f'src="data:image/png;base64,{source}"><div style="display:flex;gap:6px;'
            'justify-content:space-between;font-size:smaller">'
            f"<b>{cut.plane.left}</b> <span>{cut.words}</span> <b>{cut.plane.right}</b>"
            "</div></div>"
        )
    return f"<div>{''.join(figures)}</div>"


def as_html(
    title: str, facts: Mapping[str, object], shown: str = "", remarks: Iterable[str] = ()
) -> str:
    """What a notebook shows of an object: pictures (HTML), facts in a table, and sentences.

    All but the pictures is text, and escaped; facts that are empty are left out.
    """
    rows = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(str(value))}</td></tr>'
        for name, value in facts.items()
        if value
    )
    said = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in remarks)
    return f"<div><b>{html.escape(title)}</b>{shown}<table>{rows}</table>{said}</div>"


def volume_as_html(volume: "Volume") -> str:
    """A volume as a notebook shows it; no voxel is changed, and few are read."""
    cuts, black_white = three_cuts(volume.grid), brightness_at_a_glance(volume.data)
    kind, size = volume.kind, bytes_in_words(volume.data.nbytes)
    facts = {
        **grid_in_words(volume.grid),
        "slices": str(volume.slices or ""),
        "samples": f"{kind.what}{f' ({kind.because})' if kind.because else ''}, "
        f"{size} of float32, to be stored as {volume.storage.written}",
        "grey levels": range_in_words(black_white),
        "remark": volume.remark,
    }
    shown = pictures(cuts, [cut.nearest(volume.data) for cut in cuts], black_white)
    title = f"Volume, {volume.name}" if volume.path else "Volume"
    return as_html(title, facts, shown, volume.warnings)


def grid_in_words(grid: Grid) -> dict[str, str]:
    """Where an image lies: facts for `as_html`.

    >>> grid_in_words(Grid((4, 4, 3), np.diag([1, 1, 5, 1])))
    {'voxels': '4×4×3 of 1×1×5 mm', 'orientation': 'RAS', 'extent': '4×4×15 mm'}
    """
    axes = np.abs(grid.affine[:3, :3]) / grid.spacing_mm
    tilt = float(np.degrees(np.arccos(np.clip(axes.max(axis=0), 0, 1))).max())
    oblique = f", oblique by up to {tilt:.0f}°" if tilt > _STRAIGHT else ""
    return {
        "voxels": f"{shape_in_words(grid.shape)} of {spacing_in_words(grid.spacing_mm)}",
        "orientation": grid.orientation + oblique,
        "extent": spacing_in_words(grid.extent_mm),
    }


def range_in_words(black_white: tuple[float, float]) -> str:
    """What black and white stand for."""
    low, high = black_white
    return f"{low:.4g} is black, {high:.4g} white" if high > low else f"constant, {low:.4g}"
