"""Where a result shall lie: a scale, a spacing, a shape, another image's grid, or isotropic."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.spatialimages import SpatialImage

from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.transform import Transform, probes
from arssr.volume import Volume, grid_of

Image = str | PathLike[str] | SpatialImage | Volume
Three = float | Sequence[float]

_NOWHERE_ELSE = Transform(())


@dataclass(frozen=True)
class Target:
    """Exactly one of five.

    scale: output voxels per input voxel; spacing: mm; shape: voxels; each for all axes or one for
    each of (i, j, k). like: a grid, or an image whose grid to take. isotropic: the finest spacing
    of the scan along all axes. Raises ArSSRError for none and for several.

    >>> Target(scale=2).on(Grid((4, 4, 3), np.diag([1, 1, 5, 1])))
    Grid(8×8×6 voxels of 0.5×0.5×2.5 mm, RAS)
    """

    scale: Three | None = None
    spacing: Three | None = None
    shape: Sequence[int] | None = None
    like: Grid | Image | None = None
    isotropic: bool = False

    def __post_init__(self) -> None:
        if len(self.asked()) != 1:
            names = [f.name for f in fields(self)]
            raise ArSSRError(f"name one target: {', '.join(names[:-1])} or {names[-1]}")

    def on(self, source: Grid) -> Grid:
        """The grid that a scan on `source` is brought to.

        Raises ArSSRError where that is none, and where it lies beside the scan.
        """
        if self.isotropic:
            return source.isotropic()
        if self.scale is not None:
            return source.scaled(self.scale)
        if self.spacing is not None:
            return source.with_spacing(self.spacing)
        if self.shape is not None:
            return source.with_shape(self.shape)
        grid = grid_of(self.like)  # type: ignore[arg-type] # the one that is left
        require_overlap(source, grid)
        return grid

    def asked(self) -> dict[str, Any]:
        """What was asked for, by name, as plain values: for a sidecar."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in given.items()
            if value is not None and value is not False
        }


def require_overlap(source: Grid, grid: Grid, transform: Transform = _NOWHERE_ELSE) -> None:
    """Refuse a grid that lies beside the source: nothing but air would come of it.

    transform: from the space of `grid` to that of `source`, where they are not the same.
    """
    near_half = 0.499  # of a voxel, and not on its edge, where fields of displacements end
    index = source.to_index(transform.map(grid.to_world(probes(grid.shape, margin=near_half))))
    end = np.array(source.shape) - 0.5
    if (index.max(axis=0) <= -0.5).any() or (index.min(axis=0) >= end).any():
        through = "; does the transform lead the other way?" if transform.steps else ""
        raise ArSSRError(f"the reference image lies outside the scan's field of view{through}")
