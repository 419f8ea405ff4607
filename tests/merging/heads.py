"""A head that is known by construction, for what brings scans together."""

import numpy as np
from scipy import ndimage
from tests.phantoms import anatomy, volume

from arssr.volume import Volume


def head(seed: int = 0) -> Volume:
    """An ellipsoid in air, 2 mm voxels."""
    data = np.pad(ndimage.gaussian_filter(anatomy((36, 40, 34), seed), 0.8), 8)
    return volume(100 * data, np.diag([2.0, 2, 2, 1]))
