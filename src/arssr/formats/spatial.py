"""Images as nibabel gives them: samples in some array, an affine, perhaps a NIfTI header."""

import logging
from collections.abc import Iterator
from typing import IO, Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.formats import place, units
from arssr.formats.opened import Opened
from arssr.formats.samples import (
    frame_in_words,
    gather,
    require_3d,
    require_one_value,
    slabs,
    too_many,
)
from arssr.formats.storage import Storage
from arssr.formats.streams import TRAILER
from arssr.grid import Grid, Shape

# nibabel tells what it mends and refuses on standard error; readers tell what of it matters.
UNHEARD = logging.Logger("nibabel, unheard")
UNHEARD.addHandler(logging.NullHandler())


def open_spatial(
    samples: Any,
    affine: NDArray[Any] | None,
    header: nib.Nifti1Header | None,
    label: str,
    stream: IO[bytes] | None = None,
) -> Opened:
    """An image whose samples are read when they are asked for.

    samples: (I, J, K) or (I, J, K, frames), an array or a nibabel proxy of one; with axes of
        length 1 behind, if any.
    affine: voxel index → RAS+ in the units of the header, millimetres without one.
    stream: what the samples come from, if it is still to be read and closed.

    Raises ArSSRError, beginning with the label, for what has no 3D grid: too few axes, a missing
    or singular affine; `Opened.read` for samples that are no intensities.
    """
    shape = tuple(map(int, samples.shape))
    dtype = np.dtype(getattr(samples, "dtype", np.float32))
    require_3d(shape, label)
    three: Shape = (shape[0], shape[1], shape[2])
    grid = _grid(three, affine, header, label)
    stored_as: np.dtype[Any] | None = dtype.newbyteorder("=")
    slope, inter = getattr(samples, "slope", 1), getattr(samples, "inter", 0)
    if np.ndim(slope) or np.ndim(inter):  # one for each slice, as Philips PAR files have
        stored_as, slope, inter = None, 1, 0
    kept = None if header is None else header.copy()

    frames = shape[3] if len(shape) > 3 and set(shape[4:]) <= {1} else 1
    warnings: list[str] = []
    if header is not None:
        warnings += place.in_nifti(header, grid.affine, units.mm_per_unit(header))

    def read(frame: int) -> NDArray[np.float32]:
        _require_intensities(dtype, label)
        require_one_value(shape, label)
        return gather(parts(frame), three, frame_in_words(label, frame, frames))

    def parts(frame: int) -> Iterator[tuple[slice, NDArray[Any]]]:
        at = ((frame,) + (0,) * len(shape))[: len(shape) - 3]
        for k in slabs(three):
            yield k, samples[(slice(None), slice(None), k, *at)]
        if stream and frame == frames - 1:
            left = len(stream.read(TRAILER))  # the check sum of what is compressed comes last
            if header is not None:  # other formats say more behind the samples
                found = too_many(left, three, dtype)
                warnings.extend(each for each in found if each not in warnings)

    return Opened(
        grid,
        read,
        frames,
        storage=Storage(stored_as, float(slope), float(inter), kept),
        close=stream.close if stream else lambda: None,
        warnings=warnings,
    )


def _grid(
    shape: Shape, affine: NDArray[Any] | None, header: nib.Nifti1Header | None, label: str
) -> Grid:
    """Where the image lies, in millimetres."""
    if affine is None:
        raise ArSSRError(f"{label}: there is no affine, so no place in space")
    affine = np.array(affine, dtype=np.float64)
    affine[:3] *= units.mm_per_unit(header)
    try:
        return Grid(shape, affine)
    except ArSSRError as error:
        raise ArSSRError(f"{label}: {error}") from error


def _require_intensities(dtype: np.dtype[Any], label: str) -> None:
    if dtype.kind == "c":
        raise ArSSRError(f"{label}: the samples are complex; give the magnitude image instead")
    if dtype.kind in "OSUMm":
        raise ArSSRError(f"{label}: the samples are no numbers ({dtype})")
    if dtype.kind not in "iuf":
        raise ArSSRError(
            f"{label}: the samples are colours (RGB), not intensities; give one channel"
        )
