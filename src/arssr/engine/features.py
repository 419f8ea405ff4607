"""Features of a volume, computed when they are first asked for."""

from collections.abc import Callable, Generator, Iterator

import numpy as np
import torch
from torch import Tensor

from arssr.engine.boxes import Box
from arssr.engine.encoding.encode import encode_box
from arssr.engine.layout import Layout
from arssr.networks import ImplicitVoxelNetwork


class FeatureMap:
    """Features (I, J, K, F) of an image (I, J, K), in the network's dtype, on its device.

    `layout` says whether all features are kept, or those of a window that moves along an axis.
    Voxels outside the layout's core read as zeros.

    condition (C,): constant channels, or None. progress: hears the share of the features that is
    computed, after every few planes.
    """

    def __init__(
        self,
        network: ImplicitVoxelNetwork,
        image: Tensor,
        condition: Tensor | None,
        layout: Layout,
        progress: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.layout, self._progress = layout, progress
        self._network, self._image, self._condition = network, image, condition
        along, rows, columns = (layout.core[a] for a in layout.axes)
        # In this class planes are numbered in the order in which they are computed.
        self._along = self._turned(along)
        self._origin = (rows.start, columns.start)
        extent = (rows.stop - rows.start, columns.stop - columns.start, network.config.feature_dim)
        # The planes that are held, and room for more. One allocation for each portion of planes
        # would leave holes in the memory.
        self._room = torch.empty((0, *extent), dtype=network.dtype, device=network.device)
        self._restart(self._along.start)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of the image."""
        return self.layout.shape

    def require(self, low: int, high: int) -> None:
        """Compute the features of planes `low` to `high` (excluded) along the layout's axis.

        A window forgets the planes before `low`. Whoever reads these planes later makes the map
        compute them again.
        """
        turned = self._turned(slice(low, high))
        low, high = turned.start, turned.stop
        if self.layout.whole:
            low, high = self._along.start, self._along.stop
        low, high = max(low, self._along.start), min(high, self._along.stop)
        if low >= high:
            return
        if low < self._start or (low > self._stop and not self.layout.streams_on):
            self._restart(low)
        self._forget(low)
        while self._stop < high:
            self._append(next(self._portions), high - low)
            self._forget(low)
        if self._stop == self._along.stop:
            self._portions.close()  # else the generator and this map keep each other in memory

    def close(self) -> None:
        """End the computation of a window that nobody reads any more.

        The window and the generator that computes it would keep each other in memory. Features
        that are kept whole stay.
        """
        if not self.layout.whole:
            self._portions.close()

    def __getitem__(self, box: Box) -> Tensor:
        """Features (…, F) of a box of voxels; `require` has made its planes ready."""
        axes = self.layout.axes
        wanted = [box[a] for a in axes]
        wanted[0] = self._turned(wanted[0])
        origin = (self._start, *self._origin)
        inside = [
            slice(max(w.start - o, 0), max(min(w.stop - o, n), 0))
            for w, o, n in zip(wanted, origin, self._held.shape, strict=False)
        ]
        found = self._held[tuple(inside)]
        size = [w.stop - w.start for w in wanted]
        if list(found.shape[:3]) != size:
            whole = found.new_zeros((*size, found.shape[-1]))
            low = [i.start + o - w.start for i, o, w in zip(inside, origin, wanted, strict=True)]
            whole[tuple(slice(a, a + n) for a, n in zip(low, found.shape, strict=False))] = found
            found = whole
        found = found.flip(0) if self.layout.backwards else found
        return found.permute(*np.argsort(axes).tolist(), 3)

    def rows(self, index_ijk: np.ndarray) -> Tensor:
        """Features (P, F) of voxels (P, 3) in the core; `require` has made their planes ready."""
        along, row, column = (index_ijk[:, a] for a in self.layout.axes)
        if self.layout.backwards:
            along = self.shape[self.layout.axis] - 1 - along
        _, rows, columns, width = self._held.shape
        flat = ((along - self._start) * rows + row - self._origin[0]) * columns
        flat += column - self._origin[1]
        index = torch.from_numpy(flat).to(self._held.device)
        return self._held.view(-1, width).index_select(0, index)

    def _turned(self, planes: slice) -> slice:
        """The image's planes numbered as this class numbers them, or the inverse of that."""
        if not self.layout.backwards:
            return planes
        n = self.shape[self.layout.axis]
        return slice(n - planes.stop, n - planes.start)

    @property
    def _held(self) -> Tensor:
        return self._room[self._first : self._first + self._count]

    @property
    def _stop(self) -> int:
        return self._start + self._count

    def _restart(self, low: int) -> None:
        """Begin the computation anew: at plane `low`, or a stream at its first plane."""
        self._first = self._count = 0
        self._start = self._along.start if self.layout.streams_on else low
        self._portions = self._compute(self._start)

    def _append(self, portion: Tensor, wanted: int) -> None:
        """Hold a portion of planes too. wanted: the number of planes that are read together."""
        if self.layout.whole:
            self._room, self._first, self._count = portion, 0, len(portion)
            return
        needed = max(self._count, wanted) + len(portion)
        if needed > len(self._room):
            room = portion.new_empty((needed, *portion.shape[1:]))
            room[: self._count] = self._held
            self._room, self._first = room, 0
        elif self._first + self._count + len(portion) > len(self._room):
            for to, plane in enumerate(self._held):  # one by one: old and new places may overlap
                self._room[to] = plane
            self._first = 0
        self._room[self._first + self._count :][: len(portion)] = portion
        self._count += len(portion)

    def _forget(self, low: int) -> None:
        """Forget the planes before `low`."""
        count = min(max(low - self._start, 0), self._count)
        self._first, self._count = self._first + count, self._count - count
        self._start += count

    def _compute(self, start: int) -> Generator[Tensor, None, None]:
        """Compute the planes from `start` on, in portions."""
        if self.layout.streams_on and not self.layout.whole:
            [column] = self._tiles(start, self._along.stop)
            yield from self._encode(column, 0, 1)
            return
        while start < self._along.stop:
            stop = min(start + self.layout.pass_planes, self._along.stop)
            portion = self._room.new_empty((stop - start, *self._room.shape[1:]))
            tiles = list(self._tiles(start, stop))
            for number, tile in enumerate(tiles):
                _, rows, columns = (
                    slice(tile[a].start - o, tile[a].stop - o)
                    for a, o in zip(self.layout.axes, (0, *self._origin), strict=True)
                )
                filled = 0
                for planes in self._encode(tile, number, len(tiles)):
                    portion[filled : filled + len(planes), rows, columns] = planes
                    filled += len(planes)
            yield portion
            start = stop

    def _tiles(self, start: int, stop: int) -> Iterator[Box]:
        turned = self._turned(slice(start, stop))
        return self.layout.tiles(turned.start, turned.stop)

    def _encode(self, tile: Box, number: int, of: int) -> Iterator[Tensor]:
        """Compute the features of a box, a portion of planes at a time, and report progress."""
        layout, along = self.layout, self._turned(tile[self.layout.axis])
        portions = encode_box(
            self._network,
            self._image,
            self._condition,
            tile,
            layout.axes,
            layout.planes,
            layout.backwards,
        )
        done, all_planes = along.start, self._along.stop - self._along.start
        for portion in portions:
            done += len(portion)
            before = along.start - self._along.start
            ready = before + ((done - along.start) + number * (along.stop - along.start)) / of
            self._progress(ready / all_planes)
            yield portion
