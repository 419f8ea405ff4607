"""Spatial transforms, so that a scan is interpolated once on its way to another image's grid.

Registration programs describe where a point of the reference lies in the moving scan (the pull
direction). Composed with the field of the scan that is a super-resolved image on the reference's
grid, and nothing in between is ever resampled. `arssr.transforms.registration` reads their files.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from arssr.antialias import averaged, parts_of
from arssr.errors import ArSSRError
from arssr.grid import Floats, Grid
from arssr.volume import Volume

if TYPE_CHECKING:
    from arssr.field import ReportProgress, VoxelField


_SLAB_POINTS = 2**20
# What a voxel at an angle to the scan gains from being read in two parts along each axis: 0.1 to
# 0.3 dB on the average over its centre alone (benchmarks/transform.py), for 8 times the work.
_SAMPLES = 2
_PROBES = 9  # along each axis of a grid, to see how a transform stretches it
_NOWHERE_MM = 1e6  # farther away than any scan


class Step(Protocol):
    """One transform of a chain."""

    def map(self, points_ras_mm: Floats) -> Floats:
        """Points (P, 3) in RAS+ mm on the reference's side to the moving side; NaN is nowhere."""
        ...


@dataclass(frozen=True)
class Affine:
    """A matrix (4, 4) on RAS+ millimetres."""

    matrix: Floats

    def map(self, points_ras_mm: Floats) -> Floats:
        """See `Step.map`."""
        return np.asarray(apply_affine(self.matrix, points_ras_mm))


@dataclass(frozen=True)
class Displacement:
    """Displacements (3, I, J, K) in RAS+ mm on a grid, linear in between.

    outside: what is added to points beyond the grid: 0 as ITK has it, NaN where nothing is known.
    """

    components: NDArray[np.float32]
    grid: Grid
    outside: float = 0.0

    def map(self, points_ras_mm: Floats) -> Floats:
        """See `Step.map`."""
        index = self.grid.to_index(points_ras_mm)
        inside = ((index >= -0.5) & (index <= np.array(self.grid.shape) - 0.5)).all(axis=1)
        moved = np.array(points_ras_mm, np.float64)
        moved[~inside] += self.outside
        for axis, component in enumerate(self.components):
            moved[inside, axis] += ndimage.map_coordinates(
                component, index[inside].T, output=np.float64, order=1, mode="nearest"
            )
        return moved


@dataclass(frozen=True)
class Transform:
    """Steps from reference space to moving space, in the order in which a point takes them."""

    steps: tuple[Step, ...]

    def map(self, points_ras_mm: ArrayLike) -> Floats:
        """(…, 3) RAS+ mm in the reference's space to (…, 3) RAS+ mm in the moving scan's.

        What leads nowhere, because a field of places ends there, is a kilometre away: in air.
        """
        points = np.asarray(points_ras_mm, np.float64)
        moved = points.reshape(-1, 3)
        for step in self.steps:
            moved = step.map(moved)
        return np.nan_to_num(moved, nan=_NOWHERE_MM).reshape(points.shape)

    @property
    def matrix(self) -> Floats | None:
        """The steps as one matrix (4, 4); None where one of them is not affine."""
        matrix = np.eye(4)
        for step in self.steps:
            if not isinstance(step, Affine):
                return None
            matrix = step.matrix @ matrix
        return matrix


def resample_through(
    field: "VoxelField",
    transform: Transform,
    grid: Grid,
    samples: int = _SAMPLES,
    progress: "ReportProgress | None" = None,
) -> Volume:
    """What the field of a moving scan looks like on a grid in the reference's space.

    Where the transform leads outside the scan, there is air. See `slabs_through`.
    """
    slabs = [slab[0] for slab in slabs_through(field, transform, grid, samples, progress)]
    moving = replace(field.volume, slices=None)  # on a grid like its own they would lie elsewhere
    return moving.with_data(np.concatenate(slabs, axis=-1), grid)


def slabs_through(
    field: "VoxelField",
    transform: Transform,
    grid: Grid,
    samples: int = _SAMPLES,
    progress: "ReportProgress | None" = None,
    outputs: int = 1,
) -> Iterator[NDArray[np.float32]]:
    """`resample_through` in slabs (outputs, I, J, n) that follow each other along the last axis, as
    `VoxelField.read` has them.

    samples: how often a voxel is read along each axis before the values are averaged (more often
    where it is coarser than the scan). Where the transform leaves the axes of the grid along
    those of the scan, it is read as any such grid. Otherwise the size of a voxel in the scan is
    the median over the grid, one for all, so that no seams arise.
    """
    tell = progress or (lambda _what, _share: None)
    if transform.matrix is not None:
        there = Grid(grid.shape, transform.matrix @ grid.affine)
        if there.axis_positions_in(field.grid) is not None:
            yield from field.read(there, tell, outputs)
            return
    steps = steps_through(transform, grid, field.grid)
    i, j, k = (max(n, samples) for n in parts_of(np.median(np.linalg.norm(steps, axis=1), axis=0)))
    cell = np.median(np.linalg.norm(steps / (i, j, k), axis=2), axis=0)
    fine = grid.scaled((i, j, k))

    def read(
        field: "VoxelField", fine: Grid, tell: "ReportProgress"
    ) -> Iterator[NDArray[np.float32]]:
        n = max(1, _SLAB_POINTS // (fine.shape[0] * fine.shape[1]))
        for start in range(0, fine.shape[2], n):
            part = fine.part((slice(None), slice(None), slice(start, start + n)))
            points = part.to_world(np.moveaxis(np.indices(part.shape), 0, -1))
            size = cell * field.grid.spacing_mm
            yield field.read_at(transform.map(points), size, outputs)
            tell("decoding", min((start + n) / fine.shape[2], 1.0))

    yield from averaged(field.read_by(read, fine, tell), (i, j, k), grid.shape[2])


def probes(shape: Sequence[int], margin: float = 0.0) -> Floats:
    """(P, 3) voxel coordinates that are spread over a grid; margin: beyond its outer centres."""
    along = [np.linspace(-margin, n - 1 + margin, max(2, min(n, _PROBES))) for n in shape]
    return np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, 3)


def steps_through(transform: Transform, grid: Grid, source: Grid) -> Floats:
    """(P, source axis, grid axis): in source voxels, how far a step of the grid leads."""
    at = probes(grid.shape)[:, None]
    half = np.eye(3) / 2
    ends = np.stack([transform.map(grid.to_world(at + h)) for h in (-half, half)])
    start, end = source.to_index(ends[:, (ends < _NOWHERE_MM).all(axis=(0, 2, 3))])
    if not len(start):
        raise ArSSRError("the transform leads nowhere from this grid")
    return np.swapaxes(end - start, 1, 2)
