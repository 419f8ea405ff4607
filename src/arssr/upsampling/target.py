"""Where a result shall lie: a scale, a spacing, a shape, another image's grid, isotropic, or where
nobody said, thick slices alone as fine as their plane.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from arssr.errors import ArSSRError
from arssr.formats.kind import INTENSITIES
from arssr.grid import SAME_STEP, Grid, spacing_in_words
from arssr.resolution import Resolution, band_grid, measure_resolution
from arssr.transforms.transform import Transform, probes
from arssr.volume import Image, Volume, grid_of

Three = float | Sequence[float]

_NOWHERE_ELSE = Transform(())
# As far as `light` and `rdn` were trained (`valid` of their cards): what would be warned of is not
# chosen where nobody asks for it.
_FINEST_MM = 0.8
_MOST_TIMES = 6.0
_ISOTROPIC = 1.05  # as far as words go: voxels of 1.301×1.333×1.333 mm are 1.32 mm along all axes


class NoTargetError(ArSSRError):
    """No target was named, and the scan has no slices that are clearly thicker than its plane."""


@dataclass(frozen=True)
class Chosen:
    """Where a result shall lie, `because` of what where nobody said, and the resolution of the
    scan where that had to be measured for it.
    """

    grid: Grid
    because: str = ""
    resolution: Resolution | None = None


@dataclass(frozen=True)
class Target:
    """One of five, or none.

    scale: output voxels per input voxel; spacing: mm; shape: voxels; each for all axes or one for
    each of (i, j, k). like: a grid, or an image whose grid to take. isotropic: the finest spacing
    of the scan along all axes. None of them: thick slices alone are refined, to the finest spacing
    that was measured, but not below 0.8 mm nor more than 6 times. Raises ArSSRError for several.

    >>> import numpy as np
    >>> scan = Grid((4, 4, 3), np.diag([1, 1, 5, 1]))
    >>> Target(scale=2).on(scan)
    Grid(8×8×6 voxels of 0.5×0.5×2.5 mm, RAS)
    >>> Target().on(scan)
    Grid(4×4×15 voxels of 1×1×1 mm, RAS)
    """

    scale: Three | None = None
    spacing: Three | None = None
    shape: Sequence[int] | None = None
    like: "Grid | Image | None" = None
    isotropic: bool = False

    def __post_init__(self) -> None:
        if len(self._given()) > 1:
            raise ArSSRError(f"name one target alone, not {' and '.join(self._given())}")

    @property
    def is_open(self) -> bool:
        """Whether none was named."""
        return not self._given()

    def on(self, source: Grid, measured: Grid | None = None) -> Grid:
        """The grid that a scan on `source` is brought to.

        measured: the grid whose voxels were measured, where they are larger than those stored
        (`resolution.band_grid`); only an open target asks for it. Raises ArSSRError where there is
        no such grid, and where it lies beside the scan.
        """
        if self.isotropic:
            return source.isotropic()
        if self.scale is not None:
            return source.scaled(self.scale)
        if self.spacing is not None:
            return source.with_spacing(self.spacing)
        if self.shape is not None:
            return source.with_shape(self.shape)
        if self.like is None:
            return source.with_spacing(_finer_slices_mm(source, measured or source))
        grid = grid_of(self.like)
        require_overlap(source, grid)
        return grid

    def choose(self, scan: Volume, *, as_stored: bool = False) -> Chosen:
        """`on` the grid of a scan, whose resolution is measured where the target is open.

        as_stored: take what is stored for measured, as it is of labels and probabilities.
        """
        if not self.is_open:
            return Chosen(self.on(scan.grid))
        resolution = None
        if not as_stored and scan.kind.what == INTENSITIES and scan.grid.thick_axes():
            resolution = measure_resolution(scan)
        measured = band_grid(scan.grid, resolution) if resolution else scan.grid
        grid = self.on(scan.grid, measured)
        refined = grid.spacing_mm < scan.grid.spacing_mm * (1 - SAME_STEP)
        if (grid.spacing_mm[refined] > measured.spacing_mm.min() * (1 + SAME_STEP)).any():
            why = "as fine as shipped weights were trained for"
        else:
            why = f"as fine as {'was measured in the plane' if resolution else 'the plane'}"
        return Chosen(grid, f"{_change(scan.grid, grid)}, {why}", resolution)

    def asked(self) -> dict[str, Any]:
        """What was asked for, by name, as plain values: for a sidecar."""
        given = self._given() or {"target": "auto"}
        return {
            name: str(value) if isinstance(value, Path) else value for name, value in given.items()
        }

    def _given(self) -> dict[str, Any]:
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return {n: value for n, value in given.items() if value is not None and value is not False}


def _finer_slices_mm(source: Grid, measured: Grid) -> list[float]:
    """The spacing with slices as fine as anything that was measured, as far as weights were taught,
    and the others as they are.

    Raises NoTargetError where no slices are clearly thicker than that.
    """
    mm, finest = source.spacing_mm, float(measured.spacing_mm.min())
    floor = max(finest, _FINEST_MM)
    thick = source.thick_axes(floor)
    if not thick:
        if mm.max() <= mm.min() * _ISOTROPIC:
            what = f"{mm.mean():.3g} mm along all axes already"
        else:
            than = f"what was measured ({finest:.4g} mm)" if finest > mm.min() else "the others"
            if source.thick_axes(finest):
                than = f"shipped weights were trained for ({floor:g} mm)"
            what = f"voxels of {spacing_in_words(mm)}, along no axis clearly thicker than {than}"
        raise NoTargetError(f"{what}; name a target, such as --scale 2")
    return [
        max(floor, float(mm[axis]) / _MOST_TIMES) if axis in thick else float(mm[axis])
        for axis in range(3)
    ]


def _change(source: Grid, grid: Grid) -> str:
    """What an open target came to.

    >>> import numpy as np
    >>> scan = Grid((9, 9, 3), np.diag([1, 1, 5, 1]))
    >>> _change(scan, scan.scaled((1, 1, 5)))
    'no target was named: slices of 5 mm along k become 1 mm'
    """
    changed = [
        f"{spacing_in_words([before])} along {name} become {spacing_in_words([after])}"
        for name, before, after in zip("ijk", source.spacing_mm, grid.spacing_mm, strict=True)
        if after < before * (1 - SAME_STEP)
    ]
    return f"no target was named: slices of {' and '.join(changed)}"


def require_overlap(source: Grid, grid: Grid, transform: Transform = _NOWHERE_ELSE) -> None:
    """Refuse a grid that lies beside the source: nothing but air would come of it.

    transform: from the space of `grid` to that of `source`, where they are not the same.
    """
    near_half = 0.499  # of a voxel, and not on its edge, where fields of displacements end
    if source.lies_beside(transform.map(grid.to_world(probes(grid.shape, margin=near_half)))):
        through = "; does the transform lead the other way?" if transform.steps else ""
        raise ArSSRError(f"the reference image lies outside the scan's field of view{through}")
