"""Which pieces of a volume are computed one after the other.

A tile owns a box of input voxels, its core. To compute the core's features exactly, the encoder
sees a halo of its radius around it; at the faces of the volume the halo ends, as the image does,
and the zero padding there is the true one. What the halo costs is computed twice, so a plan is a
choice of cuts: the least work that the memory allows.
"""

import itertools
import math
from dataclasses import dataclass

from arssr.errors import ArSSRError
from arssr.files import bytes_in_words

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Tile:
    """A piece of work: voxels whose features are wanted, and voxels needed to compute them."""

    core: Box
    padded: Box

    @property
    def inner(self) -> Box:
        """The core, in indices of the padded box."""
        i, j, k = (
            slice(c.start - p.start, c.stop - p.start)
            for c, p in zip(self.core, self.padded, strict=True)
        )
        return i, j, k


def cut(shape: tuple[int, int, int], counts: tuple[int, int, int], halo: int) -> list[Tile]:
    """The volume cut into `counts` nearly equal parts along each axis.

    >>> [tile.padded[0] for tile in cut((10, 4, 4), (2, 1, 1), halo=2)]
    [slice(0, 7, None), slice(3, 10, None)]
    """
    axes = [
        [slice(n * part // parts, n * (part + 1) // parts) for part in range(parts)]
        for n, parts in zip(shape, counts, strict=True)
    ]
    return [
        Tile((i, j, k), (_grown(i, shape[0]), _grown(j, shape[1]), _grown(k, shape[2])))
        for _grown in [lambda s, n: slice(max(s.start - halo, 0), min(s.stop + halo, n))]
        for i, j, k in itertools.product(*axes)
    ]


def plan_tiles(
    shape: tuple[int, int, int], halo: int, bytes_per_voxel: float, budget: float
) -> list[Tile]:
    """The cut with the least work whose largest padded tile fits into `budget` bytes.

    Raises ArSSRError if even single voxels with their halo do not fit.
    """
    best: tuple[float, tuple[int, int, int]] | None = None
    options = [_axis_options(n, halo) for n in shape]
    for combination in itertools.product(*options):
        work = math.prod(total for _, total, _ in combination)
        peak = math.prod(largest for _, _, largest in combination) * bytes_per_voxel
        if peak <= budget and (best is None or work < best[0]):
            best = work, (combination[0][0], combination[1][0], combination[2][0])
    if best is None:
        least = math.prod(min(largest for *_, largest in axis) for axis in options)
        raise ArSSRError(
            f"the memory budget of {bytes_in_words(budget)} is too small for this network: one "
            f"tile needs {bytes_in_words(least * bytes_per_voxel)}"
        )
    return cut(shape, best[1], halo)


def _axis_options(n: int, halo: int) -> list[tuple[int, int, int]]:
    """Ways to cut n voxels: (parts, voxels computed in all, voxels of the largest part)."""
    options: dict[int, tuple[int, int, int]] = {}
    for parts in range(1, n + 1):
        bounds = [n * part // parts for part in range(parts + 1)]
        sizes = [
            min(stop + halo, n) - max(start - halo, 0) for start, stop in itertools.pairwise(bounds)
        ]
        largest = max(sizes)
        # more cuts that do not make the largest part smaller are of no use
        options.setdefault(largest, (parts, sum(sizes), largest))
    return list(options.values())
