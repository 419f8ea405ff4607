"""Where headers say that an image lies, and what of that cannot be true."""

from collections.abc import Sequence

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.spatialimages import HeaderDataError
from numpy.typing import ArrayLike

from arssr.errors import ArSSRError
from arssr.grid import Floats, Grid, corner_voxels, spacing_in_words

# Of a box of unit vectors along the axes, at least that: a gantry that tilts by 30° makes 0.87.
_FLAT = 0.3
# From the smallest samples of MR microscopy to more than a person: what lies beyond has the wrong
# unit, for a head in metres, and taken for micrometres, has 0.2 mm and 200 m.
_FIELD_OF_VIEW_MM = (0.5, 3000.0)


def apart_mm(one: ArrayLike, other: ArrayLike, shape: Sequence[int]) -> float:
    """The largest distance between the places that two affines, in mm, give the same voxel."""
    ends = corner_voxels(shape[:3])
    shift = np.subtract(one, other, dtype=np.float64)
    return float(np.linalg.norm(ends @ shift[:3, :3].T + shift[:3, 3], axis=1).max())


def half_a_voxel_mm(affine: ArrayLike) -> float:
    """Half the shortest side of its voxels: places that are not farther apart agree."""
    return float(voxel_sizes(np.asarray(affine)).min()) / 2


def implausible(grid: Grid) -> list[str]:
    """Sentences where the field of view has no size, or the voxels no shape, that is scanned."""
    found = []
    low, high = _FIELD_OF_VIEW_MM
    if not low <= grid.extent_mm.max() <= high:
        found.append(
            f"the field of view is {spacing_in_words(grid.extent_mm)}, with voxels of "
            f"{spacing_in_words(grid.spacing_mm)}: the unit of length in the header is likely wrong"
        )
    if abs(np.linalg.det(grid.affine[:3, :3] / grid.spacing_mm)) < _FLAT:
        found.append("its axes lie almost in one plane: the affine in the header is likely wrong")
    return found


def unlike_sizes(
    affine: ArrayLike, shape: Sequence[int], stated_mm: ArrayLike, axes: str, sizes: str
) -> list[str]:
    """A sentence where the voxel sizes in a header are not those of its axes: by more than half a
    voxel over the field of view. Sizes that are none say nothing.

    affine: in mm; axes, sizes: what the header calls what it is made of, and the sizes.
    """
    used, stated = voxel_sizes(np.asarray(affine)), np.asarray(stated_mm, dtype=np.float64)
    said = np.isfinite(stated) & (stated > 0)
    if not (said & (np.abs(stated - used) * shape > used / 2)).any():
        return []
    return [
        f"the {axes} has voxels of {spacing_in_words(used)}, but {sizes} has "
        f"{spacing_in_words(stated)}; the {axes} is used"
    ]


def require_positive(spacing: Sequence[float], label: str) -> None:
    """Refuse voxel sizes that are negative; those of 0 make an affine singular."""
    if min(spacing) < 0:
        raise ArSSRError(
            f"{label}: its header gives the voxels sizes of {spacing_in_words(spacing)}; they "
            "must be positive"
        )


def in_nifti(header: nib.Nifti1Header, affine: Floats, mm_per_unit: float) -> list[str]:
    """Sentences about what sform, qform and pixdim of a header contradict each other in.

    affine: the one in use, voxel index → RAS+ mm. They contradict where they differ by more than
    half a voxel anywhere in the field of view.
    """
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    shape = header.get_data_shape()[:3]
    if sform <= 0 and qform <= 0:
        return [
            "the header does not say where the scan lies (sform_code and qform_code are 0): its "
            "axes are taken to run to the left, to the front and up, but left and right may be "
            "swapped"
        ]
    if sform <= 0:
        return []
    sizes = np.abs(header["pixdim"][1:4].astype(float)) * mm_per_unit
    found = unlike_sizes(affine, shape, sizes, "sform", "pixdim")
    if qform > 0 and (distance := _to_qform_mm(header, affine, mm_per_unit)) is not None:
        found.append(
            "sform and qform put the scan in different places, "
            f"{f'up to {distance:.3g} mm apart' if np.isfinite(distance) else 'the qform in none'}"
            "; the sform is used"
        )
    return found


def _to_qform_mm(header: nib.Nifti1Header, affine: Floats, mm_per_unit: float) -> float | None:
    """How far it is to where the qform puts the scan, if that is far; infinite if nowhere."""
    try:
        other = header.get_qform()
    except (HeaderDataError, ValueError):  # no quaternion
        return np.inf
    other[:3] *= mm_per_unit
    if not np.isfinite(other).all():
        return np.inf
    distance = apart_mm(affine, other, header.get_data_shape())
    return distance if distance > half_a_voxel_mm(affine) else None
