"""Which features of a volume are computed, in which pieces, and what that takes.

Features are computed by streams (`encoding.stream`): plane by plane along one axis, and
nothing twice. Where the planes of a whole volume are too large for the memory they are cut into
columns. A column's features need a halo of the image, the encoder's radius wide, around it; every
layer computes the part of it that the layers after it read. At the faces of the volume the halo
ends, as the image does, and the zero padding there is the true one. What halos cost is computed
twice, so a layout is a choice of cuts: the least work that the memory allows.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from arssr.engine.boxes import Box, Shape, grown, parts
from arssr.engine.encoding.stream import LONGER, Axes, Room, stream
from arssr.errors import ArSSRError
from arssr.files import bytes_in_words
from arssr.networks import ImplicitVoxelNetwork

# Voxels pushed through the layers at a time: from 40 000 on oneDNN's convolutions are at their
# best, and a GPU is full.
_PUSHED_VOXELS = {"cpu": 2**16, "cuda": 2**21}
_FEWEST_PLANES = 8  # pushed at a time, if there are as many: what is copied besides is then little
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
    parameter = next(network.parameters())
    itemsize, width = parameter.element_size(), network.config.feature_dim
    sizes = [s.stop - s.start for s in core]
    costs = _Costs(network, shape, core)
    pushed = _PUSHED_VOXELS["cpu" if parameter.device.type == "cpu" else "cuda"]

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
            area = costs.area(counts, rows) * costs.area(counts, columns)
            flops = costs.flops(counts)
            best = max(_FEWEST_PLANES, math.ceil(pushed / area))
            for planes in sorted({min(n, sizes[along]) for n in (best, 4, 2, 1)}, reverse=True):
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
                    activations=costs.activations(planes) * area * itemsize,
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


class _Costs:
    """Work and memory of an encoder's layers over parts of a core."""

    def __init__(self, network: ImplicitVoxelNetwork, shape: Shape, core: Box) -> None:
        convs = [m for m in network.encoder.modules() if isinstance(m, nn.Conv3d)]
        self.flops_per_voxel = np.array([2.0 * m.weight.numel() for m in convs])
        halos = network.encoder.radius - np.cumsum([m.padding[0] for m in convs])
        # [axis][parts]: voxels that each convolution computes along it, summed over parts
        self._along: list[dict[int, np.ndarray]] = [{}, {}, {}]
        self._halos, self._shape, self._core = halos, shape, core
        self._middle = network.encoder.radius // 2
        stage = stream(network.encoder, (0, 1, 2), Room((0, 0, 0), (0, 0, 0)), 1)
        self._carried = stage.carried
        self._working = stage.working + network.config.feature_dim  # those given last

    def flops(self, counts: list[int]) -> float:
        """Of the core cut into so many parts along each axis."""
        for axis, count in enumerate(counts):
            if count not in self._along[axis]:
                self._along[axis][count] = sum(
                    (
                        np.minimum(part.stop + self._halos, self._shape[axis])
                        - np.maximum(part.start - self._halos, 0)
                        for part in parts(self._core[axis], count)
                    ),
                    np.zeros(1),
                )
        i, j, k = (self._along[axis][count] for axis, count in enumerate(counts))
        return float((self.flops_per_voxel * i * j * k).sum())

    def area(self, counts: list[int], axis: int) -> int:
        """Voxels of the widest part with its halo, as the middle layer has it."""
        middle = (
            grown(part, self._middle, self._shape[axis])
            for part in parts(self._core[axis], counts[axis])
        )
        return max(s.stop - s.start for s in middle)

    def activations(self, planes: int) -> float:
        """Channels alive at the worst moment while so many planes are pushed, per voxel."""
        return self._carried + self._working * (planes + LONGER)


def _part_counts(n: int) -> list[int]:
    """Counts of parts that differ in the size of the largest."""
    sizes = {math.ceil(n / count): count for count in range(n, 0, -1)}
    return sorted(c for c in sizes.values() if c <= _MOST_PARTS or c == n)
