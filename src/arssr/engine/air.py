"""Air: where there is nothing to correct."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from arssr.engine.boxes import Box, bounding_box, grown

_FLAT = 0.01  # normalised intensity
_REACH = 2  # voxels to each side: a neighbourhood of 5
# Voxels looked at together, which stay in a CPU's cache: of 2^16 to 2^22 this was the fastest at
# 256^3, in one thread 3 to 5 times as fast as either.
_TOGETHER = 2**19


@torch.inference_mode()
def active_voxels(image: Tensor) -> NDArray[np.bool_]:
    """Voxels of an image (I, J, K) whose neighbourhood of 5^3 varies by more than 1 % of the range.

    Elsewhere interpolation is right and needs no network: what is flat stays flat, whatever bias
    a network may have. Around a skull-stripped head this is most of the image; in the noise of an
    unstripped one almost nothing is flat. Computed where the image is.
    """
    planes = max(1, _TOGETHER // image[0].numel())
    active = torch.empty(image.shape, dtype=torch.bool, device=image.device)
    for start in range(0, len(image), planes):
        stop = min(start + planes, len(image))
        torch.gt(_variation(image, start, stop), _FLAT, out=active[start:stop])
    return active.cpu().numpy()


def _variation(image: Tensor, start: int, stop: int) -> Tensor:
    """The highest less the lowest value around each voxel of some planes.

    Voxels follow each other in memory as in a line, from one plane or row to the next in steps of
    their size: a shift along any axis is a shift of the whole line. What it takes in from a
    neighbouring row lies in the border, which repeats the image's outermost voxels.
    """
    first, last = max(start - _REACH, 0), min(stop + _REACH, len(image))
    beyond = (_REACH - (start - first), _REACH - (last - stop))
    bordered = F.pad(image[None, None, first:last], (*[_REACH] * 4, *beyond), mode="replicate")
    steps = bordered[0, 0].stride()
    highest = lowest = bordered.flatten()
    for step in steps:
        highest = _of_five(torch.maximum, highest, step)
        lowest = _of_five(torch.minimum, lowest, step)
    return (highest - lowest).as_strided((stop - start, *image.shape[1:]), steps)


def _of_five(extreme: Callable[[Tensor, Tensor], Tensor], line: Tensor, step: int) -> Tensor:
    """The extreme of each value and the next four, so many places apart."""
    two = extreme(line[:-step], line[step:])
    four = extreme(two[: -2 * step], two[2 * step :])
    return extreme(four[:-step], line[4 * step :])


def read_for(active: NDArray[np.bool_]) -> Box:
    """The least box with all voxels that interpolation reads for what lies nearest to active ones:
    those, and their neighbours.
    """
    i, j, k = (grown(s, 1, n) for s, n in zip(bounding_box(active), active.shape, strict=True))
    return i, j, k
