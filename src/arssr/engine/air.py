"""Air: where there is nothing to correct."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from arssr.engine.boxes import Box, bounding_box, grown

_FLAT = 0.01  # normalised intensity
_SIZE = 5  # voxels: two to each side


def active_voxels(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Voxels (I, J, K) whose neighbourhood of 5^3 voxels varies by more than 1 % of the range.

    Elsewhere interpolation is right and needs no network: what is flat stays flat, whatever bias
    a network may have. Around a skull-stripped head this is most of the image; in the noise of an
    unstripped one almost nothing is flat.
    """
    highest = ndimage.maximum_filter(image, size=_SIZE, mode="nearest")
    lowest = ndimage.minimum_filter(image, size=_SIZE, mode="nearest")
    return highest - lowest > _FLAT


def read_for(active: NDArray[np.bool_]) -> Box:
    """The least box with all voxels that interpolation reads for what lies nearest to active ones:
    those, and their neighbours.
    """
    i, j, k = (grown(s, 1, n) for s, n in zip(bounding_box(active), active.shape, strict=True))
    return i, j, k
