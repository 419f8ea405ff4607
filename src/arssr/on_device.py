"""Intensities on the device: those of the scan on their way to the network, and its own on their
way back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arssr.engine.transfer import host_tensor, to_device, to_host
from arssr.errors import ArSSRError
from arssr.formats.samples import Encoding, in_file_order, slabs
from arssr.intensity import NOTHING, Normalisation

_CPU = torch.device("cpu")
_TOGETHER = 2**19  # voxels, which stay in a CPU's cache
_INFINITE = "the result has NaN or infinite values"
_BLOCK = 16  # rows and planes that a CPU turns round together: lines of cache
# Of as many bytes as an integer of a file, which may be unsigned: the same bits.
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32}


def samples_on(data: np.ndarray, device: torch.device = _CPU) -> Tensor:
    """An image's samples (I, J, K) on a device; on a CPU its own, not to be changed."""
    return to_device(host_tensor(data if data.flags.writeable else data.copy()), device)


@torch.no_grad()
def normalised(samples: Tensor, normalisation: Normalisation) -> Tensor:
    """What a network is given of samples (I, J, K) float32: a new tensor, on their device.

    The same numbers as `Normalisation.apply` gives, `without_traces`.
    """
    image = torch.empty_like(samples)
    scale = samples.new_full((), normalisation.scale)  # by a number a GPU would not divide exactly
    planes = max(1, _TOGETHER // samples[0].numel())
    for part, of in zip(image.split(planes), samples.split(planes), strict=True):
        torch.sub(of, normalisation.offset, out=part).div_(scale)
        part.masked_fill_(part.abs() < NOTHING, 0)
    return image


@dataclass(frozen=True)
class Finish:
    """What becomes of a slab (I, J, n) of a result, float32 in the units of the image, last.

    floor: nothing lies below it. encoding: how a file stores samples; they are then in its order,
    the first index running fastest. None: float32, the last index running fastest.
    watch: is shown all planes once, in their order, as they are stored, and must leave them alone:
    float32 (I, J, any) on their device.
    """

    floor: float | None = None
    encoding: Encoding | None = None
    watch: Callable[[Tensor], None] | None = None

    def here(self, slab: np.ndarray) -> NDArray[Any]:
        """Of an array in memory, which may be overwritten."""
        if self.floor is not None:
            slab = np.maximum(slab, np.float32(self.floor), out=slab)
        stored = slab
        if self.encoding is not None:
            if not np.isfinite(slab).all():
                raise ArSSRError(_INFINITE)
            stored = in_file_order(self.encoding.encode(slab))
        if self.watch:
            i, j, n = stored.shape
            for planes in slabs((i, j, n)):
                values = torch.from_numpy(stored[..., planes].astype(np.float32))
                self.watch(self._in_units(values))
        return stored

    def leaving(self, slab: Tensor, where_infinite: str = "") -> Callable[[], NDArray[Any]]:
        """Of a tensor, which is overwritten, on its device; what is returned waits for the array.

        That raises ArSSRError, with this sentence if there is one, for NaN and infinite values
        that nobody asked for or no file takes.
        """
        if self.encoding:
            where_infinite = where_infinite or _INFINITE
        told = to_host(torch.isfinite(slab).all()) if where_infinite else None
        if self.floor is not None:
            slab = slab.clamp_min_(self.floor)
        stored = self._in_file_order(slab) if self.encoding else slab.contiguous()
        coming = to_host(stored)
        if self.watch:
            self._show(stored, self.watch)

        def arrived() -> NDArray[Any]:
            if told is not None and not told():
                raise ArSSRError(where_infinite)
            array, encoding = coming(), self.encoding
            if encoding is None:
                return array
            if self._rounds:
                return array.view(encoding.dtype.newbyteorder("="))
            return encoding.encode(array)

        return arrived

    def _show(self, stored: Tensor, watch: Callable[[Tensor], None]) -> None:
        """Have the planes watched that leave a device; of a GPU at once, so that where its memory
        ends none was seen that will come again.
        """
        i, j, n = stored.shape
        parts = [slice(None)] if stored.device.type == "cuda" else slabs((i, j, n))
        for planes in parts:
            values = stored[..., planes]
            if not self._rounds:
                watch(values)
                continue
            if self.encoding and self.encoding.dtype.kind == "u":
                values = values.long() & (2 ** (8 * values.element_size()) - 1)
            watch(self._in_units(values.float()))

    def _in_units(self, values: Tensor) -> Tensor:
        """Of numbers as they are stored, which are overwritten."""
        if self.encoding is None or (self.encoding.slope, self.encoding.inter) == (1, 0):
            return values
        return values.mul_(self.encoding.slope).add_(self.encoding.inter)

    @property
    def _rounds(self) -> bool:
        """Whether samples are stored as integers that a device can make."""
        dtype = self.encoding.dtype if self.encoding else np.dtype(np.float32)
        return dtype.kind in "iu" and dtype.itemsize in _INTEGERS

    def _in_file_order(self, slab: Tensor) -> Tensor:
        """As a file has it; on a CPU block by block, which takes an eighth of the time."""
        rounds, encoding = self._rounds, self.encoding
        dtype = _INTEGERS[encoding.dtype.itemsize] if encoding and rounds else slab.dtype
        i, j, n = slab.shape
        turned = torch.empty((n, j, i), dtype=dtype, device=slab.device).permute(2, 1, 0)
        size = _BLOCK if slab.device.type == "cpu" else max(i, n)
        for rows, to_rows in zip(slab.split(size), turned.split(size), strict=True):
            for block, to in zip(rows.split(size, 2), to_rows.split(size, 2), strict=True):
                to.copy_(_encoded(block, encoding) if encoding and rounds else block)
        return turned


def _encoded(samples: Tensor, encoding: Encoding) -> Tensor:
    """What `Encoding.encode` gives for integers, as int64."""
    stored = samples.double().sub_(encoding.inter)
    stored /= stored.new_full((), encoding.slope)  # by a number a GPU would not divide exactly
    low, high = encoding.limits
    return stored.round_().clamp_(low, high).long()
