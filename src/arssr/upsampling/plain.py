"""What becomes of an image where no network has a say: copied, resampled, or read as the labels
or the probabilities that it holds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from arssr.formats.kind import LABELS, PROBABILITIES
from arssr.grid import SAME_STEP, Grid
from arssr.interpolation import resample_in_air
from arssr.labels import upsample_labels, upsample_probabilities
from arssr.transforms.transform import Transform
from arssr.volume import Volume

COPIED = "copied"
EVENED = "copied, slices evened"
RESAMPLED = "resampled, anti-aliased"
NO_NETWORK = "no network had a part in it"  # to be said of a method


@dataclass(frozen=True)
class Plain:
    """A way without a network: its name, what does it, and how many results' memory it takes."""

    method: str
    make: Callable[[], Volume]
    copies: int = 1


def without_network(image: Volume, grid: Grid, transform: Transform | None = None) -> Plain | None:
    """How the image comes to lie on `grid` without a network; None where it needs one.

    transform: from the space of `grid` to that of the image, where they are not the same.

    Labels and probabilities never need one, nor does a grid whose places (to 1e-3 voxel) the image
    has samples for already, or that is only coarser. Raises ArSSRError for phase.
    """
    image.kind.require_interpolable(image.path or "the image")
    same = None if transform is not None else reordered(image, grid)
    if image.kind.what == LABELS:
        make = partial(upsample_labels, image, grid, transform)
        return Plain("shares of labels" if same is None else COPIED, make, copies=3)
    if same is not None:
        return Plain(COPIED, lambda: same)
    if image.kind.what == PROBABILITIES:
        make = partial(upsample_probabilities, image, grid, transform)
        return Plain("interpolated linearly", make, copies=2)
    if transform is None and not refines(image.grid, grid):
        return Plain(RESAMPLED, partial(resample_in_air, image, grid))
    return None


def refines(source: Grid, grid: Grid) -> bool:
    """Whether a grid asks a network for anything: it is finer somewhere, or coarser nowhere."""
    step = grid.steps_in(source)
    return bool((step < 1 - SAME_STEP).any() or (step <= 1 + SAME_STEP).all())


def reordered(image: Volume, grid: Grid) -> Volume | None:
    """The image's own samples on a grid of the same places, whose axes may be swapped or reversed.

    None where voxels of the grid lie elsewhere, by more than 1e-3 voxel.
    """
    turn = grid.index_map_to(image.grid)[:3, :3]  # [source axis, own axis]
    axes = np.abs(turn).argmax(axis=0).tolist()
    if sorted(axes) != [0, 1, 2]:
        return None
    reversed_axes = [axis for own, axis in enumerate(axes) if turn[axis, own] < 0]
    there = image.grid.flipped(reversed_axes)
    i, j, k = axes
    shape = (there.shape[i], there.shape[j], there.shape[k])
    if not grid.matches(Grid(shape, there.affine[:, [i, j, k, 3]])):
        return None
    samples = np.flip(image.data, tuple(reversed_axes)).transpose(axes)
    return image.with_data(np.ascontiguousarray(samples), grid)
