"""Which features of a volume are computed, in which pieces, and what that takes.

Features are computed by streams (`encoding/stream.py`): plane by plane along one axis, and nothing
twice. Where the planes of a whole volume are too large for the memory they are cut into columns. A
column's features need a halo of the image, the encoder's radius wide, around it; every layer
computes the part of it that the layers after it read. At the faces of the volume the halo ends, as
the image does, and the zero padding there is the true one. What halos cost is computed twice, so a
layout is a choice of cuts: the least work that the memory allows. An encoder that cannot stream
(`encoding/pieces.py`) has halos along the planes as well.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from arssr.engine.boxes import Box, Shape, parts
from arssr.engine.encoding.costs import costs_of
from arssr.engine.encoding.stream import LONGER, Axes
from arssr.errors import ArSSRError
from arssr.files import bytes_in_words
from arssr.networks import ImplicitVoxelNetwork

_MOST_PARTS = 24
# Whole features can be read again for nothing; worth this much more work.
_WHOLE_IS_WORTH = 1.05


class MemoryShortageError(ArSSRError):
    """Nothing fits; `least` are the bytes in which something would."""

    def __init__(self, message: str, least: float = 0.0) -> None:
        super().__init__(message)
        self.least = least


@dataclass(frozen=True)
class Layout:
    """How the features in `core` are computed, and what that takes.

    axis: the one that planes follow each other along, backwards or not. columns: parts of the core
    along the two other axes, in order. passes: parts along `axis` that each start anew.
    whole: all features are kept; otherwise those of a window that moves along `axis`.
    planes: pushed at a time. features, activations: bytes. flops: of the encoder.
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
        """Whether one stream goes through the volume, so that planes come as they are needed."""
        return self.passes == 1 and self.columns == (1, 1)

    def tiles(self, start: int, stop: int) -> Iterator[Box]:
        """The columns' cores from plane `start` to before plane `stop`."""
        _, rows, columns = self.axes
        cuts: list[list[slice]] = [[slice(start, stop)]] * 3
        cuts[rows] = parts(self.core[rows], self.columns[0])
        cuts[columns] = parts(self.core[columns], self.columns[1])
        yield from itertools.product(*cuts)

    @property
    def pass_planes(self) -> int:
        """Planes of the core that one pass computes."""
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

    core: the voxels whose features are wanted. reads: the axis along which they are read plane by
    plane, and whether backwards; with None they have to be kept. needed: planes read together.
    Raises MemoryShortageError where nothing fits.
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
                if whole:
                    held = sizes[along]
                elif layout.streams_on:
                    held = min(needed, sizes[along]) + planes + LONGER
                else:
                    held = min(needed + 2 * layout.pass_planes, 2 * sizes[along])
                yield replace(
                    layout,
                    planes=planes,
                    features=float(held) * sizes[rows] * sizes[columns] * width * itemsize,
                    activations=numbers * itemsize,
                    flops=flops,
                )

    longest = int(np.argmax(sizes))
    options = layouts(longest, False, whole=True)
    uncut = next(options)
    if uncut.features + uncut.activations <= budget:
        return uncut  # nothing is less work, and a small volume takes longer to plan than to read
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


def _part_counts(n: int) -> list[int]:
    """Counts of parts that differ in the size of the largest."""
    sizes = {math.ceil(n / count): count for count in range(n, 0, -1)}
    return sorted(c for c in sizes.values() if c <= _MOST_PARTS or c == n)
