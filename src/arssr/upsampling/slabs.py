"""Results on their way to a file or to memory, slab by slab: values, and half-widths with them."""

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from arssr.formats.samples import Encoding
from arssr.formats.samples import slabs as small_slabs
from arssr.grid import Grid
from arssr.on_device import Finish
from arssr.upsampling.facts import Facts
from arssr.upsampling.uncertainty import HalfWidths
from arssr.volume import Volume

# Of one or two files, by how they store samples: slabs of the result and of its half-widths.
Slabs = Callable[[Sequence[Encoding | None]], Iterator[tuple[NDArray[Any], ...]]]
Watch = Callable[[Tensor], None]


class WatchedSlabs(Protocol):
    """`Slabs` of which the result's are shown to somebody as they are made, see `Finish.watch`."""

    def __call__(
        self, encodings: Sequence[Encoding | None], watch: Watch | None = None
    ) -> Iterator[tuple[NDArray[Any], ...]]: ...


def finishes(
    floor: float | None, encodings: Sequence[Encoding | None], watch: Watch | None
) -> list[Finish]:
    """What becomes of values, and of half-widths, which have no floor and nobody to watch them."""
    first, *others = encodings
    return [Finish(floor, first, watch), *(Finish(None, each) for each in others)]


def finished(slabs: Iterator[NDArray[np.float32]], floor: float | None = None) -> WatchedSlabs:
    """Slabs (outputs, I, J, n) that are in memory already, of any size; for a file they go in
    small ones.
    """

    def taken(
        encodings: Sequence[Encoding | None], watch: Watch | None = None
    ) -> Iterator[tuple[NDArray[Any], ...]]:
        ways = finishes(floor, encodings, watch)
        for slab in slabs:
            i, j, n = slab.shape[1:]
            for planes in small_slabs((i, j, n)) if any(encodings) else [slice(None)]:
                parts = zip(ways, slab, strict=True)
                yield tuple(way.here(each[..., planes]) for way, each in parts)

    return taken


def gathered(slabs: Slabs, half_widths: HalfWidths, facts: Facts) -> Slabs:
    """The same, with what is told of the half-widths put to the facts at the end."""

    def taken(encodings: Sequence[Encoding | None]) -> Iterator[tuple[NDArray[Any], ...]]:
        yield from half_widths.watched(slabs(encodings))
        facts["uncertainty"] = half_widths.describe()

    return taken


def made(make: Callable[[], Volume]) -> Iterator[NDArray[np.float32]]:
    """What `make` makes when it is taken."""
    yield make().data[None]


def constant(frame: Volume, grid: Grid, outputs: int) -> Iterator[NDArray[np.float32]]:
    """A frame in which nothing varies (a dummy, or one that was lost) stays one, surely."""
    plane = np.zeros((outputs, *grid.shape[:2], 1), np.float32)
    plane[0] = frame.data.flat[0]
    return repeat(plane, grid.shape[2])
