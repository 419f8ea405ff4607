"""Whether two scans show one head in one contrast."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.merging.heads import head

from arssr.degradation import add_rician_noise, degrade, named_degradation
from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.merging.fit import SAME, fit, likeness, local_correlation, require_fit, shown
from arssr.volume import Volume

ONE = head()
GRID = ONE.grid
EVERYWHERE = np.ones(GRID.shape, np.float32)
MASK = shown(ONE.data, GRID)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(GRID.shape).astype(np.float32)


def local(one: np.ndarray, other: np.ndarray) -> float:
    return local_correlation(one, other, MASK, GRID)


@given(st.floats(1e-3, 1e4), st.floats(-100, 100))
@settings(max_examples=10, deadline=None)
def test_an_image_fits_itself_whatever_its_units(factor: float, offset: float) -> None:
    assert local(ONE.data, np.float32(factor) * (ONE.data + np.float32(offset))) > 0.999


def test_what_is_inverted_or_has_nothing_to_do_with_an_image_does_not_fit_it() -> None:
    assert local(ONE.data, -ONE.data) < -0.99
    assert local(ONE.data, noise()) < 0.1
    assert local(ONE.data, 0 * ONE.data) < 0.2
    nowhere = np.zeros(GRID.shape, bool)
    assert local_correlation(ONE.data, ONE.data, nowhere, GRID) == 0


def test_shading_does_not_matter_though_plain_correlation_falls() -> None:
    along = np.linspace(-0.5, 0.5, GRID.shape[0], dtype=np.float32)[:, None, None]
    shaded = ONE.data * 4**along
    assert local(ONE.data, shaded) > SAME + 0.05
    assert likeness(ONE.data, shaded, MASK, GRID)[0] < 0.9


@pytest.mark.parametrize(("share", "fits"), [(0.05, True), (0.2, False)])
def test_a_small_part_may_differ_a_large_one_may_not(share: float, fits: bool) -> None:
    until = int(np.quantile(np.argwhere(MASK)[:, 0], share))
    elsewhere = ONE.data.copy()
    elsewhere[:until] = 30 + 30 * noise()[:until]
    assert (local(ONE.data, elsewhere) > SAME) == fits


def test_noise_in_air_is_not_compared() -> None:
    noisy = [add_rician_noise(ONE.data, 5.0, np.random.default_rng(seed)) for seed in (0, 1)]
    both = [shown(image, GRID) for image in noisy]
    air = ~shown(ONE.data, GRID)
    assert max((mask & air).sum() for mask in both) < 0.05 * air.sum()
    assert local_correlation(*noisy, both[0], GRID) > 0.9


def thick(truth: Volume, axis: int, seed: int) -> Volume:
    """Slices of 6 mm, noise of 5 % of the range, on 2 mm again."""
    scale = tuple(3 if a == axis else 1 for a in range(3))
    scan = degrade(truth, scale, named_degradation("slice-gap20"))
    noisy = add_rician_noise(scan.data, 5.0, np.random.default_rng(seed))
    return resample(Volume(noisy, scan.grid), truth.grid)


def test_noisy_stacks_in_two_directions_fit_and_those_of_two_heads_do_not() -> None:
    first, second, other = thick(ONE, 2, 0), thick(ONE, 0, 1), thick(head(1), 0, 1)
    assert fit(first, second, np.eye(4)) > SAME + 0.1
    assert fit(first, other, np.eye(4)) < SAME - 0.1


def test_a_motion_that_brings_a_scan_onto_the_first_fits() -> None:
    motion = np.eye(4)
    motion[:3, 3] = (30, 0, -20)
    moving = Volume(ONE.data, Grid(GRID.shape, motion @ GRID.affine))
    assert fit(ONE, moving, motion) > 0.99
    assert fit(ONE, moving, np.eye(4)) < SAME


def test_another_contrast_is_told_from_another_head() -> None:
    where = ONE.data > 10
    linear, any_function = likeness(ONE.data, 100 - np.abs(ONE.data - 60), where, GRID)
    assert any_function - linear > 0.15
    linear, any_function = likeness(ONE.data, head(1).data, where, GRID)
    assert linear < 0.9 and any_function - linear < 0.1


def require(image: np.ndarray, reach: np.ndarray = EVERYWHERE) -> list[float]:
    return require_fit([("a.nii", ONE.data, EVERYWHERE), ("b.nii", image, reach)], GRID)


def test_scans_of_one_head_fit() -> None:
    found = require(2 * ONE.data + 4 * noise())
    assert found[0] == 1 and found[1] > 0.95


def test_scans_that_do_not_fit_are_refused_by_name() -> None:
    with pytest.raises(ArSSRError, match=r"^b\.nii: does not fit the first scan"):
        require(head(1).data)
    with pytest.raises(ArSSRError, match=r"^b\.nii: looks like another contrast.*--separate"):
        require(np.where(ONE.data > 5, 100 - np.abs(ONE.data - 60), 0))
    with pytest.raises(ArSSRError, match=r"^b\.nii: shows next to nothing"):
        require(ONE.data, np.zeros(GRID.shape, np.float32))


@pytest.mark.parametrize("offset", [-500.0, 50.0, 1000.0])
def test_a_scan_with_another_zero_is_refused(offset: float) -> None:
    with pytest.raises(ArSSRError, match=r"b\.nii: no factor makes it as bright"):
        require(7 * (ONE.data + np.float32(offset)))


def test_a_first_scan_below_zero_is_refused() -> None:
    views = [("a.nii", ONE.data - 500, EVERYWHERE)] * 2
    with pytest.raises(ArSSRError, match=r"a\.nii: nothing in it is above 0"):
        require_fit(views, GRID)
