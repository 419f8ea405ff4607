"""Where the voxels of an image lie: the one place where voxel indices become millimetres.

A voxel is a little box around its centre and the field of view is the union of the boxes. Index 0
is the *centre* of the first box, so along an axis of n voxels the field of view runs from index
-1/2 to n - 1/2. Resizing keeps the corner edge at -1/2 where it is (half-pixel, "area-aligned").
World coordinates are RAS+ millimetres, as nibabel has them.
"""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.orientations import aff2axcodes
from numpy.typing import ArrayLike, NDArray

from arssr.errors import ArSSRError

Floats = NDArray[np.float64]
Shape = tuple[int, int, int]

# Below this volume of the box spanned by the three unit axes, the axes count as lying in a plane.
_SINGULAR = 1e-6
# How far, in source voxels, an axis may stray over the whole volume and still count as straight.
_STRAIGHT = 1e-4
SAME_STEP = 1e-3  # voxels: steps that differ by less are equal, headers round
# An axis whose voxels are this many times longer than the shortest is that of a slice stack.
CLEARLY_THICKER = 1.4


class AxisPositions(NamedTuple):
    """How each axis of one grid runs along one axis of another.

    Output axis ``a`` follows source axis ``axes[a]``, and its voxel centres lie there at
    ``positions[a]``: float64 voxel coordinates, one for each output index along ``a``.
    """

    axes: tuple[int, int, int]
    positions: tuple[Floats, Floats, Floats]


@dataclass(frozen=True, eq=False, repr=False)
class Grid:
    """Shape (i, j, k) and affine (voxel index → RAS+ mm) of a 3D image; immutable.

    Raises ArSSRError for a shape that is not three whole numbers ≥ 1 and for an affine that is
    not (4, 4), not finite, or singular.

    >>> grid = Grid((4, 4, 3), np.diag([1, 1, 5, 1]))
    >>> grid
    Grid(4×4×3 voxels of 1×1×5 mm, RAS)
    >>> fine = grid.scaled((1, 1, 5))
    >>> fine
    Grid(4×4×15 voxels of 1×1×1 mm, RAS)
    >>> fine.to_world((0, 0, 0))  # the first centre moves by -2 mm, the corner edge stays
    array([ 0.,  0., -2.])
    """

    shape: tuple[int, int, int]
    affine: Floats

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64) + 0.0  # a copy, and no -0.0
        _check_affine(affine)
        affine.setflags(write=False)
        object.__setattr__(self, "shape", _checked_shape(self.shape))
        object.__setattr__(self, "affine", affine)

    def __repr__(self) -> str:
        shape = shape_in_words(self.shape)
        return f"Grid({shape} voxels of {spacing_in_words(self.spacing_mm)}, {self.orientation})"

    def __eq__(self, other: object) -> bool:
        """Bit for bit the same; for "the same place" use `matches`."""
        if not isinstance(other, Grid):
            return NotImplemented
        return self.shape == other.shape and np.array_equal(self.affine, other.affine)

    def __hash__(self) -> int:
        return hash((self.shape, self.affine.tobytes()))

    @property
    def spacing_mm(self) -> Floats:
        """(3,) distance between neighbouring voxel centres along each axis, in mm."""
        spacing: Floats = voxel_sizes(self.affine)
        return spacing

    @property
    def extent_mm(self) -> Floats:
        """(3,) length of the field of view along each axis, edge to edge, in mm."""
        return self.spacing_mm * self.shape

    @property
    def orientation(self) -> str:
        """Where the three axes point, roughly: "RAS" is right, anterior, superior."""
        return "".join(code or "?" for code in aff2axcodes(self.affine))

    def describe(self) -> dict[str, Any]:
        """Shape, spacing and orientation as plain values, for a file."""
        return {
            "shape": list(self.shape),
            "spacing_mm": [round(float(mm), 6) for mm in self.spacing_mm],
            "orientation": self.orientation,
        }

    def scaled(self, scale: float | Sequence[float]) -> "Grid":
        """The grid rule: `scale` output voxels per voxel (one factor, or one per axis).

        The corner edge stays, the spacing is exactly ``spacing / scale``, and there are
        ``max(1, round(n * scale))`` voxels along an axis of n, so the far edge of the field of
        view moves by at most half an output voxel (where at least half a voxel is left).
        """
        factors = _three_positive(scale, "scale")
        with np.errstate(over="ignore"):
            wanted = self.shape * factors
            usable = np.isfinite(wanted) & np.isfinite(self.extent_mm / factors)
        if not usable.all():
            raise ArSSRError(f"a scale of {_listed(factors)} is beyond all bounds")
        # Rounded twice: 25 * 2.3 is 57.49999999999999, and such dust must not decide a tie.
        counts = np.maximum(np.rint(np.round(wanted, 5)), 1)
        return self._resized(_three_ints(counts), factors)

    def with_spacing(self, spacing_mm: float | Sequence[float]) -> "Grid":
        """Like `scaled`, but told the voxel size (one for all axes, or one each) in mm."""
        with np.errstate(over="ignore"):
            factors = self.spacing_mm / _three_positive(spacing_mm, "spacing")
        return self.scaled(factors.tolist())

    def isotropic(self) -> "Grid":
        """Voxels as long along every axis as they are along the finest.

        >>> Grid((4, 4, 3), np.diag([1, 1, 5, 1])).isotropic()
        Grid(4×4×15 voxels of 1×1×1 mm, RAS)
        """
        return self.with_spacing(float(self.spacing_mm.min()))

    def thick_axes(self, than_mm: float | None = None) -> list[int]:
        """Axes along which voxels are clearly longer than that, by default than the shortest.

        Of an axis with one voxel nothing is known.

        >>> Grid((4, 4, 3), np.diag([1, 1.2, 5, 1])).thick_axes()
        [2]
        """
        longest = CLEARLY_THICKER * (self.spacing_mm.min() if than_mm is None else than_mm)
        found = zip(self.shape, self.spacing_mm, strict=True)
        return [axis for axis, (n, mm) in enumerate(found) if n > 1 and mm > longest]

    def part(self, box: Sequence[slice]) -> "Grid":
        """The voxels that three slices (without steps) choose, where they were.

        Raises ArSSRError where a slice chooses none.
        """
        ranges = [range(n)[chosen] for n, chosen in zip(self.shape, box, strict=True)]
        index_map = np.eye(4)
        index_map[:3, 3] = [r.start for r in ranges]
        return Grid(_three_ints([len(r) for r in ranges]), self.affine @ index_map)

    def flipped(self, axes: Iterable[int]) -> "Grid":
        """The same voxels, counted from the other end along these axes.

        >>> Grid((4, 4, 3), np.diag([1, 1, 5, 1])).flipped([2]).to_world((0, 0, 2))
        array([0., 0., 0.])
        """
        index_map = np.eye(4)
        for axis in axes:
            index_map[axis, axis], index_map[axis, 3] = -1, self.shape[axis] - 1
        return Grid(self.shape, self.affine @ index_map)

    def with_shape(self, shape: Sequence[int]) -> "Grid":
        """The same field of view, exactly, cut into this many voxels per axis."""
        counts = _checked_shape(shape)
        return self._resized(counts, np.divide(counts, self.shape))

    def _resized(self, shape: tuple[int, int, int], factors: Floats) -> "Grid":
        """Voxels 1/factors as large from the same corner edge on: A · [diag(1/k), (1/k - 1)/2]."""
        cell = 1 / factors
        index_map = np.diag([*cell, 1.0])
        index_map[:3, 3] = (cell - 1) / 2
        return Grid(shape, self.affine @ index_map)

    def to_world(self, index_ijk: ArrayLike) -> Floats:
        """(..., 3) voxel coordinates (fractions allowed) → (..., 3) RAS+ mm."""
        return _apply(self.affine, index_ijk)

    def to_index(self, points_ras_mm: ArrayLike) -> Floats:
        """(..., 3) RAS+ mm → (..., 3) voxel coordinates (fractions, and outside values too)."""
        return _apply(np.linalg.inv(self.affine).astype(np.float64, copy=False), points_ras_mm)

    def lies_beside(self, points_ras_mm: ArrayLike) -> bool:
        """Whether all points (n, 3) lie beyond the field of view on one side of it."""
        index = self.to_index(points_ras_mm)
        end = np.array(self.shape) - 0.5
        return bool((index.max(axis=0) <= -0.5).any() or (index.min(axis=0) >= end).any())

    def index_map_to(self, other: "Grid") -> Floats:
        """(4, 4) matrix that takes voxel coordinates here to those of the same place in `other`."""
        return np.linalg.solve(other.affine, self.affine).astype(np.float64, copy=False)

    def steps_in(self, source: "Grid") -> Floats:
        """(3,) how far one step along each axis of this grid goes in `source`, in its voxels.

        >>> scan = Grid((4, 4, 3), np.diag([1, 1, 5, 1]))
        >>> turned = Grid((3, 4, 4), scan.affine[:, [2, 1, 0, 3]] @ np.diag([0.2, 1, 1, 1]))
        >>> turned.steps_in(scan)  # along its own i, j, k; its i is the scan's k
        array([0.2, 1. , 1. ])
        >>> turned.cell_in(scan)  # along the scan's i, j, k
        array([1. , 1. , 0.2])
        """
        steps: Floats = np.linalg.norm(self.index_map_to(source)[:3, :3], axis=0)
        return steps

    def cell_in(self, source: "Grid") -> Floats:
        """(3,) how long a voxel of this grid is along each axis of `source`, in its voxels.

        Where axes are swapped this is another order than that of `steps_in`; where they are
        oblique it is the root of the sum of squares of what the three steps go along that axis.
        """
        cell: Floats = np.linalg.norm(self.index_map_to(source)[:3, :3], axis=1)
        return cell

    def axis_positions_in(self, source: "Grid") -> AxisPositions | None:
        """Voxel coordinates of this grid in `source`, axis by axis; None where axes are oblique.

        Each axis of this grid must run along one axis of `source`: permuted, flipped, scaled and
        shifted grids do. Straying by less than 1e-4 voxel over the volume is taken as none.

        >>> grid = Grid((3, 2, 2), np.eye(4))
        >>> grid.scaled(2).axis_positions_in(grid).positions[0]
        array([-0.25,  0.25,  0.75,  1.25,  1.75,  2.25])
        """
        index_map = self.index_map_to(source)
        travel = np.abs(index_map[:3, :3]) * self.shape  # [source axis, own axis], in voxels

        def straying(axes: tuple[int, ...]) -> float:
            off_axis = travel.copy()
            off_axis[axes, range(3)] = 0
            return float(off_axis.sum(axis=1).max())

        axes = min(permutations(range(3)), key=straying)
        if straying(axes) > _STRAIGHT:
            return None
        i, j, k = (  # rounding leaves whole and half positions clean of float dust
            np.round(index_map[axis, 3] + index_map[axis, a] * np.arange(self.shape[a]), 9)
            for a, axis in enumerate(axes)
        )
        return AxisPositions((axes[0], axes[1], axes[2]), (i, j, k))

    def matches(self, other: "Grid", tolerance_voxels: float = 1e-3) -> bool:
        """Whether both have the same shape and no voxel differs in place by more than this."""
        if self.shape != other.shape:
            return False
        corners = corner_voxels([n + 1 for n in self.shape]) - 0.5
        shift = np.abs(_apply(self.index_map_to(other), corners) - corners)
        return bool(shift.max() <= tolerance_voxels)


def corner_voxels(shape: Sequence[int]) -> NDArray[np.int64]:
    """(8, 3) voxel indices of the corners of an image of this shape (i, j, k)."""
    ends: NDArray[np.int64] = np.indices((2, 2, 2)).reshape(3, -1).T * (np.array(shape) - 1)
    return ends


def shape_in_words(shape: Iterable[int]) -> str:
    """Numbers of voxels as a person reads them.

    >>> shape_in_words((256, 256, 30))
    '256×256×30'
    """
    return "×".join(map(str, shape))


def spacing_in_words(spacing_mm: Iterable[float]) -> str:
    """Lengths of voxels as a person reads them.

    >>> spacing_in_words([0.5, 0.5, 1.25])
    '0.5×0.5×1.25 mm'
    """
    steady = (round(float(mm), 5) for mm in spacing_mm)  # 0.71875 and a little less are one length
    return "×".join(f"{mm:.4g}" for mm in steady) + " mm"


def _apply(affine: Floats, points: ArrayLike) -> Floats:
    points = np.asarray(points, dtype=np.float64)
    if points.shape[-1:] != (3,):
        raise ArSSRError(f"points need three coordinates each; these have shape {points.shape}")
    moved: Floats = apply_affine(affine, points)
    return moved


def _check_affine(affine: Floats) -> None:
    if affine.shape != (4, 4):
        raise ArSSRError(f"an affine must be a 4×4 matrix; this one has shape {affine.shape}")
    if not np.isfinite(affine).all():
        raise ArSSRError("the affine has NaN or infinite entries: no place in space is defined")
    if not np.array_equal(affine[3], [0, 0, 0, 1]):
        raise ArSSRError(f"the last row of an affine must be 0 0 0 1, not {_listed(affine[3])}")
    with np.errstate(over="ignore"):
        lengths = voxel_sizes(affine)
    if not (lengths.all() and abs(np.linalg.det(affine[:3, :3] / lengths)) >= _SINGULAR):
        raise ArSSRError(
            "the affine is singular (a voxel size of zero, or axes that lie in one plane): "
            "no place in space is defined"
        )


def _checked_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    try:
        counts = [operator.index(n) for n in shape]
    except TypeError:
        counts = []
    if len(counts) != 3 or min(counts) < 1:
        raise ArSSRError(f"a shape must be three whole numbers of at least 1, not {shape}")
    return _three_ints(counts)


def _three_ints(counts: ArrayLike) -> tuple[int, int, int]:
    i, j, k = np.asarray(counts).tolist()
    return int(i), int(j), int(k)


def _three_positive(value: float | Sequence[float], name: str) -> Floats:
    """One number or three → (3,) float64; the name is for the message."""
    values = np.asarray(value, dtype=np.float64)
    if values.shape not in ((), (1,), (3,)):
        raise ArSSRError(f"a {name} is one number or three (one per axis), not {value}")
    if not (np.isfinite(values) & (values > 0)).all():
        raise ArSSRError(f"a {name} must be greater than 0 and finite, not {_listed(values)}")
    return np.broadcast_to(values, (3,)).astype(np.float64)


def _listed(values: Floats) -> str:
    return " ".join(f"{value:g}" for value in np.atleast_1d(values))
