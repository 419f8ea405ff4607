"""What all scans say beyond one guess, and the mean of several images."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from arssr.grid import Floats, Grid
from arssr.merging.brightness import Brightness
from arssr.merging.poses import in_common
from arssr.merging.sampling import coefficients_of
from arssr.merging.seen import Seen
from arssr.merging.stack import Stack, stack_of

# What is no head is left to the first guess: what is darker than this share of the range and than
# so many times the noise, farther than this from what is brighter.
_DARK, _ABOVE_NOISE, _MARGIN_MM = 0.05, 4.0, 4.0


def stacks_on(
    common: Grid,
    seen: Sequence[Seen],
    motions: Sequence[Floats],
    levels: Sequence[Brightness],
    guess: NDArray[np.float32],
    mask: NDArray[np.bool_],
    trusted: Sequence[Floats] = (),
) -> list[Stack]:
    """What each scan says beyond a guess; trusted: weights of slices, by default all alike."""
    device = seen[0].measured.device
    coefficients = coefficients_of(torch.from_numpy(guess).to(device))
    stacks = []
    for number, (each, motion, level) in enumerate(zip(seen, motions, levels, strict=True)):
        grid = each.acquisition.grid
        bright = level.at(in_common(grid, motion))
        weights = trusted[number] if trusted else np.ones(grid.shape[each.interleaves.axis])
        stacks.append(
            stack_of(
                each.measured * torch.from_numpy(bright).to(device),
                each.acquisition,
                each.sharp.grid,
                common,
                motion,
                each.interleaves,
                each.noise * level.factor,
                _along(weights, each.interleaves.axis, grid.shape).to(device),
                coefficients,
                mask,
            )
        )
    return stacks


def mean_of(
    images: Sequence[NDArray[np.float32]], weights: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """The weighted mean of images; weights are more than 0 somewhere everywhere."""
    total = np.zeros_like(images[0])
    weight = np.zeros_like(images[0])
    for image, counts in zip(images, weights, strict=True):
        total += image * counts
        weight += counts
    return np.asarray(total / weight)


def head_mask(image: NDArray[np.float32], noise: float, grid: Grid) -> NDArray[np.bool_]:
    """Where there is something, and next to it."""
    bright = max(_DARK * float(np.percentile(image, 99.95)), _ABOVE_NOISE * noise)
    found = ndimage.uniform_filter(image, 3) > bright
    near = ndimage.distance_transform_edt(~found, grid.spacing_mm) <= _MARGIN_MM
    return np.asarray(ndimage.binary_fill_holes(near))


def _along(weights: Floats, axis: int, shape: Sequence[int]) -> Tensor:
    """(I, J, K) weights of slices."""
    sides = [1, 1, 1]
    sides[axis] = -1
    return torch.from_numpy(weights.astype(np.float32)).view(sides).expand(*shape)
