"""Interpolation against scipy, which does the same by other means, and against plain algebra."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from tests.phantoms import rotated, smooth, volume

from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.interpolation import (
    SplineCoefficients,
    apply_axis_matrices,
    axis_matrix,
    cubic_at,
    outside,
    resample,
    resample_in_air,
)

ORDERS = {"nearest": 0, "linear": 1, "cubic": 3}
FLIP_I_SWAP_JK = np.array([[-1, 0, 0, 9], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], float)

lengths = st.integers(1, 24)
positions = arrays(np.float64, st.integers(1, 12), elements=st.floats(-40, 60))
kinds = st.sampled_from(sorted(ORDERS))


# --- along one axis ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ORDERS)
@given(n=lengths, at=positions)
def test_an_axis_matrix_is_scipys_interpolation(kind: str, n: int, at: np.ndarray) -> None:
    if kind == "nearest":  # exact ties are rounding's to decide
        assume(np.abs(at % 1 - 0.5).min() > 1e-6)
    data = np.random.default_rng(n).standard_normal(n)
    expected = ndimage.map_coordinates(data, at[None], order=ORDERS[kind], mode="nearest")
    np.testing.assert_allclose(axis_matrix(kind, n, at) @ data, expected, atol=1e-6)


@given(kind=kinds, n=lengths, at=positions)
def test_rows_sum_to_one(kind: str, n: int, at: np.ndarray) -> None:
    np.testing.assert_allclose(axis_matrix(kind, n, at).sum(axis=1), 1, atol=1e-12)


@given(kind=kinds, n=lengths)
def test_voxel_centres_keep_their_samples(kind: str, n: int) -> None:
    np.testing.assert_allclose(axis_matrix(kind, n, np.arange(n)), np.eye(n), atol=1e-6)


@given(kind=kinds, n=lengths, beyond=st.floats(0, 9))
def test_the_border_is_repeated_outside(kind: str, n: int, beyond: float) -> None:
    """The spline swings a little where the samples end, as scipy's does, then it is constant."""
    far = 12.0 + beyond if kind == "cubic" else beyond
    matrix = axis_matrix(kind, n, np.array([-far, n - 1 + far]))
    np.testing.assert_allclose(matrix, np.eye(n)[[0, -1]], atol=1e-6)


@given(arrays(np.float64, 3, elements=st.floats(-2, 2)), st.floats(14, 25))
def test_cubic_reproduces_parabolas_away_from_the_borders(abc: np.ndarray, at: float) -> None:
    parabola = np.polynomial.Polynomial(abc)
    value = axis_matrix("cubic", 40, np.array([at])) @ parabola(np.arange(40) - 20)
    np.testing.assert_allclose(value, parabola(at - 20), atol=1e-4)


@given(st.floats(0, 11))
def test_linear_reproduces_lines_up_to_the_borders(at: float) -> None:
    value = axis_matrix("linear", 12, np.array([at])) @ (3 * np.arange(12) - 5)
    np.testing.assert_allclose(value, 3 * at - 5, atol=1e-12)


def test_a_volume_of_another_size_is_scipys_zoom() -> None:
    """Half-pixel grids are what scipy calls `grid_mode`."""
    data = np.random.default_rng(1).standard_normal((9, 7, 6)).astype(np.float32)
    fine = resample(volume(data), volume(data).grid.scaled(2))
    expected = ndimage.zoom(data, 2, order=3, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(fine.data, expected, atol=1e-5)


# --- three axes at once --------------------------------------------------------------------------


def test_three_matrices_are_one_product_whatever_the_order() -> None:
    rng = np.random.default_rng(2)
    data = torch.from_numpy(rng.standard_normal((2, 5, 6, 7)))
    shapes = ((9, 5), (3, 6), (7, 7))
    matrices = [torch.from_numpy(rng.standard_normal((2, *shape))) for shape in shapes]
    expected = torch.einsum("nijk,nai,nbj,nck->nabc", data, *matrices)
    torch.testing.assert_close(apply_axis_matrices(data, matrices), expected)
    shared = [m[0] for m in matrices]
    expected = torch.einsum("nijk,ai,bj,ck->nabc", data, *shared)
    torch.testing.assert_close(apply_axis_matrices(data, shared), expected)


@given(st.tuples(*[st.integers(1, 9)] * 3), st.integers(0, 99))
def test_points_of_several_images_are_scipys_spline(shape: tuple[int, ...], seed: int) -> None:
    """Inside, between and beyond the voxels."""
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((2, *shape))
    at = rng.uniform(-3, np.array(shape) + 2, (2, 20, 3))
    expected = [
        ndimage.map_coordinates(image, points.T, order=3, mode="nearest")
        for image, points in zip(images, at, strict=True)
    ]
    values = cubic_at(torch.from_numpy(images), torch.from_numpy(at))
    np.testing.assert_allclose(values, expected, atol=1e-5)


@given(kinds, st.floats(-3, 3), st.floats(-3, 3))
def test_resampling_is_linear_in_the_data(kind: str, a: float, b: float) -> None:
    x, y = smooth((6, 5, 4), seed=3), smooth((6, 5, 4), seed=4)
    grid = volume(x).grid.scaled((1.7, 2, 0.9))
    expected = a * resample(volume(x), grid, kind).data + b * resample(volume(y), grid, kind).data
    np.testing.assert_allclose(
        resample(volume(a * x + b * y), grid, kind).data, expected, atol=1e-5
    )


@pytest.mark.parametrize("kind", ORDERS)
def test_a_grid_turned_by_right_angles_gets_the_data_turned(kind: str) -> None:
    data = smooth((7, 6, 5), seed=5, sigma=1)
    source = volume(data, np.diag([1.0, 2, 3, 1]))
    turned = resample(source, Grid((10, 5, 6), source.grid.affine @ FLIP_I_SWAP_JK), kind)
    by_hand = np.concatenate([data, np.repeat(data[-1:], 3, axis=0)])[::-1].transpose(0, 2, 1)
    if kind == "cubic":  # beyond the border the spline swings before it settles
        by_hand, turned_data = by_hand[3:], turned.data[3:]
    else:
        turned_data = turned.data
    np.testing.assert_allclose(turned_data, by_hand, atol=1e-5)
    assert turned.grid.shape == turned.data.shape


@given(
    order=st.permutations(range(3)),
    flips=st.lists(st.booleans(), min_size=3, max_size=3),
    scale=st.tuples(*[st.floats(0.7, 3)] * 3),
)
def test_a_permuted_and_flipped_input_gives_the_same_image(
    order: list[int], flips: list[bool], scale: tuple[float, float, float]
) -> None:
    """How a file happens to be laid out is no property of the image."""
    data = smooth((7, 6, 5), seed=6, sigma=1)
    plain = volume(data)
    to_plain = np.zeros((4, 4))  # voxel index of the other layout to that of the plain one
    to_plain[3, 3] = 1
    for axis, source in enumerate(order):
        to_plain[source, axis] = -1 if flips[axis] else 1
        to_plain[source, 3] = data.shape[source] - 1 if flips[axis] else 0
    backwards = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    other = volume(np.ascontiguousarray(data.transpose(order)[backwards]), to_plain)
    target = plain.grid.scaled(scale)
    np.testing.assert_allclose(
        resample(other, target).data, resample(plain, target).data, atol=2e-6
    )


@pytest.mark.parametrize("kind", ["linear", "cubic"])
def test_barely_oblique_agrees_with_straight(kind: str) -> None:
    """Two ways to compute, which part where an axis strays by more than 1e-4 voxel."""
    source = volume(smooth((12, 11, 10), seed=7))
    straight = source.grid.scaled(1.5)
    oblique = rotated(straight, (0.003, -0.004, 0.005))
    assert oblique.axis_positions_in(source.grid) is None
    np.testing.assert_allclose(
        resample(source, oblique, kind).data, resample(source, straight, kind).data, atol=1e-3
    )


def test_an_oblique_grid_reads_a_plane_exactly() -> None:
    """A linear ramp of world millimetres is that ramp on every grid inside."""
    affine = np.diag([1.0, 1.2, 0.8, 1])
    grid = Grid((30, 30, 30), affine)
    ramp = grid.to_world(np.stack(np.indices(grid.shape), axis=-1)) @ [0.3, -0.2, 0.1]
    source = volume(ramp.astype(np.float32), affine)
    middle = np.eye(4)
    middle[:3, 3] = 12
    oblique = rotated(Grid((6, 6, 6), affine @ middle), (20, -35, 50))
    points = oblique.to_world(np.stack(np.indices(oblique.shape), axis=-1))
    np.testing.assert_allclose(resample(source, oblique).data, points @ [0.3, -0.2, 0.1], atol=1e-4)


def test_a_resampled_volume_keeps_its_units_and_name() -> None:
    source = volume(smooth((5, 5, 5)) * 4000 - 1000)
    fine = resample(source, source.grid.scaled(2))
    assert fine.grid == source.grid.scaled(2)
    assert abs(float(fine.data.mean() - source.data.mean())) < 20


def test_spline_coefficients_read_points_as_the_lattice_does() -> None:
    data = smooth((9, 8, 7), seed=8, sigma=1)
    at = [np.linspace(-2, n + 1, 11) for n in data.shape]
    lattice = apply_axis_matrices(
        torch.from_numpy(data).double(),
        [torch.from_numpy(axis_matrix("cubic", n, p)) for n, p in zip(data.shape, at, strict=True)],
    )
    points = np.stack(np.meshgrid(*at, indexing="ij"), axis=-1)
    np.testing.assert_allclose(SplineCoefficients(data).at(points), lattice, atol=1e-5)


@pytest.mark.parametrize("degrees", [(0, 0, 0), (10, -20, 30)])
def test_far_outside_a_volume_lies_air_and_elsewhere_what_is_interpolated(
    degrees: tuple[int, int, int],
) -> None:
    scan = volume(smooth((9, 8, 7)) + 5, np.diag([1, 1, 3, 1.0]))
    around = np.eye(4) + np.array([[0, 0, 0, -6]] * 3 + [[0] * 4])
    grid = rotated(Grid((10, 10, 15), around @ np.diag([2, 2, 2.5, 1])), degrees)
    made, expected = resample_in_air(scan, grid).data, resample(scan, grid).data
    at = scan.grid.to_index(grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)))
    far = outside(at, np.array(scan.grid.shape)).any(axis=-1)
    assert 0 < far.sum() < far.size
    np.testing.assert_array_equal(made[~far], expected[~far])
    np.testing.assert_allclose(made[far], Normalisation.fit(scan.data).offset)
