"""Images as nibabel gives them: samples in some array, an affine, perhaps a NIfTI header."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.formats import units
from arssr.formats.opened import Opened
from arssr.formats.samples import Shape, gather, slabs
from arssr.grid import Grid


def open_spatial(
    samples: Any, affine: NDArray[Any] | None, header: nib.Nifti1Header | None, label: str
) -> Opened:
    """An image whose samples are read when they are asked for.

    samples: (I, J, K) or (I, J, K, frames), an array or a nibabel proxy of one; with axes of
        length 1 behind, if any.
    affine: voxel index → RAS+ in the units of the header, millimetres without one.

    Raises ArSSRError, beginning with the label, for what is not real 3D images, and for a missing
    or singular affine.
    """
    shape = tuple(map(int, samples.shape))
    dtype = np.dtype(getattr(samples, "dtype", np.float32))
    _check_samples(shape, dtype, label)
    if affine is None:
        raise ArSSRError(f"{label}: the image has no affine, so no place in space.")
    affine = np.array(affine, dtype=np.float64)
    affine[:3] *= units.mm_per_unit(header)
    three: Shape = (shape[0], shape[1], shape[2])
    try:
        grid = Grid(three, affine)
    except ArSSRError as error:
        raise ArSSRError(f"{label}: {error}") from error
    storage: np.dtype[Any] | None = dtype.newbyteorder("=")
    slope, inter = getattr(samples, "slope", 1), getattr(samples, "inter", 0)
    if np.ndim(slope) or np.ndim(inter):  # one for each slice, as Philips PAR files have
        storage, slope, inter = None, 1, 0

    def read(frame: int) -> NDArray[np.float32]:
        at = ((frame,) + (0,) * len(shape))[: len(shape) - 3]
        parts = ((k, samples[(slice(None), slice(None), k, *at)]) for k in slabs(three))
        return gather(parts, three, label)

    frames = shape[3] if len(shape) > 3 else 1
    return Opened(
        grid,
        read,
        frames,
        repetition_s=units.repetition_s(header) if frames > 1 else None,
        storage=storage,
        slope=float(slope),
        inter=float(inter),
        header=None if header is None else header.copy(),
    )


def _check_samples(shape: tuple[int, ...], dtype: np.dtype[Any], label: str) -> None:
    """Refuse, in words, what is not real 3D images."""
    size = "×".join(str(n) for n in shape)
    if dtype.kind == "c":
        raise ArSSRError(f"{label}: the samples are complex; give the magnitude image instead.")
    if dtype.kind not in "iuf":
        raise ArSSRError(
            f"{label}: the samples are colours (RGB), not intensities; give one channel."
        )
    if len(shape) < 3:
        raise ArSSRError(f"{label}: this is a {len(shape)}D image ({size}); 3D is needed.")
    if 0 in shape:
        raise ArSSRError(f"{label}: the image has no voxels ({size}).")
    if any(n != 1 for n in shape[4:]):
        raise ArSSRError(
            f"{label}: this is a {len(shape)}D image ({size}) of several values per voxel; give "
            "one of its channels."
        )
