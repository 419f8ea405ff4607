"""Memory that worker processes see too, without a copy.

A shelf is a file without a name (in memory where the system has such, and not in `/dev/shm`,
which containers keep small). Sent to another process it is mapped there as well. It lasts as long
as any process holds a part of it; nothing is left behind, however the processes end.
"""

import mmap
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.reduction import DupFd
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch

from arssr.training.data import Item

_SHELF, _SHELVES = 2**26, 64  # bytes of a shelf, or a part of all images: few enough to stay open
ALIGNED = 64  # bytes, as torch aligns what it allocates itself


class Shelf:
    """So many bytes, shared with every process that this is sent to."""

    def __init__(self, size: int, fd: int | None = None) -> None:
        self.size = size
        self._fd = _new_file(size) if fd is None else fd
        self._bytes = mmap.mmap(self._fd, size)

    def array(self, dtype: type, shape: tuple[int, ...], offset: int = 0) -> np.ndarray:
        """A part of it, which keeps the memory."""
        return np.ndarray(shape, dtype, self._bytes, offset)

    def __del__(self) -> None:
        os.close(self._fd)

    def __reduce__(self) -> tuple[Callable[..., "Shelf"], tuple[Any, ...]]:
        status = os.fstat(self._fd)
        return _opened, ((status.st_dev, status.st_ino), DupFd(self._fd), self.size)


_seen: WeakValueDictionary[tuple[int, int], Shelf] = WeakValueDictionary()


def _opened(key: tuple[int, int], handle: Any, size: int) -> Shelf:
    """The shelf that another process has sent, mapped once however often it comes."""
    fd = handle.detach()
    shelf = _seen.get(key)
    if shelf is None:
        shelf = _seen[key] = Shelf(size, fd)
    else:
        os.close(fd)
    return shelf


def _new_file(size: int) -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("arssr", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd


@dataclass(frozen=True)
class SharedItem(Item):
    """An item on a shelf; sent to another process, it is there without a copy."""

    shelf: Shelf | None = None
    offset: int = 0

    def __reduce__(self) -> tuple[Callable[..., Item], tuple[Any, ...]]:
        return _on_shelf, (self.shelf, self.offset, *_described(self))


def _described(item: Item) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """The shapes of its arrays, and all else."""
    facts = {n: getattr(item, n) for n in ("name", "units", "thick_axes", "noise")}
    return tuple(item.image.shape), item.centres.shape, facts


def _on_shelf(
    shelf: Shelf,
    offset: int,
    shape: tuple[int, ...],
    centres_shape: tuple[int, ...],
    facts: Mapping[str, Any],
) -> SharedItem:
    image = torch.from_numpy(shelf.array(np.float16, shape, offset))
    centres = shelf.array(np.int32, centres_shape, offset + _aligned(image.nbytes))
    return SharedItem(image=image, centres=centres, shelf=shelf, offset=offset, **facts)


class Shelves:
    """Takes items in, one after the other, of about `size` bytes together."""

    def __init__(self, size: float) -> None:
        self._size = max(_SHELF, int(size / _SHELVES))
        self._shelf: Shelf | None = None
        self._used = 0

    def put(self, item: Item) -> SharedItem:
        """A copy of the item on a shelf."""
        size = _aligned(item.image.nbytes) + _aligned(4 * item.centres.size)
        if self._shelf is None or self._used + size > self._shelf.size:
            self._shelf, self._used = Shelf(max(size, self._size)), 0
        shared = _on_shelf(self._shelf, self._used, *_described(item))
        shared.image.copy_(item.image)
        shared.centres[:] = item.centres
        self._used += size
        return shared


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED
