"""Poses, brightness, and slices that disagree."""

import numpy as np
import pytest
from tests.merging.heads import head
from tests.phantoms import rotated

from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.merging.brightness import match
from arssr.merging.poses import extent, head_centre, register
from arssr.merging.slices import doubtful, slice_weights
from arssr.volume import Volume


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
