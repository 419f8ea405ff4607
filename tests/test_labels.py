"""Label maps stay label maps, and stay on their scan."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.phantoms import rotated, smooth, volume

from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.labels import upsample_labels
from arssr.volume import Volume

maps = arrays(
    np.int16,
    st.tuples(*[st.integers(2, 7)] * 3),
    elements=st.sampled_from([-3, 0, 1, 2, 17, 2035]),
)
spacings = st.tuples(*[st.floats(0.3, 2.5)] * 3)
turns = st.sampled_from([(0.0, 0.0, 0.0), (0.0, 0.0, 90.0), (7.0, -12.0, 30.0)])


def areas(shape: tuple[int, int, int]) -> Volume:
    """Four labels in smooth, connected areas."""
    image = smooth(shape, sigma=2)
    return volume(np.digitize(image, np.quantile(image, [0.4, 0.6, 0.8])).astype(np.float32))


@given(labels=maps, spacing=spacings, turn=turns)
def test_each_voxel_gets_the_label_of_the_largest_share(
    labels: np.ndarray, spacing: tuple, turn: tuple
) -> None:
    source = volume(labels)
    grid = rotated(source.grid.with_spacing(spacing), turn)
    present = np.unique(labels)
    shares = np.stack(
        [resample(volume((labels == label) * 1.0), grid, "linear").data for label in present]
    )
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    at = source.grid.to_index(grid.to_world(index))
    outside = np.maximum(-0.5 - at, at - (np.array(labels.shape) - 0.5)).max(axis=-1)
    result = upsample_labels(source, grid)
    assert result.grid == grid
    won = np.searchsorted(present, result.data)
    inner = outside < 0.999
    assert np.isin(result.data[inner], present).all()
    best = np.take_along_axis(shares, won.clip(max=len(present) - 1)[None], axis=0)[0]
    assert (best >= shares.max(axis=0) - 1e-4)[inner].all()
    assert (result.data[outside > 1.001] == 0).all()


@given(labels=maps)
def test_on_its_own_grid_a_map_stays_as_it_is(labels: np.ndarray) -> None:
    np.testing.assert_array_equal(upsample_labels(volume(labels), volume(labels).grid).data, labels)


@given(labels=maps, factor=st.integers(1, 3))
def test_odd_factors_keep_every_label_at_the_old_centres(labels: np.ndarray, factor: int) -> None:
    k = 2 * factor - 1
    fine = upsample_labels(volume(labels), volume(labels).grid.scaled(k))
    centres = (slice(k // 2, None, k),) * 3
    np.testing.assert_array_equal(fine.data[centres], labels)


def test_equal_shares_go_to_the_lower_label() -> None:
    """Halfway between two voxels, in either order."""
    between = Grid((1, 1, 1), np.eye(4) + 0.5 * np.eye(4, k=3) * [[1], [0], [0], [0]])
    for pair in ([5, 7], [7, 5]):
        labels = volume(np.array(pair).reshape(2, 1, 1))
        assert upsample_labels(labels, between).data.item() == 5


def test_a_map_and_its_scan_stay_together() -> None:
    """An area's centre of mass and volume, in millimetres, on the grids that the scan gets."""
    labels = areas((14, 12, 10))
    inside = labels.data == 3
    for grid in (labels.grid.scaled((2, 3, 1.6)), rotated(labels.grid.scaled(2), (5, 0, 8))):
        fine = upsample_labels(labels, grid).data == 3
        found = grid.to_world(np.argwhere(fine)).mean(axis=0)
        truth = labels.grid.to_world(np.argwhere(inside)).mean(axis=0)
        np.testing.assert_allclose(found, truth, atol=0.3)
        assert fine.sum() * abs(np.linalg.det(grid.affine)) == pytest.approx(inside.sum(), rel=0.12)


def test_a_permuted_and_flipped_map_gives_the_same_labels() -> None:
    labels = areas((9, 8, 7))
    turn = np.array([[0, -1, 0, 8], [0, 0, 1, 0], [-1, 0, 0, 6], [0, 0, 0, 1.0]])
    other = volume(labels.data.transpose(2, 0, 1)[::-1, ::-1].copy(), labels.grid.affine @ turn)
    grid = labels.grid.scaled(1.7)
    np.testing.assert_array_equal(
        upsample_labels(other, grid).data, upsample_labels(labels, grid).data
    )


def test_a_large_coarse_voxel_takes_what_fills_most_of_it() -> None:
    """Not what happens to lie at its centre: two thin sheets of 1 in a sea of 2."""
    data = np.full((12, 12, 12), 2.0)
    data[[1, 7]] = 1
    coarse = volume(data).grid.with_spacing((3, 3, 3))
    assert (upsample_labels(volume(data), coarse).data == 2).all()
    assert (resample(volume(data), coarse, "nearest").data == 1).any()


def test_integers_come_back_as_integers() -> None:
    labels = areas((5, 5, 5))
    stored = Volume(labels.data, labels.grid, storage=np.dtype(np.uint8))
    assert upsample_labels(stored, labels.grid.scaled(2)).storage == np.uint8


@pytest.mark.parametrize(("value", "reason"), [(0.5, "whole"), (2.0**25, "renumber")])
def test_what_is_no_label_map_is_refused(value: float, reason: str) -> None:
    with pytest.raises(ArSSRError, match=reason):
        upsample_labels(volume(np.full((2, 2, 2), value)), Grid((2, 2, 2), np.eye(4)))
