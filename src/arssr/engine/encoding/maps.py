"""Maps whose planes come a few at a time, and the memory of these planes.

Maps are (planes, rows, columns, channels), contiguous: what oneDNN calls channels-last.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


class Queue:
    """Planes that wait, the oldest first.

    The memory is allocated once. Tensors that live long and are allocated again and again leave
    holes in the heap, up to a third of all memory.

    capacity: the number of planes that usually wait.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._room: Tensor | None = None
        self._first = self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, x: Tensor) -> None:
        """Copy planes to the end of the queue."""
        if self._room is None or self._count + len(x) > len(self._room):
            self._grow(x)
        self._first = self._first if self._count else 0
        start, done = self._first + self._count, 0
        for place in self._places(start, len(x)):
            place.copy_(x[done : done + len(place)])
            done += len(place)
        self._count += len(x)

    def take(self, count: int) -> list[Tensor]:
        """Take the oldest `count` planes out, as one or two tensors, valid until the next `put`."""
        found = self._places(self._first, count)
        self._first, self._count = self._first + count, self._count - count
        return found

    def _places(self, start: int, count: int) -> list[Tensor]:
        """The memory of `count` planes from `start` on; the room's end continues at its start."""
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
    """Memory that the stages of a stream use one after the other.

    Fresh memory costs more time than the computation that writes to it.

    most: the number of planes to allocate. Planes that nobody writes to cost nothing.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._flat: dict[str, Tensor] = {}

    def take(self, slot: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """A tensor of planes. It overwrites the tensor that had this slot before."""
        size = math.prod(shape)
        if slot not in self._flat or self._flat[slot].numel() < size:
            self._flat.pop(slot, None)
            planes = max(shape[0], self._most)
            self._flat[slot] = like.new_empty(planes * math.prod(shape[1:]))
        return self._flat[slot][:size].view(*shape)


class Map:
    """The newest planes of a map, after older planes that layers have still to read.

    Planes have numbers, which count from the first plane of the stage's input. Maps in the same
    slot of the workspace are in use one after the other.

    begin: the number of the map's first plane. zeros: whether the layer that reads the map pads it
    with a plane of zeros, before the first plane and after the last one.
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
        """Make room for the planes that are usually kept from call to call."""
        self._kept = Queue(planes)

    def open(self, size: tuple[int, int, int], ended: bool, like: Tensor) -> Tensor:
        """The memory (planes, rows, columns, channels) for the map's next planes.

        size: planes, rows and columns. ended: whether the map ends with these planes. like: a
        tensor of the same dtype, on the same device.
        """
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
        """Whether `x` is the tensor that `open` returned last."""
        return x is self._newest

    def ready(self, reach: int) -> int:
        """One past the last plane that has `reach` planes on both sides. reach: 0 or 1."""
        if reach and self.ended and self._zero_after:
            return self._stop  # the plane of zeros is the last one's neighbour
        return self._stop - reach

    def __getitem__(self, numbers: slice) -> Tensor:
        """The planes with these numbers."""
        return self._planes[numbers.start - self._start : numbers.stop - self._start]

    def forget(self, before: int) -> None:
        """Keep the planes from number `before` on for the next call, and no older ones."""
        before = max(before, self._start)
        self._kept.put(self[before : self._stop])
        self._start = before
