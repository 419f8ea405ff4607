"""Samples between a file and memory: float32 here, whatever the file likes there, slab by slab so
that neither way needs a second copy of a large image.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
from numpy.typing import ArrayLike, NDArray

from arssr.errors import ArSSRError
from arssr.files import bytes_in_words
from arssr.formats.opened import damage_in_words
from arssr.grid import Shape, shape_in_words

SLAB_VOXELS = 2**22  # of a large image done at a time
_LONGEST_AXIS = 2**31
_BLOCK = 16  # rows and planes: lines of cache
_LARGE = 2**28  # bytes; below, memory is not even asked for


def slabs(shape: Shape) -> Iterator[slice]:
    """Slices along k that together cover it, each of about four million voxels."""
    thickness = max(1, SLAB_VOXELS // (shape[0] * shape[1]))
    return (slice(k, min(k + thickness, shape[2])) for k in range(0, shape[2], thickness))


def require_3d(shape: Sequence[int], label: str) -> None:
    """Refuse, in words, what has no three axes of voxels."""
    size = shape_in_words(shape)
    if len(shape) < 3:
        raise ArSSRError(f"{label}: this is a {len(shape)}D image ({size}); 3D is needed")
    if min(shape) < 1:
        raise ArSSRError(f"{label}: there are no voxels ({size})")
    if max(shape) > _LONGEST_AXIS:
        raise ArSSRError(f"{label}: no image is that large ({size})")


def require_one_value(shape: Sequence[int], label: str) -> None:
    """Refuse, in words, what is neither one 3D image nor several along a fourth axis."""
    if any(n != 1 for n in shape[4:]):
        size = shape_in_words(shape)
        raise ArSSRError(
            f"{label}: this is a {len(shape)}D image ({size}) of several values per voxel; give "
            "one of its channels"
        )


def require_one_channel(count: int, label: str) -> None:
    """Refuse, in words, colours and vectors."""
    if count != 1:
        raise ArSSRError(
            f"{label}: each voxel holds {count} values (colours or a vector), not one intensity; "
            "give one channel"
        )


def frame_in_words(label: str, frame: int, frames: int) -> str:
    """What to call one of several frames in a sentence; the only one goes by the label."""
    return f"{label}, frame {frame + 1} of {frames}" if frames > 1 else label


def gather(parts: Iterable[tuple[slice, ArrayLike]], shape: Shape, label: str) -> NDArray[Any]:
    """(I, J, K) float32, C-contiguous, from its slabs along k, in the units of the image.

    Raises ArSSRError for NaN and infinite values, where the parts cannot be read, and where the
    samples do not fit in memory.
    """
    size = 4 * math.prod(shape)
    if size > _LARGE and size > psutil.virtual_memory().available:
        raise ArSSRError(
            f"{label}: its samples take {bytes_in_words(size)} and do not fit in memory"
        )
    with damage_in_words(
        f"{label}: the {bytes_in_words(size)} of samples cannot be read: the file is cut short or "
        "damaged, or they do not fit in memory"
    ):
        data = np.empty(shape, dtype=np.float32)
        for slab, part in parts:
            with np.errstate(over="ignore", invalid="ignore"):
                data[..., slab] = part
            if not np.isfinite(data[..., slab]).all():
                raise ArSSRError(
                    f"{label}: there are NaN or infinite values; replace them first, for "
                    "example with numpy.nan_to_num"
                )
    return data


def too_many(count: int, shape: Shape, dtype: np.dtype[Any]) -> list[str]:
    """A sentence where so many bytes lie behind the samples that they may be samples themselves,
    and size or type in the header are wrong: those of a plane, or more.
    """
    if count < shape[0] * shape[1] * dtype.itemsize:
        return []
    return [
        f"at least {bytes_in_words(count)} lie behind the samples that the header tells of; its "
        "size or type may be wrong"
    ]


@dataclass(frozen=True)
class Encoding:
    """How a file stores samples: value = stored * slope + inter, slope 1 and inter 0 for floats."""

    dtype: np.dtype[Any]
    slope: float = 1.0
    inter: float = 0.0

    def encode(self, samples: NDArray[np.float32]) -> NDArray[Any]:
        """The samples as a file stores them: for integer types the nearest ones of these values,
        rounded, and clipped to the type's range.
        """
        if self.dtype.kind == "f":
            return samples.astype(self.dtype, copy=False)
        stored = samples.astype(np.float64)
        stored -= self.inter
        stored /= self.slope
        low, high = self.limits
        return np.clip(np.rint(stored, out=stored), low, high, out=stored).astype(self.dtype)

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the greatest value of an integer type."""
        limits = np.iinfo(self.dtype)
        highest = float(limits.max)
        if int(highest) > limits.max:  # 64-bit types end between two doubles
            highest = np.nextafter(highest, 0)
        return float(limits.min), highest


def in_file_order(stored: NDArray[Any]) -> NDArray[Any]:
    """A copy of (I, J, n), the first index running fastest.

    Block by block: at once, far apart in memory, it takes 8 times as long.
    """
    copy = np.empty(stored.shape, stored.dtype, order="F")
    if stored.flags.f_contiguous:
        copy[:] = stored
        return copy
    for i in range(0, stored.shape[0], _BLOCK):
        for k in range(0, stored.shape[2], _BLOCK):
            block = np.s_[i : i + _BLOCK, :, k : k + _BLOCK]
            copy[block] = stored[block]
    return copy
