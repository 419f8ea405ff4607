"""Copied, resampled, or read as labels and probabilities: without a network, and rightly so."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.phantoms import rotated, smooth, volume
from tests.test_labels import affine, warp

from arssr.errors import ArSSRError
from arssr.formats.kind import LABELS, PHASE, PROBABILITIES, Kind
from arssr.grid import Grid
from arssr.labels import upsample_probabilities
from arssr.transforms.transform import Transform
from arssr.upsampling.plain import COPIED, RESAMPLED, reordered, without_network
from arssr.volume import Volume

SCAN = volume(
    smooth((6, 7, 5)), np.array([[0, -1.5, 0, 3], [1, 0, 0.2, -8], [0, 0, 4, 1], [0, 0, 0, 1]])
)


def shifted(grid: Grid, voxels: float) -> Grid:
    index_map = np.eye(4)
    index_map[1, 3] = voxels
    return Grid(grid.shape, grid.affine @ index_map)


@given(
    axes=st.permutations(range(3)),
    reversed_axes=st.sets(st.integers(0, 2)),
    shift=st.floats(-9e-4, 9e-4),
)
def test_the_same_places_get_the_same_samples_in_their_order(
    axes: list[int], reversed_axes: set[int], shift: float
) -> None:
    flipped = SCAN.grid.flipped(reversed_axes)
    swapped = Grid(tuple(flipped.shape[axis] for axis in axes), flipped.affine[:, [*axes, 3]])
    made = reordered(SCAN, shifted(swapped, shift))
    assert made is not None and made.grid == shifted(swapped, shift)
    at = np.moveaxis(np.indices(made.grid.shape), 0, -1)
    i, j, k = np.rint(SCAN.grid.to_index(made.grid.to_world(at))).astype(int).reshape(-1, 3).T
    assert (made.data.ravel() == SCAN.data[i, j, k]).all()


def test_other_places_are_not_the_same() -> None:
    grid = SCAN.grid
    for other in (
        shifted(grid, 2e-3),
        shifted(grid, 1),
        rotated(grid, (0, 0, 3)),
        rotated(grid, (0, 0, 45)),
        grid.scaled((1, 1, 2)),
        grid.part((slice(None), slice(None), slice(1, None))),
    ):
        assert reordered(SCAN, other) is None


def test_each_kind_has_its_way() -> None:
    grid, finer, coarser = SCAN.grid, SCAN.grid.scaled(2), SCAN.grid.scaled(0.5)
    for image, target, method in (
        (SCAN, grid, COPIED),
        (SCAN, coarser, RESAMPLED),
        (replace(SCAN, kind=Kind(PROBABILITIES)), grid, COPIED),
        (replace(SCAN, kind=Kind(PROBABILITIES)), finer, "interpolated linearly"),
        (replace(SCAN, kind=Kind(PROBABILITIES)), coarser, "interpolated linearly"),
        (replace(SCAN, kind=Kind(LABELS)), finer, "shares of labels"),
    ):
        plain = without_network(image, target)
        assert plain is not None and plain.method == method
        if image.kind.what != LABELS:
            assert plain.make().grid == target
    assert without_network(SCAN, finer) is None
    assert without_network(SCAN, shifted(grid, 0.5)) is None
    assert without_network(SCAN, grid, Transform((affine((0, 0, 0), (1, 0, 0)),))) is None


def test_phase_has_none_and_labels_must_be_some_even_where_they_lie() -> None:
    with pytest.raises(ArSSRError, match="phase"):
        without_network(replace(SCAN, kind=Kind(PHASE)), SCAN.grid)
    plain = without_network(replace(SCAN, kind=Kind(LABELS)), SCAN.grid)
    with pytest.raises(ArSSRError, match="whole numbers"):
        plain.make()  # type: ignore[union-attr]


@pytest.mark.parametrize("factor", [(2, 1, 3), (0.4, 1, 0.5)])
def test_probabilities_stay_probabilities(factor: tuple) -> None:
    """Sharp ones, of which cubic interpolation and filters make more than 1 and less than 0."""
    image = volume((smooth((9, 8, 10)) > 0.5).astype(np.float32))
    made = upsample_probabilities(image, image.grid.scaled(factor))
    assert made.data.min() >= 0 and made.data.max() <= 1 and 0.1 < made.data.mean() < 0.9


def test_they_are_interpolated_linearly_wherever_they_lie() -> None:
    at = np.indices((9, 8, 10)).astype(np.float32)
    image = volume(0.02 * at[0] + 0.03 * at[1] + 0.05 * at[2])
    for grid in (image.grid.scaled((2, 1, 3)), rotated(image.grid, (3, 4, 5))):
        made = upsample_probabilities(image, grid)
        where = image.grid.to_index(grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)))
        inside = ((where >= 0) & (where <= np.array(image.grid.shape) - 1)).all(axis=-1)
        expected = where @ [0.02, 0.03, 0.05]
        assert np.abs(made.data - expected)[inside].max() < 1e-5
    beside = shifted(image.grid, 5)
    assert (upsample_probabilities(image, beside).data[:, -3:] == 0).all()


def test_they_follow_a_warp_as_they_follow_points() -> None:
    at = np.indices((9, 8, 10)).astype(np.float32)
    image = volume(0.02 * at[0] + 0.03 * at[1] + 0.05 * at[2])
    transform = Transform((warp(image.grid, 0.5, seed=1),))
    finer = image.grid.scaled(2)
    made = upsample_probabilities(image, finer, transform)
    points = transform.map(finer.to_world(np.moveaxis(np.indices(finer.shape), 0, -1)))
    inside = ((points >= 0) & (points <= np.array(image.grid.shape) - 1)).all(axis=-1)
    assert np.abs(made.data - points @ [0.02, 0.03, 0.05])[inside].max() < 1e-5
    assert made.slices is None and isinstance(made, Volume)
