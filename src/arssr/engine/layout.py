"""Which features of a volume are computed, in which pieces, and with how much work and memory.

A stream (`encoding/stream.py`) computes features plane by plane along one axis, and computes
nothing twice. Where the planes of a whole volume are too large for the memory, the volume is cut
into columns. The features of a column depend on a halo of the image around the column, as wide as
the encoder's radius; every layer computes the part of the halo that the later layers read. At the
faces of the volume the halo ends where the image ends, and the layers pad with zeros there as they
do over the whole volume. Neighbouring columns both compute the halos between them. So a layout is a
choice of cuts: the least work that fits into the memory. An encoder that cannot stream
(`encoding/pieces.py`) has halos along the planes too.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from arssr.engine.boxes import Box, parts
from arssr.engine.encoding.costs import costs_of
from arssr.engine.encoding.stream import LONGER, Axes
from arssr.errors import ArSSRError
from arssr.files import bytes_in_words
from arssr.grid import Shape
from arssr.networks import ImplicitVoxelNetwork

_MOST_PARTS = 24
# Features that are kept whole can be read again without work. That is worth this much more work.
_WHOLE_IS_WORTH = 1.05


class MemoryShortageError(ArSSRError):
    """No layout fits into the memory; `least`: the bytes that the smallest layout takes."""

    def __init__(self, message: str, least: float = 0.0) -> None:
        super().__init__(message)
        self.least = least


@dataclass(frozen=True)
class Layout:
    """How the features in `core` are computed, and how much memory and work that takes.

    axis: the axis along which one plane follows the other; backwards: from the last plane to the
    first. columns: numbers of parts that the core is cut into along the two other axes, in order.
    passes: number of parts along `axis`; the stream begins anew in each of them.
    whole: all features are kept; otherwise those of a window that moves along `axis`.
    planes: the number of planes that enter the encoder at a time. features, activations: bytes.
    flops: floating-point operations of the encoder.
    """

    shape: Shape
    core: Box
    axis: int
    backwards: bool
    columns: tuple[int, int]
    passes: int
    whole: bool
    planes: int
    features: float
    activations: float
    flops: float

    @property
    def axes(self) -> Axes:
        """The volume's axes in the order of planes, rows, columns."""
        rows, columns = (axis for axis in range(3) if axis != self.axis)
        return self.axis, rows, columns

    @property
    def streams_on(self) -> bool:
        """Whether a single stream computes all features, so that a window can follow it."""
        return self.passes == 1 and self.columns == (1, 1)

    def tiles(self, start: int, stop: int) -> Iterator[Box]:
        """The columns' boxes, from plane `start` to plane `stop` (excluded)."""
        _, rows, columns = self.axes
        cuts: list[list[slice]] = [[slice(start, stop)]] * 3
        cuts[rows] = parts(self.core[rows], self.columns[0])
        cuts[columns] = parts(self.core[columns], self.columns[1])
        yield from itertools.product(*cuts)

    @property
    def pass_planes(self) -> int:
        """The number of planes that one pass computes."""
        along = self.core[self.axis]
        return max(1, math.ceil((along.stop - along.start) / self.passes))


def plan_features(
    network: ImplicitVoxelNetwork,
    shape: Shape,
    core: Box,
    budget: float,
    reads: tuple[int, bool] | None = None,
    needed: int = 1,
) -> Layout:
    """The layout with the least work that fits into `budget` bytes.

    core: the voxels whose features are wanted. reads: the axis along which the reader takes the
    features plane by plane, and whether it takes them backwards; None: all features must be kept.
    needed: the number of planes that the reader takes together.
    Raises MemoryShortageError where no layout fits.
    """
    itemsize, width = network.dtype.itemsize, network.config.feature_dim
    sizes = [s.stop - s.start for s in core]
    costs = costs_of(network, shape, core)

    def layouts(along: int, backwards: bool, whole: bool) -> Iterator[Layout]:
        plan = Layout(shape, core, along, backwards, (1, 1), 1, whole, 1, 0, 0, 0)
        _, rows, columns = plan.axes
        passes = [1] if whole else _part_counts(sizes[along])
        for p, a, b in itertools.product(
            passes, _part_counts(sizes[rows]), _part_counts(sizes[columns])
        ):
            counts = [1, 1, 1]
            counts[along], counts[rows], counts[columns] = p, a, b
            layout = replace(plan, columns=(a, b), passes=p)
            if not whole and p == 1 and not layout.streams_on:
                continue
            for planes, numbers, flops in costs.options(along, counts):
                layout = replace(layout, planes=planes, activations=numbers * itemsize, flops=flops)
                held = float(_held_planes(layout, needed))
                plane = sizes[rows] * sizes[columns] * width * itemsize
                yield replace(layout, features=held * plane)

    longest = int(np.argmax(sizes))
    options = layouts(longest, False, whole=True)
    uncut = next(options)
    if uncut.features + uncut.activations <= budget:
        return uncut  # no cut is less work, and planning a small volume takes longer than reading
    choice = [uncut, *options]
    if reads is not None:
        choice += layouts(*reads, whole=False)
    fitting = [o for o in choice if o.features + o.activations <= budget]
    if not fitting:
        least = min(o.features + o.activations for o in choice)
        raise MemoryShortageError(
            f"the memory budget leaves {bytes_in_words(max(budget, 0))} for features and "
            f"activations and this network needs {bytes_in_words(least)}; give it more memory, or "
            "use a smaller model",
            least,
        )
    return min(fitting, key=lambda o: (o.flops / (_WHOLE_IS_WORTH if o.whole else 1), -o.planes))


def _held_planes(layout: Layout, needed: int) -> int:
    """The number of planes whose features are in memory at a time."""
    along = layout.core[layout.axis]
    count = along.stop - along.start
    if layout.whole:
        return count
    if layout.streams_on:
        return min(needed, count) + layout.planes + LONGER
    return min(needed + 2 * layout.pass_planes, 2 * count)


def _part_counts(n: int) -> list[int]:
    """Numbers of parts of n voxels; of those with the same largest part only the smallest."""
    sizes = {math.ceil(n / count): count for count in range(n, 0, -1)}
    return sorted(c for c in sizes.values() if c <= _MOST_PARTS or c == n)
