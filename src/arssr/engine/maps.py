"""Maps whose planes come a few at a time, and the memory that they are in.

Maps are (planes, rows, columns, channels), contiguous: what oneDNN calls channels-last.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def keep(x: Tensor, before: Tensor | None) -> Tensor:
    """A copy of planes, where those of the last time were: what lives long and moved about would
    leave holes in the heap, a third of all the memory.
    """
    return x.clone() if before is None or before.shape != x.shape else before.copy_(x)


class Workspace:
    """Memory that one stage after the other computes in: fresh memory costs more than its use."""

    def __init__(self) -> None:
        self._flat: dict[str, Tensor] = {}

    def take(self, place: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """A tensor, over what was in this place before."""
        size = math.prod(shape)
        if place not in self._flat or self._flat[place].numel() < size:
            self._flat.pop(place, None)
            self._flat[place] = like.new_empty(size)
        return self._flat[place][:size].view(*shape)


class Map:
    """The planes of a map that came last, behind those that are still to be read.

    Maps in the same place of the workspace are in use one after the other. begin: number of the
    first plane. zeros: whether the volume begins and ends with the map: zeros lie beyond.
    """

    def __init__(
        self,
        workspace: Workspace,
        place: str,
        channels: int,
        begin: int,
        zeros: tuple[bool, bool],
    ) -> None:
        self.channels, self.ended = channels, False
        self._workspace, self._place = workspace, place
        self._zero_before, self._zero_after = zeros
        self._start, self._stop = begin - self._zero_before, begin
        self._kept: Tensor | None = None
        self._planes = self._newest = torch.empty(0)

    def open(self, size: tuple[int, int, int], ended: bool, like: Tensor) -> Tensor:
        """Where the next planes go, so many of so many rows and columns; whether they end it."""
        behind, self.ended = self._stop - self._start, ended
        self._stop += size[0]
        shape = (self.ready(1) + 1 - self._start, *size[1:], self.channels)
        self._planes = self._workspace.take(self._place, shape, like)
        self._planes[:behind] = 0 if self._kept is None else self._kept
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
        self._kept = keep(self[before : self._stop], self._kept)
        self._start = before
