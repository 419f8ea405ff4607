"""The work and memory of encoding a part of a volume, as a stream or in pieces."""

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from arssr.engine.boxes import Box, grown, parts
from arssr.engine.encoding.footprint import footprint
from arssr.engine.encoding.pieces import portions, seen_for
from arssr.engine.encoding.stream import LONGER, Room, stream
from arssr.grid import Shape
from arssr.networks import ImplicitVoxelNetwork
from arssr.networks.parts import Part, convolutions

# Voxels that go through the layers at a time. From 40 000 voxels on oneDNN's convolutions reach
# their best speed; the second number fills a GPU.
PUSHED_VOXELS = {"cpu": 2**16, "cuda": 2**21}
_FEWEST_PLANES = 8  # planes that enter at a time, where memory allows: copies then take little time


class Costs(Protocol):
    """Work and memory of an encoder over a core that is cut into parts."""

    def options(self, axis: int, counts: list[int]) -> Iterator[tuple[int, float, float]]:
        """Choices of: planes computed at a time, numbers in memory, floating-point operations.

        axis: the axis along which one plane follows the other. counts: the number of parts that
        the core is cut into along each axis. The choice with the least work comes first.
        """


def costs_of(network: ImplicitVoxelNetwork, shape: Shape, core: Box) -> Costs:
    """The costs of a network's encoder: as a stream if it has parts, else in pieces."""
    described = network.encoder.parts()
    if described is None:
        return _PieceCosts(network, shape, core)
    return _StreamCosts(network, described, shape, core)


class _StreamCosts:
    """A stream: every layer computes its part of the halo, and no plane is computed twice."""

    def __init__(self, network: ImplicitVoxelNetwork, part: Part, shape: Shape, core: Box) -> None:
        convs = list(convolutions(part))
        self._flops_per_voxel = np.array([2.0 * m.weight.numel() for m in convs])
        radius = network.encoder.radius
        # [axis][parts]: voxels that each convolution computes along the axis, in all parts together
        self._along: list[dict[int, np.ndarray]] = [{}, {}, {}]
        self._halos = radius - np.cumsum([int(m.padding[0]) for m in convs])
        self._shape, self._core, self._middle = shape, core, radius // 2
        stage = stream(part, (0, 1, 2), Room((0, 0, 0), (0, 0, 0)), 1)
        self._carried = stage.carried
        self._working = stage.working + network.config.feature_dim  # the features given last
        self._pushed = PUSHED_VOXELS["cpu" if network.device.type == "cpu" else "cuda"]

    def options(self, axis: int, counts: list[int]) -> Iterator[tuple[int, float, float]]:
        rows, columns = (a for a in range(3) if a != axis)
        area = self._area(counts, rows) * self._area(counts, columns)
        flops, along = self._flops(counts), self._core[axis]
        best = max(_FEWEST_PLANES, math.ceil(self._pushed / area))
        n = along.stop - along.start
        for planes in sorted({min(p, n) for p in (best, 4, 2, 1)}, reverse=True):
            yield planes, (self._carried + self._working * (planes + LONGER)) * area, flops

    def _flops(self, counts: list[int]) -> float:
        """Floating-point operations for the core, cut into so many parts along each axis."""
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
        return float((self._flops_per_voxel * i * j * k).sum())

    def _area(self, counts: list[int], axis: int) -> int:
        """Voxels of the widest part with the halo that the middle layer computes."""
        middle = (
            grown(part, self._middle, self._shape[axis])
            for part in parts(self._core[axis], counts[axis])
        )
        return max(s.stop - s.start for s in middle)


class _PieceCosts:
    """Every piece is computed with its whole halo."""

    def __init__(self, network: ImplicitVoxelNetwork, shape: Shape, core: Box) -> None:
        self._encoder, self._shape, self._core = network.encoder, shape, core
        self._taken, self._given = footprint(network), network.config.feature_dim
        # [axis][parts, planes]: voxels computed along the axis in all, and the most at a time
        self._along: list[dict[tuple[int, int], tuple[int, int]]] = [{}, {}, {}]

    def options(self, axis: int, counts: list[int]) -> Iterator[tuple[int, float, float]]:
        along = self._core[axis]
        planes = math.ceil((along.stop - along.start) / counts[axis])
        while True:
            cuts = [0, 0, 0]
            cuts[axis] = planes
            found = [self._seen(a, count, cuts[a]) for a, count in enumerate(counts)]
            seen, most = (math.prod(n) for n in zip(*found, strict=True))
            numbers = (self._taken.numbers + self._given) * most
            yield planes, numbers, self._taken.flops * seen
            if planes == 1 or counts[axis] > 1:  # parts are pieces already
                return
            planes = math.ceil(planes / 2)

    def _seen(self, axis: int, count: int, planes: int) -> tuple[int, int]:
        """Voxels that pieces along an axis read: all pieces together, and the largest piece.

        planes: the number of planes of a piece within a part; 0: all planes.
        """
        if (count, planes) not in self._along[axis]:
            n = self._shape[axis]
            sizes = [
                seen.stop - seen.start
                for part in parts(self._core[axis], count)
                for piece in portions(part, planes or n, backwards=False)
                for seen in [seen_for(self._encoder, piece, n)]
            ]
            self._along[axis][count, planes] = sum(sizes), max(sizes)
        return self._along[axis][count, planes]
