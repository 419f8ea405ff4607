"""Air: where there is nothing to correct."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_EMPTY = 0.005  # normalised intensity; the darkest 0.05 % of the image are 0
_REACH = 2  # voxels


def active_voxels(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Voxels (I, J, K) with anything but air within two voxels along every axis.

    Elsewhere interpolation is right and needs no network: an empty neighbourhood stays empty,
    whatever bias a network may have. Around a skull-stripped head this is most of the image; in
    the noise of an unstripped one nothing counts as air.
    """
    brightest = ndimage.maximum_filter(np.abs(image), size=2 * _REACH + 1, mode="nearest")
    return brightest > _EMPTY
