"""Everything that reading a feature map on a lattice needs, sent to the device once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from arssr.engine.boxes import Box
from arssr.engine.decoding.taps import Features, Taps, nearest_voxel
from arssr.engine.transfer import to_device
from arssr.networks import ImplicitVoxelNetwork

Positions = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Axis:
    """n positions along one axis.

    index (2, n) int32, weight (2, n) float32: the two input voxels that each position reads, and
    their weights. nearest (n,) int32: the input voxel in which the position lies. place (n, …): the
    decoder's embedding of the position. host: a copy of the index on the host, which can be read
    without waiting for the device.
    """

    host: np.ndarray
    index: Tensor
    weight: Tensor
    nearest: Tensor
    place: Tensor

    def __len__(self) -> int:
        return self.host.shape[1]

    def part(self, chosen: slice) -> tuple[slice, "Axis"]:
        """The input voxels that the chosen positions read, and an axis of these positions.

        The axis counts voxels from the first of the voxels that it reads.
        """
        host, index, nearest = self.host[:, chosen], self.index[:, chosen], self.nearest[chosen]
        low, high = int(host.min()), int(host.max()) + 1
        weight, place = self.weight[:, chosen], self.place[chosen]
        return slice(low, high), Axis(host - low, index - low, weight, nearest - low, place)


@dataclass(frozen=True)
class Lattice:
    """A lattice of positions in a feature map.

    axes: the positions along each axis. features (I, J, K, F): the part of the map that the
    lattice reads. active (I, J, K): whether each of these voxels is active.
    """

    axes: tuple[Axis, Axis, Axis]
    features: Tensor
    active: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of the output."""
        i, j, k = map(len, self.axes)
        return i, j, k

    def part(self, box: Box) -> "Lattice":
        """The lattice of a box of the output, with the features that this box reads."""
        parts = [axis.part(s) for axis, s in zip(self.axes, box, strict=True)]
        (i, a), (j, b), (k, c) = parts
        return Lattice((a, b, c), self.features[i, j, k], self.active[i, j, k])


def lattice_on(
    network: ImplicitVoxelNetwork,
    features: Features | Tensor,
    positions: Positions,
    cell: np.ndarray,
    active: np.ndarray,
) -> Lattice:
    """The lattice of the voxel coordinates `positions`; see `on_cpu.decode_lattice`."""
    decoder, device = network.decoder, network.device
    size = to_device(cell, device)
    window, axes = [], []
    for axis, (p, n) in enumerate(zip(positions, active.shape, strict=True)):
        table = decoder.embed_axis(axis, to_device(p, device), size, n).to(network.dtype)
        touched, taps = Taps.at(p, n, decoder.zeros_outside).window()
        host = np.stack([taps.first, taps.second]).astype(np.int32)
        weights = np.stack([taps.weight_first, taps.weight_second]).astype(np.float32)
        nearest_to = (nearest_voxel(p, n) - touched.start).astype(np.int32)
        window.append(touched)
        index, weight, nearest = (to_device(a, device) for a in (host, weights, nearest_to))
        axes.append(Axis(host, index, weight, nearest, table))
    (i, j, k), (a, b, c) = window, axes
    part = np.ascontiguousarray(active[i, j, k])
    return Lattice((a, b, c), features[i, j, k], to_device(part, device))


def wanted_box(active: np.ndarray, positions: Positions) -> Box | None:
    """The least box of a lattice that holds all outputs whose nearest voxel is active.

    active (I, J, K). None where there is no such output. The time is that of reading `active` once
    per axis.
    """
    nearest = [nearest_voxel(p, n) for p, n in zip(positions, active.shape, strict=True)]
    i, j, k = (slice(int(n.min()), int(n.max()) + 1) for n in nearest)
    part = active[i, j, k]
    box = []
    for axis, (n, s) in enumerate(zip(nearest, (i, j, k), strict=True)):
        along = np.asarray(part.any(axis=tuple(a for a in range(3) if a != axis)))
        found = np.flatnonzero(along[n - s.start])
        if not len(found):
            return None
        box.append(slice(int(found[0]), int(found[-1]) + 1))
    i, j, k = box
    return i, j, k


def cut(shape: tuple[int, int, int], most: int) -> Iterator[Box]:
    """Boxes that cover a lattice: nearly cubic, each of at most `most` voxels (or of one voxel).

    >>> [box[0] for box in cut((5, 1, 1), 2)]
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    sizes = list(shape)
    while np.prod(sizes) > max(most, 1):
        longest = int(np.argmax(sizes))
        sizes[longest] = -(-sizes[longest] // 2)
    for corner in np.ndindex(*(-(-n // size) for n, size in zip(shape, sizes, strict=True))):
        i, j, k = (
            slice(a * size, min((a + 1) * size, n))
            for a, size, n in zip(corner, sizes, shape, strict=True)
        )
        yield i, j, k
