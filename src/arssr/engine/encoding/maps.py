"""Maps whose planes come a few at a time, and the memory that they are in.

Maps are (planes, rows, columns, channels), contiguous: what oneDNN calls channels-last.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


class Queue:
    """Planes that wait, in memory that is taken once: what lives long and is allocated anew now
    and then leaves holes in the heap, a third of all the memory.

    capacity: how many there usually are.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._room: Tensor | None = None
        self._first = self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, x: Tensor) -> None:
        """Copies of planes, behind those that wait."""
        if self._room is None or self._count + len(x) > len(self._room):
            self._grow(x)
        self._first = self._first if self._count else 0
        start, done = self._first + self._count, 0
        for place in self._places(start, len(x)):
            place.copy_(x[done : done + len(place)])
            done += len(place)
        self._count += len(x)

    def take(self, count: int) -> list[Tensor]:
        """The oldest so many: one or two tensors, which hold until planes are put again."""
        found = self._places(self._first, count)
        self._first, self._count = self._first + count, self._count - count
        return found

    def _places(self, start: int, count: int) -> list[Tensor]:
        """Where so many planes lie, in a room whose end is followed by its beginning."""
        if self._room is None or not count:
            return []
        start %= len(self._room)
        until_end = len(self._room) - start
        parts = [self._room[start : start + count], self._room[: max(count - until_end, 0)]]
        return [part for part in parts if len(part)]

    def _grow(self, x: Tensor) -> None:
        waiting = self._places(self._first, self._count)
        size = max(self._capacity, self._count + len(x))
        room = x.new_empty((size, *x.shape[1:]))
        if waiting:
            torch.cat(waiting, out=room[: self._count])
        self._room, self._first = room, 0


class Workspace:
    """Memory that one stage after the other computes in: fresh memory costs more than its use.

    most: planes that are usually wanted at most. What is not used of them costs nothing.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._flat: dict[str, Tensor] = {}

    def take(self, slot: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """A tensor of planes, over what was in this slot before."""
        size = math.prod(shape)
        if slot not in self._flat or self._flat[slot].numel() < size:
            self._flat.pop(slot, None)
            planes = max(shape[0], self._most)
            self._flat[slot] = like.new_empty(planes * math.prod(shape[1:]))
        return self._flat[slot][:size].view(*shape)


class Map:
    """The planes of a map that came last, behind those that are still to be read.

    Maps in the same slot of the workspace are in use one after the other. begin: number of the
    first plane. zeros: whether the volume begins and ends with the map: zeros lie beyond.
    """

    def __init__(
        self,
        workspace: Workspace,
        slot: str,
        channels: int,
        begin: int,
        zeros: tuple[bool, bool],
    ) -> None:
        self.channels, self.ended = channels, False
        self._workspace, self._slot = workspace, slot
        self._zero_before, self._zero_after = zeros
        self._start, self._stop = begin - self._zero_before, begin
        self._kept = Queue(0)
        self._planes = self._newest = torch.empty(0)

    def reserve(self, planes: int) -> None:
        """So many will usually be kept."""
        self._kept = Queue(planes)

    def open(self, size: tuple[int, int, int], ended: bool, like: Tensor) -> Tensor:
        """Where the next planes go, so many of so many rows and columns; whether they end it."""
        behind, self.ended = self._stop - self._start, ended
        self._stop += size[0]
        shape = (self.ready(1) + 1 - self._start, *size[1:], self.channels)
        self._planes = self._workspace.take(self._slot, shape, like)
        kept = self._kept.take(len(self._kept))
        self._planes[:behind] = kept[0] if kept else 0
        self._planes[behind + size[0] :] = 0
        self._newest = self._planes[behind : behind + size[0]]
        return self._newest

    def holds(self, x: Tensor) -> bool:
        """Whether these planes are what was opened last."""
        return x is self._newest

    def ready(self, reach: int) -> int:
        """Number behind the last plane around which so many others can be read."""
        return self._stop - reach + (reach and self.ended and self._zero_after)

    def __getitem__(self, numbers: slice) -> Tensor:
        """Planes by their numbers."""
        return self._planes[numbers.start - self._start : numbers.stop - self._start]

    def forget(self, before: int) -> None:
        """Keep the planes from this number on for the next call, and no other."""
        before = max(before, self._start)
        self._kept.put(self[before : self._stop])
        self._start = before
