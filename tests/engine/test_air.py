"""Air is where nothing changes within two voxels; everything else is computed."""

import numpy as np
import pytest

from arssr.engine.air import active_voxels


@pytest.mark.parametrize("background", [0.0, 0.3, -0.2])
def test_a_voxel_wakes_its_neighbours_two_away_along_every_axis(background: float) -> None:
    image = np.full((9, 10, 11), background, np.float32)
    image[4, 0, 10] += 0.5
    expected = np.zeros(image.shape, bool)
    expected[2:7, 0:3, 8:11] = True
    assert np.array_equal(active_voxels(image), expected)


def test_faint_structures_count_and_rounding_does_not() -> None:
    image = np.full((3, 3, 3), 0.4, np.float32)
    image[1, 1, 1] -= 0.002
    assert not active_voxels(image).any()
    image[1, 1, 1] -= 0.03
    assert active_voxels(image).all()


def test_noise_is_not_air() -> None:
    noise = np.abs(np.random.default_rng(0).normal(0, 0.01, (20, 20, 20))).astype(np.float32)
    assert active_voxels(noise).all()
