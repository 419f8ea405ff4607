"""Images as a page has them: on one grid, in their windows, as bytes; and whether they belong
together.
"""

import base64
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.viewing.display import OUTSIDE, Window, field_of_view, on_display, to_bytes
from arssr.volume import Volume

# The images of a page, in characters: opens on a phone, goes through a mail server. Noise does not
# compress: 8 bits take 3.5 to 5.5 in every way of prediction that was tried, and what loses less
# than a slice in three would alter the differences that the page is for.
_BUDGET = 13_500_000
_FEWEST_SLICES = 8
_SAMPLED = 8  # the size of the whole is foretold from every eighth slice

_MOST = 0.5  # of the object: an image that sees less hardly overlaps
# How far bright voxels agree (Dice) where both images see: 0.91 to 0.98 between images of one
# person in shared/data, up to 0.82 between two persons (tests/evaluation/test_shown.py).
_ONE_PERSON = 0.85


@dataclass(frozen=True)
class Shown:
    """An image as the page has it: on the display grid, and how it came there.

    inside: (I, J, K) its field of view; None for all of the grid. Outside, `data` is the darkest
    value of the image.
    """

    name: str
    original: Volume
    data: NDArray[np.float32]
    window: Window
    resampled: str | None = None
    inside: NDArray[np.bool_] | None = None
    is_truth: bool = False

    @property
    def is_blocks(self) -> bool:
        """Whether it is drawn as its own voxels, coarser than the grid's."""
        return self.resampled == "nearest"

    @property
    def object_mask(self) -> NDArray[np.bool_]:
        """Where it is clearly brighter than black."""
        return self.window.object_mask(self.data)

    def as_bytes(self, levels: NDArray[np.float64]) -> NDArray[np.uint8]:
        """The numbers of the nearest levels; OUTSIDE where the image sees nothing."""
        shown = to_bytes(self.data, levels)
        if self.inside is not None:
            shown[~self.inside] = OUTSIDE
        return shown


def show(name: str, volume: Volume, frame: Grid, otherwise: Window) -> Shown:
    """The image on the grid `frame`, in a window of its own, or in another where it is constant.

    Raises ArSSRError where it sees nothing of that grid.
    """
    inside = field_of_view(volume.grid, frame)
    if inside is not None and not inside.any():
        raise ArSSRError(
            f"{name} lies beside the other images: no place is in the field of view of both"
        )
    shown, resampled = on_display(volume, frame)
    try:
        window = Window.fit(volume.data)
    except ArSSRError:
        window = otherwise
    return Shown(name, volume, shown.data, window, resampled, inside)


def seen_by_all(images: Sequence[Shown]) -> NDArray[np.bool_] | None:
    """(I, J, K) what lies in the field of view of every image; None for all of the grid."""
    inside = [image.inside for image in images if image.inside is not None]
    return np.logical_and.reduce(inside) if inside else None


def doubts(images: Sequence[Shown], reference: Shown) -> list[str]:
    """Sentences on images that hardly overlap with the reference, or do not show the same."""
    said = []
    own = reference.object_mask
    for image in images:
        if image is reference or not own.any():
            continue
        both = own if image.inside is None else own & image.inside
        seen = np.count_nonzero(both) / np.count_nonzero(own)
        if seen < _MOST:
            said.append(
                f"{image.name} and {reference.name} hardly overlap: {100 * seen:.0f} % of the "
                f"object in {reference.name} lies in the field of view of {image.name}"
            )
        other = image.object_mask if image.inside is None else image.object_mask & image.inside
        size = np.count_nonzero(both) + np.count_nonzero(other)
        agree = 2 * np.count_nonzero(both & other) / size if size else 1.0
        if agree < _ONE_PERSON:
            said.append(
                f"where both see, what is bright in {image.name} and in {reference.name} agrees "
                f"by {100 * agree:.0f} % (Dice): are they of one person, and in one place?"
            )
    return said


def pack(
    volumes: Sequence[NDArray[np.uint8]], wanted: Iterable[Sequence[int]]
) -> tuple[list[list[int]] | None, list[list[str]]]:
    """Per image its bytes as text: whole, or as three stacks of the slices kept along each axis.

    All slices are kept (None) where that fits the budget; otherwise every n-th, and those wanted.
    """
    sampled = sum(len(_deflated(volume[::_SAMPLED])) for volume in volumes)
    excess = _SAMPLED * sampled / _BUDGET
    if excess <= 1:
        return None, [[_deflated(volume)] for volume in volumes]
    step = math.ceil(3 * excess)
    kept = []
    for axis, n in enumerate(volumes[0].shape):
        chosen = set(range(0, n, max(1, min(step, n // _FEWEST_SLICES))))
        kept.append(sorted(chosen | {int(at[axis]) for at in wanted}))
    stacks = [
        [_deflated(np.moveaxis(np.take(volume, kept[axis], axis), axis, 0)) for axis in range(3)]
        for volume in volumes
    ]
    return kept, stacks


def _deflated(volume: NDArray[np.uint8]) -> str:
    """Differences between neighbours (they compress better than values), deflated, in base64."""
    steps = np.diff(volume.ravel(), prepend=np.uint8(0))
    return base64.b64encode(zlib.compress(steps.tobytes(), 6)).decode("ascii")
