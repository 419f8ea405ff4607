"""Poses, brightness, slices that disagree, and whether scans fit."""

import numpy as np
import pytest
from scipy import ndimage
from tests.phantoms import anatomy, rotated, volume

from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.merging.brightness import match
from arssr.merging.fit import fits, likeness, require_fit
from arssr.merging.poses import extent, head_centre, register
from arssr.merging.slices import doubtful, slice_weights
from arssr.volume import Volume


def head(seed: int = 0) -> Volume:
    """An ellipsoid in air, 2 mm voxels."""
    data = np.pad(ndimage.gaussian_filter(anatomy((36, 40, 34), seed), 0.8), 8)
    return volume(100 * data, np.diag([2.0, 2, 2, 1]))


@pytest.mark.parametrize("afresh", [False, True])
def test_a_motion_is_found(afresh: bool) -> None:
    fixed = head()
    turned = rotated(fixed.grid, (4, -3, 5))
    motion = turned.affine @ np.linalg.inv(fixed.grid.affine)
    motion[:3, 3] += (4, -3, 5)
    seen = resample(fixed, Grid(fixed.grid.shape, np.linalg.inv(motion) @ fixed.grid.affine))
    moving = Volume(seen.data, fixed.grid)
    found = register(fixed, moving, head_centre(fixed), afresh=afresh)
    points = fixed.grid.to_world(np.argwhere(fixed.data > 20))
    apart = points @ (found - motion)[:3, :3].T + (found - motion)[:3, 3]
    assert np.linalg.norm(apart, axis=1).mean() < 0.1
    np.testing.assert_array_equal(
        found, register(fixed, moving, head_centre(fixed), afresh=afresh), "not the same every time"
    )


def test_motions_are_told_in_millimetres_and_degrees() -> None:
    angle = np.radians(10)
    motion = np.eye(4)
    motion[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    motion[:3, 3] = (3, 4, 0)
    mm, degrees = extent(motion, np.zeros(3))
    assert (mm, degrees) == (pytest.approx(5), pytest.approx(10))


def test_brightness_is_matched_by_a_factor_and_a_smooth_field() -> None:
    one = head()
    i = np.linspace(0.7, 1.3, one.grid.shape[0], dtype=np.float32)[:, None, None]
    other = one.data / (2.5 * i)
    level = match(one.data, other, np.ones(one.grid.shape, np.float32), one.grid)
    assert level.factor == pytest.approx(2.5, rel=0.05)
    tissue = one.data > 20
    matched = other * level.at(one.grid)
    assert np.abs(matched / np.where(tissue, one.data, 1) - 1)[tissue].mean() < 0.06


def test_brightness_leaves_equal_scans_alone() -> None:
    one = head()
    level = match(one.data, one.data, np.ones(one.grid.shape, np.float32), one.grid)
    assert np.abs(level.at(one.grid) - 1).max() < 1e-5


def test_what_is_repeated_where_a_scan_ends_says_nothing_of_its_brightness() -> None:
    one = head()
    n = one.grid.shape[0] // 2
    ends, reach = one.data.copy(), np.ones(one.grid.shape, np.float32)
    ends[n:], reach[n:] = one.data[n - 1], 1e-6
    assert match(one.data, ends, reach, one.grid).factor == pytest.approx(1, abs=1e-3)


def test_noise_in_one_of_two_scans_makes_none_brighter() -> None:
    one = head()
    noise = np.random.default_rng(0).standard_normal(one.grid.shape).astype(np.float32)
    everywhere = np.ones(one.grid.shape, np.float32)
    for pair in [(one.data, one.data + 10 * noise), (one.data + 10 * noise, one.data)]:
        assert match(*pair, everywhere, one.grid).factor == pytest.approx(1, abs=0.005)


def test_slices_that_disagree_lose_weight_and_others_keep_it() -> None:
    random = np.random.default_rng(0)
    apart = random.standard_normal((20, 18, 24)).astype(np.float32)
    apart *= np.linspace(1, 3, 24)  # anatomy is missed more at one end than at the other
    apart[:, :, 7] *= 4
    weights = slice_weights(apart, np.ones_like(apart), axis=2)
    assert doubtful(weights) == [7]
    assert (np.delete(weights, 7) > 0.9).all()


def test_another_contrast_is_told_from_another_head() -> None:
    one, other = head(), head(1)
    where = one.data > 10
    linear, any_function = likeness(one.data, 100 - np.abs(one.data - 60), where, one.grid)
    assert any_function - linear > 0.15
    linear, any_function = likeness(one.data, other.data, where, one.grid)
    assert linear < 0.9 and any_function - linear < 0.1


def fit(image: np.ndarray, reach: np.ndarray | None = None) -> None:
    one = head()
    everywhere = np.ones(one.grid.shape, np.float32)
    known = everywhere if reach is None else reach
    require_fit([("a.nii", one.data, everywhere), ("b.nii", image, known)], one.grid)


def test_scans_of_one_head_fit() -> None:
    noise = np.random.default_rng(0).standard_normal(head().grid.shape).astype(np.float32)
    fit(2 * head().data + 4 * noise)


def test_scans_that_do_not_fit_are_refused_by_name() -> None:
    with pytest.raises(ArSSRError, match=r"^b\.nii: does not fit the first scan"):
        fit(head(1).data)
    with pytest.raises(ArSSRError, match=r"^b\.nii: looks like another contrast.*--separate"):
        fit(np.where(head().data > 5, 100 - np.abs(head().data - 60), 0))
    with pytest.raises(ArSSRError, match=r"^b\.nii: shows next to nothing"):
        fit(head().data, np.zeros(head().grid.shape, np.float32))


@pytest.mark.parametrize("offset", [-500.0, 50.0, 1000.0])
def test_a_scan_with_another_zero_is_refused(offset: float) -> None:
    one = head()
    reach = np.ones(one.grid.shape, np.float32)
    views = [("a.nii", one.data, reach), ("b.nii", 7 * (one.data + np.float32(offset)), reach)]
    with pytest.raises(ArSSRError, match=r"b\.nii: no factor makes it as bright"):
        require_fit(views, one.grid)


def test_a_first_scan_below_zero_is_refused() -> None:
    one = head()
    reach = np.ones(one.grid.shape, np.float32)
    with pytest.raises(ArSSRError, match=r"a\.nii: nothing in it is above 0"):
        require_fit([("a.nii", one.data - 500, reach)] * 2, one.grid)


def test_a_motion_that_brings_a_scan_onto_the_first_fits() -> None:
    fixed = head()
    motion = np.eye(4)
    motion[:3, 3] = (30, 0, -20)
    moving = Volume(fixed.data, Grid(fixed.grid.shape, motion @ fixed.grid.affine))
    assert fits(fixed, moving, motion)
    assert not fits(fixed, moving, np.eye(4))
