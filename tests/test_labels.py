"""Label maps stay label maps, and stay on their scan."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from scipy.spatial.transform import Rotation
from tests.phantoms import rotated, smooth, volume

from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.labels import upsample_labels
from arssr.transforms.transform import Affine, Displacement, Transform, steps_through
from arssr.volume import Storage, Volume

maps = arrays(
    np.int16,
    st.tuples(*[st.integers(2, 7)] * 3),
    elements=st.sampled_from([-3, 0, 1, 2, 17, 2035]),
)
spacings = st.tuples(*[st.floats(0.3, 2.5)] * 3)
turns = st.sampled_from([(0.0, 0.0, 0.0), (0.0, 0.0, 90.0), (7.0, -12.0, 30.0)])


angles = st.tuples(*[st.floats(-180, 180)] * 3)
shifts = st.tuples(*[st.floats(-3, 3)] * 3)


def affine(degrees: tuple, shift_mm: tuple) -> Affine:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = shift_mm
    return Affine(matrix)


def warp(grid: Grid, size_mm: float, seed: int) -> Displacement:
    """Smooth displacements of at most `size_mm` along each axis."""
    fields = [smooth(grid.shape, seed + axis, sigma=2) - 0.5 for axis in range(3)]
    return Displacement((2 * size_mm * np.stack(fields)).astype(np.float32), grid)


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
    stored = Volume(labels.data, labels.grid, storage=Storage("uint8"))
    assert upsample_labels(stored, labels.grid.scaled(2)).storage.dtype == np.uint8


@pytest.mark.parametrize(
    ("value", "reason"), [(0.5, "whole"), (2.0**24, "renumber"), (-(2.0**24), "renumber")]
)
def test_what_is_no_label_map_is_refused(value: float, reason: str) -> None:
    with pytest.raises(ArSSRError, match=reason):
        upsample_labels(volume(np.full((2, 2, 2), value)), Grid((2, 2, 2), np.eye(4)))


def test_the_largest_label_is_the_last_whose_neighbours_are_other_numbers(tmp_path: Path) -> None:
    """2²⁴ may have been 2²⁴ + 1 in the file."""
    largest = 2**24 - 1
    for label in (largest, 2**24 + 1):
        stored = np.full((3, 3, 3), label, np.int32)
        nib.save(nib.Nifti1Image(stored, np.eye(4)), tmp_path / "a.nii")
        labels = Volume.read(tmp_path / "a.nii")
        if label == largest:
            assert (upsample_labels(labels, labels.grid.scaled(2)).data == largest).all()
        else:
            with pytest.raises(ArSSRError, match="16,777,216 or more"):
                upsample_labels(labels, labels.grid)


# --- through a transform -------------------------------------------------------------------------


@given(labels=maps, spacing=spacings, degrees=angles, shift=shifts)
def test_an_affine_is_another_place_to_read(
    labels: np.ndarray, spacing: tuple, degrees: tuple, shift: tuple
) -> None:
    source, move = volume(labels), affine(degrees, shift)
    grid = source.grid.with_spacing(spacing)
    result = upsample_labels(source, grid, Transform((move,)))
    assert result.grid == grid
    there = Grid(grid.shape, move.matrix @ grid.affine)
    np.testing.assert_array_equal(result.data, upsample_labels(source, there).data)
    assert np.isin(result.data, [0, *labels.flat]).all()


@given(
    labels=maps,
    spacing=st.tuples(*[st.floats(0.3, 0.7)] * 3),
    degrees=angles,
    size=st.floats(0, 2),
    seed=st.integers(0, 9),
)
def test_a_warp_takes_the_label_of_the_largest_share_where_it_leads(
    labels: np.ndarray, spacing: tuple, degrees: tuple, size: float, seed: int
) -> None:
    source = volume(labels)
    grid = source.grid.with_spacing(spacing)
    transform = Transform((affine(degrees, (0, 0, 0)), warp(rotated(grid, (9, 0, 4)), size, seed)))
    result = upsample_labels(source, grid, transform)
    present = np.unique(labels)
    assert np.isin(result.data, [0, *present]).all()
    steps = np.linalg.norm(steps_through(transform, grid, source.grid), axis=1)
    assume((np.median(steps, axis=0) <= 1).all())  # else shares are averaged
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    at = source.grid.to_index(transform.map(grid.to_world(index)))
    shares = np.stack(
        [
            ndimage.map_coordinates(
                (labels == label) * 1.0, np.moveaxis(at, -1, 0), order=1, mode="nearest"
            )
            for label in present
        ]
    )
    outside = np.maximum(-0.5 - at, at - (np.array(labels.shape) - 0.5)).max(axis=-1)
    won = np.searchsorted(present, result.data).clip(max=len(present) - 1)
    best = np.take_along_axis(shares, won[None], axis=0)[0]
    inner = outside < 0.999
    assert np.isin(result.data[inner], present).all()
    assert (best >= shares.max(axis=0) - 1e-4)[inner].all()
    assert (result.data[outside > 1.001] == 0).all()


@given(labels=maps, spacing=spacings)
def test_a_warp_that_moves_nothing_changes_nothing(labels: np.ndarray, spacing: tuple) -> None:
    """On coarser grids too, where the shares are averaged."""
    source = volume(labels)
    grid = source.grid.with_spacing(spacing)
    still = Transform((Displacement(np.zeros((3, *grid.shape), np.float32), grid),))
    np.testing.assert_array_equal(
        upsample_labels(source, grid, still).data, upsample_labels(source, grid).data
    )


def test_slabs_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    source = areas((14, 13, 16))
    for spacing in (0.8, 1.7):
        grid = source.grid.with_spacing(spacing)
        transform = Transform((warp(grid, 3, 0),))
        whole = upsample_labels(source, grid, transform).data
        with monkeypatch.context() as patch:
            patch.setattr("arssr.labels._SLAB_POINTS", 1)
            np.testing.assert_array_equal(upsample_labels(source, grid, transform).data, whole)
