"""What a coarse grid cannot show is gone, what it can show stays, and nothing moves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.phantoms import rotated, smooth, volume

from arssr.antialias import averaged, averaging_matrix, parts_ijk
from arssr.grid import Grid
from arssr.interpolation import resample

counts = st.integers(1, 12)
parts = st.integers(1, 5)


def cosine(grid: Grid, cycles_per_mm: float, axis: int = 0) -> np.ndarray:
    points = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    return np.cos(2 * np.pi * cycles_per_mm * points[..., axis]).astype(np.float32)


@given(n=counts, cut=parts)
def test_rows_sum_to_one_and_mirror_each_other(n: int, cut: int) -> None:
    matrix = averaging_matrix(n, cut)
    assert matrix.shape == (n, n * cut)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-12)


@given(n=counts)
def test_voxels_that_are_whole_stay_as_they_are(n: int) -> None:
    np.testing.assert_allclose(averaging_matrix(n, 1), np.eye(n), atol=1e-12)


@given(n=st.integers(3, 12), cut=parts)
def test_a_ramp_keeps_its_place_up_to_the_borders(n: int, cut: int) -> None:
    at = (np.arange(n * cut) + 0.5) / cut - 0.5
    np.testing.assert_allclose(averaging_matrix(n, cut) @ at, np.arange(n), atol=1e-9)


def test_a_grid_is_cut_only_where_it_skips_voxels() -> None:
    scan = Grid((10, 10, 10), np.diag([1, 1, 3, 1.0]))
    assert parts_ijk(scan.with_spacing((1, 0.7, 3)), scan) == (1, 1, 1)
    assert parts_ijk(scan.with_spacing((1.0005, 1.1, 6.5)), scan) == (1, 2, 3)
    assert parts_ijk(rotated(scan, (0, 0, 30)), scan) == (1, 1, 1)
    swapped = Grid((10, 10, 10), np.eye(4)[[1, 2, 0, 3]])
    assert parts_ijk(scan.with_spacing((2, 1, 3)), Grid((9, 9, 9), swapped.affine)) == (2, 1, 3)


@pytest.mark.parametrize("turn", [(0, 0, 0), (0, 0, 3)], ids=["straight", "oblique"])
@pytest.mark.parametrize("spacing", [1.5, 2.0, 3.3])
def test_waves_above_the_new_nyquist_vanish_and_slow_ones_stay(
    spacing: float, turn: tuple[float, float, float]
) -> None:
    source = Grid((80, 8, 8), np.eye(4))
    coarse = rotated(source.with_spacing((spacing, 1, 1)), turn)
    inner = (slice(4, -4), slice(2, -2), slice(2, -2))
    fast = volume(cosine(source, min(0.85 / spacing, 0.48)))
    assert np.abs(resample(fast, coarse).data[inner]).max() < (0.06 if spacing > 1.9 else 0.2)
    assert np.abs(resample(fast, coarse, "nearest").data[inner]).max() > 0.9  # where it would fold
    slow = resample(volume(cosine(source, 0.1 / spacing)), coarse).data
    np.testing.assert_allclose(slow[inner], cosine(coarse, 0.1 / spacing)[inner], atol=0.03)


@given(
    spacing=st.tuples(*[st.floats(0.5, 4)] * 3),
    turn=st.tuples(*[st.floats(-40, 40)] * 3),
    kind=st.sampled_from(["linear", "cubic"]),
)
def test_constants_stay_on_any_grid(spacing: tuple, turn: tuple, kind: str) -> None:
    source = volume(np.full((9, 8, 7), 3.5))
    for grid in (
        source.grid.with_spacing(spacing),
        rotated(source.grid.with_spacing(spacing), turn),
    ):
        np.testing.assert_allclose(resample(source, grid, kind).data, 3.5, rtol=1e-5)


@given(
    spacing=st.tuples(*[st.floats(0.6, 3)] * 3),
    turn=st.sampled_from([(0, 0, 0), (10, -20, 5)]),
    off=st.tuples(*[st.floats(-1, 1)] * 3),
)
def test_a_blob_stays_where_it_is(spacing: tuple, turn: tuple, off: tuple) -> None:
    grid = Grid((40, 38, 36), np.diag([1.0, 0.9, 1.2, 1]))
    centre = grid.to_world((np.array(grid.shape) - 1) / 2) + off
    points = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    blob = volume(np.exp(-0.5 * ((points - centre) ** 2).sum(-1) / 2.5**2), grid.affine)
    target = rotated(grid.with_spacing(spacing), turn)
    weight = resample(blob, target).data.astype(np.float64)[..., None]
    place = target.to_world(np.moveaxis(np.indices(target.shape), 0, -1))
    found = (weight * place).sum((0, 1, 2)) / weight.sum()
    np.testing.assert_allclose(found, centre, atol=0.03)


def test_an_edge_overshoots_by_no_more_than_a_twentieth() -> None:
    edge = np.zeros((60, 1, 1))
    edge[30:] = 1
    for spacing in (2, 3, 4.3):
        values = resample(volume(edge), volume(edge).grid.with_spacing((spacing, 1, 1))).data
        assert values.min() > -0.06 and values.max() < 1.06


@given(
    cut=st.tuples(parts, parts, parts),
    shape=st.tuples(counts, counts, counts),
    ends=st.lists(st.integers(0, 60), max_size=6),
)
def test_slabs_of_any_thickness_give_the_same(cut: tuple, shape: tuple, ends: list[int]) -> None:
    fine = np.random.default_rng(0).random([n * p for n, p in zip(shape, cut, strict=True)])
    fine = fine.astype(np.float32)
    slabs = np.split(fine, sorted(end for end in ends if end < fine.shape[2]), axis=-1)
    result = np.concatenate(list(averaged(slabs, cut, shape[2])), axis=-1)
    matrices = [averaging_matrix(n, p) for n, p in zip(shape, cut, strict=True)]
    expected = np.einsum("ijk,ai,bj,ck->abc", fine, *matrices, optimize=True)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_straight_and_barely_oblique_agree_on_coarse_grids() -> None:
    source = volume(smooth((24, 22, 20), sigma=1))
    straight = source.grid.with_spacing((2, 1.5, 0.8))
    oblique = rotated(straight, (0.003, -0.004, 0.005))
    assert oblique.axis_positions_in(source.grid.scaled(2)) is None
    np.testing.assert_allclose(
        resample(source, oblique).data, resample(source, straight).data, atol=2e-3
    )
