"""Interpolation of a volume, axis by axis.

Every interpolation used here is linear in the data and separable, so along one axis it *is* a
small matrix: rows are output positions, columns are input voxels. Three such matrices resample a
volume on any grid whose axes run along the input's; oblique grids go through scipy point by point.
Positions are voxel coordinates of the input: 0 is the centre of the first voxel.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from arssr.antialias import averaged, averaging_matrix, parts_ijk
from arssr.grid import Floats, Grid, corner_voxels
from arssr.intensity import NOTHING, Normalisation
from arssr.volume import Volume

if TYPE_CHECKING:
    import torch

Places = TypeVar("Places", NDArray[Any], "torch.Tensor")
Kind = Literal["nearest", "linear", "cubic"]
REACH = 1.0  # voxels beyond the field of view at which an image's border value still stands
_SPLINE_ORDER: dict[str, int] = {"nearest": 0, "linear": 1, "cubic": 3}
# Cubic B-spline coefficients forget an edge by a factor of 0.27 a voxel: 1e-7 after this many.
EDGE_PADDING = 12


def outside(index: Places, n: Any) -> Places:
    """Whether voxel coordinates, along axes of n voxels, lie where an image has no values any more.

    Up to `REACH` voxels outside the field of view the border value holds; beyond lies air.
    """
    return (index < -0.5 - REACH) | (index > n - 0.5 + REACH)


def axis_matrix(kind: Kind, n_in: int, positions: Floats) -> Floats:
    """Matrix (n_out, n_in), float64, that interpolates `n_in` samples at `positions`.

    Outside the samples the border value is repeated, as `scipy.ndimage` does with
    `mode="nearest"`; `cubic` is its spline of order 3.

    >>> axis_matrix("linear", 3, np.array([0.25, 2.4]))
    array([[0.75, 0.25, 0.  ],
           [0.  , 0.  , 1.  ]])
    """
    positions = np.asarray(positions, np.float64)
    if kind == "cubic":
        coefficients = spline_matrix(n_in)
        padded = np.clip(positions + EDGE_PADDING, 1, len(coefficients) - 2)
        first = np.minimum(np.floor(padded).astype(int) - 1, len(coefficients) - 4)
        weights = np.stack(bspline_weights(padded - 1 - first), axis=-1)
        taps = coefficients[first[:, None] + np.arange(4)]
        return without_traces(np.einsum("mt,mtn->mn", weights, taps))
    matrix = np.zeros((len(positions), n_in))
    rows = np.arange(len(positions))
    inside = np.clip(positions, 0, n_in - 1)
    if kind == "nearest":
        matrix[rows, np.floor(inside + 0.5).astype(int).clip(max=n_in - 1)] = 1
        return matrix
    first = np.floor(inside).astype(int).clip(max=max(n_in - 2, 0))
    matrix[rows, first] = 1 - (inside - first)
    matrix[rows, np.minimum(first + 1, n_in - 1)] += inside - first
    return matrix


@lru_cache(maxsize=128)
def spline_matrix(n: int) -> Floats:
    """Matrix (n + 24, n) from samples to B-spline coefficients, the border repeated outside."""
    padded = np.pad(np.eye(n), ((EDGE_PADDING, EDGE_PADDING), (0, 0)), mode="edge")
    return without_traces(ndimage.spline_filter1d(padded, order=3, axis=0, mode="nearest"))


def without_traces(values: NDArray[Any]) -> NDArray[Any]:
    """Weights or normalised samples, with 0 for those that change no sum in float32.

    Products of the least of them would be subnormal, and some processors multiply those a hundred
    times slower.
    """
    return np.where(np.abs(values) < NOTHING, 0, values)


def bspline_weights(t: Any) -> tuple[Any, Any, Any, Any]:
    """Cubic B-spline weights of the four coefficients around offset t in [0, 1]."""
    return (
        (1 - t) ** 3 / 6,
        (4 - 6 * t**2 + 3 * t**3) / 6,
        (1 + 3 * t + 3 * t**2 - 3 * t**3) / 6,
        t**3 / 6,
    )


def apply_axis_matrices(data: "torch.Tensor", matrices: Sequence["torch.Tensor"]) -> "torch.Tensor":
    """Apply one matrix (…, n_out, n_in) along each of the last three axes of `data` (…, I, J, K).

    The leading dimensions of data and matrices are the same (a batch, each with its own matrices)
    or absent in the matrices. Works on any device; the axis that shrinks most goes first.
    """
    order = sorted(range(3), key=lambda axis: matrices[axis].shape[-2] / matrices[axis].shape[-1])
    for axis in order:
        m = matrices[axis]
        if axis == 0:
            data = (m @ data.flatten(-2)).unflatten(-1, data.shape[-2:])
        elif axis == 1:
            data = m.unsqueeze(-3) @ data
        else:
            data = data @ m.unsqueeze(-3).mT
    return data


def along_axes(data: NDArray[np.float32], matrices: Sequence[Floats]) -> NDArray[np.float32]:
    """`apply_axis_matrices` for arrays: (I, J, K), matrices (n_out, n_in) of any type; float32."""
    import torch

    from arssr.engine.transfer import host_tensor

    result = apply_axis_matrices(
        host_tensor(np.asarray(data, np.float32)),
        [torch.from_numpy(matrix.astype(np.float32)) for matrix in matrices],
    )
    return result.numpy()


def cubic_at(images: "torch.Tensor", positions: "torch.Tensor") -> "torch.Tensor":
    """Images (N, I, J, K) at voxel coordinates (N, P, 3), float32 (N, P), on their device.

    The same as `axis_matrix("cubic", …)`: a product of matrices for the coefficients of all
    images, then `spline_at`.
    """
    coefficients = apply_axis_matrices(
        images, [images.new_tensor(spline_matrix(n)) for n in images.shape[1:]]
    )
    return spline_at(coefficients, positions)


def spline_at(coefficients: "torch.Tensor", positions: "torch.Tensor") -> "torch.Tensor":
    """Cubic splines (N, I, J, K) at voxel coordinates (N, P, 3) of their images: (N, P).

    coefficients: `SplineCoefficients.padded`. Differentiable in the positions, and as
    exact as they are.
    """
    import torch

    shape = coefficients.shape[1:]
    strides = (shape[1] * shape[2], shape[2], 1)
    device = coefficients.device
    places = torch.arange(len(coefficients), device=device, dtype=torch.int32)[:, None, None]
    places = places * (strides[0] * shape[0])
    weights = positions.new_ones(())
    taps = torch.arange(4, device=device, dtype=torch.int32)
    for axis, (n, stride) in enumerate(zip(shape, strides, strict=True)):
        padded = (positions[..., axis] + EDGE_PADDING).clamp(1, n - 2)
        first = (padded.floor() - 1).clamp_max(n - 4)
        along = (first.int()[..., None] + taps) * stride
        weight = torch.stack(bspline_weights(padded - 1 - first), dim=-1)
        places = (places[..., None] + along[..., None, :]).flatten(-2)
        weights = (weights[..., None] * weight[..., None, :]).flatten(-2)
    picked = coefficients.flatten().index_select(0, places.flatten())
    return (picked.view_as(weights) * weights).sum(dim=-1)


class SplineCoefficients:
    """Cubic-spline coefficients of an image (I, J, K), for interpolation at single points."""

    def __init__(self, image: NDArray[np.float32]) -> None:
        padded = np.pad(image, EDGE_PADDING, mode="edge")
        self.padded = ndimage.spline_filter(padded, 3, np.float32, mode="nearest")

    def at(self, positions: Floats) -> NDArray[np.float32]:
        """The image at voxel coordinates (…, 3), float32; the same as `axis_matrix("cubic", …)`."""
        return ndimage.map_coordinates(
            self.padded,
            np.moveaxis(positions, -1, 0) + EDGE_PADDING,
            output=np.float32,
            order=3,
            mode="nearest",
            prefilter=False,
        )


def resample(volume: Volume, grid: Grid, kind: Kind = "cubic") -> Volume:
    """The volume interpolated on another grid, in the same units; oblique grids included.

    Along axes that are coarser than the input's, what the grid cannot show is filtered out (see
    `arssr.antialias`), except for `nearest`, which only ever picks samples.
    """
    along = resampling_matrices(volume.grid, grid, kind)
    if along is None:
        parts = _parts(kind, grid, volume.grid)
        points = _resample_points(volume, grid.scaled(parts), kind)
        slabs = averaged([points], parts, grid.shape[2])
        return volume.with_data(np.concatenate(list(slabs), axis=-1), grid)
    axes, matrices = along
    return volume.with_data(along_axes(volume.data, matrices).transpose(axes), grid)


def resample_in_air(volume: Volume, grid: Grid) -> Volume:
    """`resample`, with air where the grid lies `outside` the volume, as a field has it there.

    Raises ArSSRError for a constant volume, whose air is not known, if there is such a place.
    """
    made = resample(volume, grid)
    to_volume, shape = grid.index_map_to(volume.grid), np.array(volume.grid.shape)
    corners = corner_voxels(grid.shape) @ to_volume[:3, :3].T + to_volume[:3, 3]
    if outside(corners, shape).any():
        air = Normalisation.fit(volume.data, volume.label).offset
        plane = np.stack(np.meshgrid(*map(np.arange, grid.shape[1:]), indexing="ij"), axis=-1)
        for i, values in enumerate(made.data):
            at = plane @ to_volume[:3, 1:3].T + (to_volume[:3, 0] * i + to_volume[:3, 3])
            values[outside(at, shape).any(axis=-1)] = air
    return made


def resampling_matrices(
    source: Grid, grid: Grid, kind: Kind = "cubic"
) -> tuple[tuple[int, int, int], list[Floats]] | None:
    """What `resample` does axis by axis; None where the axes of the grids are oblique.

    The source axis that each axis of `grid` follows, and for each axis of `source` a matrix
    (n_out, n_in), float64.
    """
    parts = _parts(kind, grid, source)
    lattice = grid.scaled(parts).axis_positions_in(source)
    if lattice is None:
        return None
    matrices = [np.empty(0)] * 3
    for axis, (source_axis, positions) in enumerate(zip(*lattice, strict=True)):
        matrix = axis_matrix(kind, source.shape[source_axis], positions)
        if parts[axis] > 1:
            matrix = averaging_matrix(grid.shape[axis], parts[axis]) @ matrix
        matrices[source_axis] = matrix
    return lattice.axes, matrices


def _parts(kind: Kind, grid: Grid, source: Grid) -> tuple[int, int, int]:
    return (1, 1, 1) if kind == "nearest" else parts_ijk(grid, source)


def _resample_points(volume: Volume, grid: Grid, kind: Kind) -> NDArray[np.float32]:
    to_source = grid.index_map_to(volume.grid)
    return ndimage.affine_transform(
        volume.data,
        to_source[:3, :3],
        to_source[:3, 3],
        output_shape=grid.shape,
        output=np.float32,
        order=_SPLINE_ORDER[kind],
        mode="nearest",
    )
