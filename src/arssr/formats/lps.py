"""ITK and DICOM call left and posterior positive, NIfTI and this package right and anterior."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

TURNED = np.array([-1.0, -1.0, 1.0])  # what a vector is multiplied by, either way


def lps_to_ras(affine_lps: ArrayLike) -> NDArray[np.float64]:
    """(4, 4) voxel index → LPS mm becomes voxel index → RAS mm; and the other way round."""
    affine = np.array(affine_lps, dtype=np.float64)
    affine[:3] *= TURNED[:, None]
    return affine


ras_to_lps = lps_to_ras  # it is its own inverse


def lps_transform_to_ras(matrix_lps: ArrayLike) -> NDArray[np.float64]:
    """(4, 4) LPS mm → LPS mm becomes RAS mm → RAS mm; and the other way round."""
    matrix = lps_to_ras(matrix_lps)
    matrix[:, :3] *= TURNED
    return matrix
