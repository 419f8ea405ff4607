"""Grids of every kind keep what they hold at its millimetre; all else rests on that."""

import itertools
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from arssr.errors import ArSSRError
from arssr.grid import Grid

CORNERS = np.array(list(itertools.product((0, 1), repeat=3)))


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


def triples(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.tuples(values, values, values)


@st.composite
def grids(draw: st.DrawFn, longest: int = 60) -> Grid:
    """Oblique, flipped, permuted, sheared, anisotropic, odd-sized grids, thin ones included."""
    rotation = Rotation.from_rotvec(draw(triples(floats(-np.pi, np.pi)))).as_matrix()
    flips = np.diag(draw(triples(st.sampled_from((-1.0, 1.0)))))
    shear = np.eye(3)
    shear[0, 1] = draw(st.sampled_from((0.0, 0.0, 0.3)))
    spacing = np.diag(draw(triples(floats(0.05, 12))))
    affine = np.eye(4)
    affine[:3, :3] = (rotation @ shear @ flips @ spacing)[:, draw(st.permutations(range(3)))]
    affine[:3, 3] = draw(triples(floats(-400, 400)))
    return Grid(draw(triples(st.integers(1, longest))), affine)


scales = triples(floats(0.3, 8))
indices = arrays(np.float64, st.tuples(st.integers(1, 5), st.just(3)), elements=floats(-5, 70))


def edges_mm(grid: Grid) -> np.ndarray:
    """(8, 3) world coordinates of the corners of the field of view."""
    return grid.to_world(CORNERS * grid.shape - 0.5)


def size_mm(grid: Grid) -> float:
    """A length that rounding errors of millimetres in this grid are to be judged by."""
    return float(np.abs(edges_mm(grid)).max()) + 1


# --- the grid rule -------------------------------------------------------------------------------


@given(grids(), scales)
def test_scaling_keeps_the_corner_edge_and_the_directions(grid: Grid, scale: tuple) -> None:
    fine = grid.scaled(scale)
    np.testing.assert_allclose(edges_mm(fine)[0], edges_mm(grid)[0], atol=1e-12 * size_mm(grid))
    np.testing.assert_allclose(fine.spacing_mm, grid.spacing_mm / scale, rtol=1e-12)
    np.testing.assert_allclose(
        fine.affine[:3, :3] / fine.spacing_mm, grid.affine[:3, :3] / grid.spacing_mm, atol=1e-12
    )


@given(grids(), scales, indices)
def test_a_feature_stays_at_its_millimetre(grid: Grid, scale: tuple, index: np.ndarray) -> None:
    """What lies a fraction of the way along the boxes lies there in the boxes of the new grid."""
    index_in_fine = (index + 0.5) * scale - 0.5
    np.testing.assert_allclose(
        grid.scaled(scale).to_world(index_in_fine), grid.to_world(index), atol=1e-9 * size_mm(grid)
    )


def test_a_block_of_voxels_is_replaced_by_its_centre() -> None:
    """The closed form by hand: 2 mm voxels from 1 mm ones start half a voxel later."""
    grid = Grid((4, 4, 4), np.array([[0, 1, 0, 5], [-1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1.0]]))
    np.testing.assert_allclose(grid.scaled(0.5).to_world([0, 0, 0]), [5.5, 5.5, 7.5])
    np.testing.assert_allclose(grid.scaled(0.5).to_world([1, 0, 0]), [5.5, 3.5, 7.5])
    np.testing.assert_allclose(grid.scaled(2).to_world([0, 0, 0]), [4.75, 6.25, 6.75])


@given(grids(), scales)
def test_the_field_of_view_is_kept_to_half_an_output_voxel(grid: Grid, scale: tuple) -> None:
    assume(np.all(np.multiply(grid.shape, scale) >= 0.5))
    fine = grid.scaled(scale)
    change = np.abs(fine.extent_mm - grid.extent_mm)
    assert np.all(change <= (0.5 + 1e-5) * fine.spacing_mm)


@given(grids(), scales)
def test_a_scale_gives_the_nearest_number_of_voxels(grid: Grid, scale: tuple) -> None:
    for n, n_in, k in zip(grid.scaled(scale).shape, grid.shape, scale, strict=True):
        assert n >= 1
        assert abs(n - n_in * k) <= 0.5 + 1e-5 or (n == 1 and n_in * k < 0.5)


@pytest.mark.parametrize(
    ("n", "scale", "expected"),
    [
        (100, 2.3, 230),  # 229.99999999999997 in floating point
        (15, 1.1, 16),  # ties go to the even number, as with round() …
        (55, 1.1, 60),  # … and 60.50000000000001, as floating point has it, is one
        (25, 2.3, 58),  # 57.49999999999999
        (7, 2.0, 14),
        (181, 1 / 3, 60),
        (3, 0.1, 1),
        (1, 1.4, 1),
    ],
)
def test_voxel_counts(n: int, scale: float, expected: int) -> None:
    assert Grid((n, 5, 5), np.eye(4)).scaled((scale, 1, 1)).shape == (expected, 5, 5)


@given(st.integers(1, 400), st.integers(3, 80).map(lambda tenths: tenths / 10))
def test_scale_and_the_spacing_it_means_agree(n: int, scale: float) -> None:
    grid = Grid((n, n, n), np.diag([0.8, 0.8, 0.8, 1]))
    assert grid.scaled(scale).matches(grid.with_spacing(0.8 / scale), tolerance_voxels=1e-9)


@given(grids(), triples(floats(0.1, 20)))
def test_spacing_is_exactly_what_was_asked_for(grid: Grid, spacing: tuple) -> None:
    resized = grid.with_spacing(spacing)
    np.testing.assert_allclose(resized.spacing_mm, spacing, rtol=1e-12)
    np.testing.assert_allclose(edges_mm(resized)[0], edges_mm(grid)[0], atol=1e-12 * size_mm(grid))


@given(grids(), triples(st.integers(1, 200)))
def test_shape_cuts_the_same_field_of_view(grid: Grid, shape: tuple) -> None:
    resized = grid.with_shape(shape)
    assert resized.shape == shape
    np.testing.assert_allclose(edges_mm(resized), edges_mm(grid), atol=1e-9 * size_mm(grid))


def test_one_factor_serves_all_axes() -> None:
    grid = Grid((9, 8, 7), np.diag([1.0, 2, 3, 1]))
    assert grid.scaled(2) == grid.scaled((2, 2, 2)) == grid.scaled([2.0])
    assert grid.with_spacing(0.5) == grid.with_spacing((0.5, 0.5, 0.5))
    assert grid.scaled(1) == grid


# --- indices and millimetres ---------------------------------------------------------------------


@given(grids(), indices)
def test_to_index_undoes_to_world(grid: Grid, index: np.ndarray) -> None:
    np.testing.assert_allclose(grid.to_index(grid.to_world(index)), index, atol=1e-6)


def test_points_keep_their_array_shape() -> None:
    grid = Grid((2, 3, 4), np.diag([2.0, 3, 4, 1]))
    assert grid.to_world(np.zeros((5, 6, 3))).shape == (5, 6, 3)
    assert grid.to_index(np.zeros((0, 3))).shape == (0, 3)
    np.testing.assert_array_equal(grid.to_world([1, 1, 1]), [2, 3, 4])


@given(grids(), grids(), indices)
def test_index_map_goes_through_the_world(a: Grid, b: Grid, index: np.ndarray) -> None:
    matrix = a.index_map_to(b)
    through_world = b.to_index(a.to_world(index))
    atol = 1e-9 * (1 + np.abs(through_world).max() + size_mm(a) / b.spacing_mm.min())
    np.testing.assert_allclose(index @ matrix[:3, :3].T + matrix[:3, 3], through_world, atol=atol)


# --- one grid seen from another ------------------------------------------------------------------


@given(grids(), st.permutations(range(3)), triples(st.booleans()), scales)
def test_axes_that_run_along_axes_are_found(
    source: Grid, axes: list, flipped: tuple, scale: tuple
) -> None:
    turned_affine = source.affine.copy()
    for a in range(3):
        if flipped[a]:
            turned_affine[:3, 3] += turned_affine[:3, a] * (source.shape[a] - 1)
            turned_affine[:3, a] *= -1
    turned_affine[:, :3] = turned_affine[:, axes]
    turned = Grid(tuple(source.shape[a] for a in axes), turned_affine).scaled(scale)

    found = turned.axis_positions_in(source)
    assert found is not None
    matrix = turned.index_map_to(source)
    for a in range(3):
        along = np.zeros((turned.shape[a], 3))
        along[:, a] = np.arange(turned.shape[a])
        expected = along @ matrix[:3, :3].T + matrix[:3, 3]
        np.testing.assert_allclose(found.positions[a], expected[:, found.axes[a]], atol=1e-6)
    assert list(found.axes) == axes


def test_positions_are_free_of_float_dust() -> None:
    rotation = Rotation.from_euler("xyz", (10, 20, 30), degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = rotation * (0.7, 0.9, 1.1)
    grid = Grid((5, 6, 7), affine)
    found = grid.scaled(0.5).axis_positions_in(grid)
    assert found is not None
    np.testing.assert_array_equal(found.positions[2], [0.5, 2.5, 4.5, 6.5])


@pytest.mark.parametrize(("degrees", "straight"), [(1e-6, True), (0.05, False), (30, False)])
def test_oblique_grids_have_no_axis_positions(degrees: float, straight: bool) -> None:
    grid = Grid((200, 200, 200), np.eye(4))
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    assert (Grid(grid.shape, turned).axis_positions_in(grid) is not None) is straight


@given(grids())
def test_a_grid_matches_itself_and_nothing_else(grid: Grid) -> None:
    assert grid.matches(grid)
    moved = grid.affine.copy()
    moved[:3, 3] += 0.01 * grid.affine[:3, 0]  # a hundredth of a voxel along the first axis
    assert not grid.matches(Grid(grid.shape, moved))
    assert grid.matches(Grid(grid.shape, moved), tolerance_voxels=0.02)
    longer = (grid.shape[0] + 1, *grid.shape[1:])
    assert not grid.matches(Grid(longer, grid.affine))


def test_matching_looks_at_the_far_end_too() -> None:
    grid = Grid((100, 100, 100), np.eye(4))
    stretched = np.diag([1 + 1e-4, 1, 1, 1])  # a hundredth of a voxel, after a hundred voxels
    assert not grid.matches(Grid(grid.shape, stretched))


# --- what a grid is ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("affine", "orientation"),
    [
        (np.eye(4), "RAS"),
        (np.diag([-1, -1, 1, 1]), "LPS"),
        (np.array([[0, 0, 2, 0], [-2, 0, 0, 0], [0, 2, 0.1, 0], [0, 0, 0, 1]]), "PSR"),
    ],
)
def test_orientation(affine: np.ndarray, orientation: str) -> None:
    assert Grid((2, 2, 2), affine).orientation == orientation


def test_repr_says_what_matters() -> None:
    text = repr(Grid((4, 5, 6), np.diag([-0.71875, 0.71875, 4, 1])))
    assert text == "Grid(4×5×6 voxels of 0.7188×0.7188×4 mm, LAS)"


def test_a_grid_cannot_be_changed() -> None:
    affine = np.eye(4)
    grid = Grid((2, 2, 2), affine)
    affine[0, 0] = 5
    assert grid.affine[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 5
    with pytest.raises(FrozenInstanceError):
        grid.shape = (3, 3, 3)  # type: ignore[misc]


def test_equal_grids_are_one_key() -> None:
    grid = Grid((2, 3, 4), np.diag([1.0, 2, 3, 1]))
    same = Grid(np.array([2, 3, 4]), np.diag([1.0, 2, 3, 1]) * np.where(np.eye(4), 1, -1))
    assert grid == same and len({grid, same}) == 1  # -0.0 and 0 are the same place
    assert grid != Grid((2, 3, 5), grid.affine)
    assert grid != "a grid"
    assert all(type(n) is int for n in same.shape)


def with_entry(row: int, column: int, value: float) -> np.ndarray:
    affine = np.eye(4)
    affine[row, column] = value
    return affine


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.eye(3), "4×4"),
        (with_entry(0, 3, np.nan), "NaN"),
        (with_entry(1, 1, np.inf), "infinite"),
        (with_entry(1, 1, 0), "singular"),
        (np.diag([0, 0, 0, 1]), "singular"),
        (np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "singular"),
        (with_entry(0, 0, 1e300), "singular"),  # its square is beyond floating point
        (with_entry(3, 0, 1), "last row"),
    ],
)
def test_impossible_affines_are_refused(affine: np.ndarray, message: str) -> None:
    with pytest.raises(ArSSRError, match=message):
        Grid((2, 2, 2), affine)


@pytest.mark.parametrize("spacing", [1e-4, 0.001, 1000])
def test_small_and_large_voxels_are_not_singular(spacing: float) -> None:
    assert Grid((2, 2, 2), np.diag([spacing, spacing, spacing, 1])).spacing_mm[0] == spacing


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 2, 2), (2, 0, 2), (2, -1, 2), (2, 2.5, 2), 8])
def test_impossible_shapes_are_refused(shape: tuple) -> None:
    with pytest.raises(ArSSRError, match="three whole numbers"):
        Grid(shape, np.eye(4))
    with pytest.raises(ArSSRError, match="three whole numbers"):
        Grid((2, 2, 2), np.eye(4)).with_shape(shape)


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, (1, 2), (1, 2, 3, 4), (1, 0, 1), ()])
def test_impossible_scales_and_spacings_are_refused(value: float) -> None:
    grid = Grid((2, 2, 2), np.eye(4))
    with pytest.raises(ArSSRError, match="scale"):
        grid.scaled(value)
    with pytest.raises(ArSSRError, match="spacing"):
        grid.with_spacing(value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("extreme", [1e308, 1e-310])
def test_scales_beyond_floating_point_are_refused(extreme: float) -> None:
    grid = Grid((200, 200, 200), np.diag([1e-3, 1e-3, 1e-3, 1]))
    with pytest.raises(ArSSRError, match="scale"):
        grid.scaled(extreme)
    with pytest.raises(ArSSRError, match="scale"):
        grid.with_spacing(extreme)


@pytest.mark.filterwarnings("error")
def test_voxels_beyond_floating_point_are_refused() -> None:
    with pytest.raises(ArSSRError, match=r"a scale of .* is beyond all bounds"):
        Grid((2, 2, 2), np.diag([10.0, 10, 10, 1])).scaled(1e-308)


def test_points_need_three_coordinates() -> None:
    with pytest.raises(ArSSRError, match="three coordinates"):
        Grid((2, 2, 2), np.eye(4)).to_world([1, 2])


@given(grids())
def test_isotropic_voxels_are_as_fine_as_the_finest_axis(grid: Grid) -> None:
    fine = grid.isotropic()
    np.testing.assert_allclose(fine.spacing_mm, grid.spacing_mm.min(), rtol=1e-9)
    np.testing.assert_allclose(fine.to_world((-0.5,) * 3), grid.to_world((-0.5,) * 3), atol=1e-6)
    assert all(fine_n >= n for fine_n, n in zip(fine.shape, grid.shape, strict=True))


def test_a_part_of_a_grid_stays_in_place() -> None:
    grid = Grid((6, 5, 4), np.diag([1, 2, 3, 1.0]))
    part = grid.part((slice(2, None), slice(None), slice(1, 3)))
    assert part.shape == (4, 5, 2)
    np.testing.assert_allclose(part.to_world((0, 0, 0)), grid.to_world((2, 0, 1)))
    with pytest.raises(ArSSRError):
        grid.part((slice(3, 3), slice(None), slice(None)))


@given(grids(), st.sets(st.integers(0, 2)))
def test_flipped_voxels_lie_where_they_lay(grid: Grid, axes: set[int]) -> None:
    index = np.indices(grid.shape)
    turned = np.flip(index, [axis + 1 for axis in axes])
    np.testing.assert_allclose(
        grid.flipped(axes).to_world(np.moveaxis(index, 0, -1)),
        grid.to_world(np.moveaxis(turned, 0, -1)),
        atol=1e-12 * size_mm(grid),
    )
    assert grid.flipped(axes).flipped(axes).matches(grid)
    assert grid.flipped(axes).scaled((2, 1, 3)).matches(grid.scaled((2, 1, 3)).flipped(axes))
