"""The noise that was put into a scan is found, wherever the scan was cut and however stored."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.phantoms import anatomy, smooth, tissue, volume, zero_filled

from arssr.degradation import Slice, add_rician_noise, degrade
from arssr.noise import estimate_noise
from arssr.scan import as_measured

SHAPE = (56, 60, 48)
SIGMA = 8.0
HEAD = tissue(SHAPE)  # 40 to 190 in air of 0


def noisy(clean: np.ndarray, sigma: float = SIGMA, seed: int = 0) -> np.ndarray:
    """Rician noise everywhere, in air too."""
    return add_rician_noise(clean, sigma, np.random.default_rng(seed))


def found(data: np.ndarray) -> float:
    return estimate_noise(volume(np.ascontiguousarray(data, np.float32)))


SCAN = noisy(HEAD)
FOUND = found(SCAN)


@pytest.mark.parametrize("sigma", [3.0, 8.0, 20.0])
@pytest.mark.parametrize("clean", [HEAD, 200 * anatomy(SHAPE)], ids=["regions", "power law"])
def test_added_noise_is_found_beyond_what_a_scan_had(clean: np.ndarray, sigma: float) -> None:
    added = np.sqrt(found(noisy(clean, sigma)) ** 2 - found(clean) ** 2)
    assert added == pytest.approx(sigma, rel=0.2)


def test_air_is_no_tissue_whatever_its_share() -> None:
    """In Rayleigh noise the standard deviation is 0.655 σ, which a scan in much air would show."""
    head = np.pad(HEAD, [(40, 40), (40, 40), (0, 0)])
    assert np.mean(head == 0) > 0.8
    for sigma in (SIGMA, 25.0):
        assert found(noisy(head, sigma)) == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize("background", [0.0, -500.0, 90.0, 400.0])
def test_a_mask_says_nothing_whatever_its_value(background: float) -> None:
    masked = np.where(HEAD > 20, SCAN, background)
    masked = np.pad(masked, 12, constant_values=background)
    assert found(masked) == pytest.approx(SIGMA, rel=0.15)


def test_a_crop_has_the_noise_of_the_whole() -> None:
    assert pytest.approx(SIGMA, rel=0.1) == FOUND
    for box in (np.s_[14:42, 15:45, 12:36], np.s_[10:46, 12:48], np.s_[:, :, 20:30]):
        assert found(SCAN[box]) == pytest.approx(FOUND, rel=0.2)


@pytest.mark.parametrize("sigma", [0.0, SIGMA])
def test_padding_changes_nothing(sigma: float) -> None:
    padded = noisy(np.pad(HEAD, 20), sigma)
    inside = np.pad(np.ones(SHAPE, bool), 20)
    scan = np.where(inside, np.pad(SCAN, 20), padded if sigma else 0)
    assert found(scan) == pytest.approx(FOUND, rel=0.1)


@settings(max_examples=8, deadline=None)
@given(gain=st.floats(0.01, 1000), offset=st.floats(-20, 20))
def test_units_do_not_matter(gain: float, offset: float) -> None:
    other = (gain * (SCAN.astype(float) + 100 * offset)).astype(np.float32)
    assert found(other) == pytest.approx(gain * FOUND, rel=0.02)


@settings(max_examples=8, deadline=None)
@given(st.permutations([0, 1, 2]), st.lists(st.booleans(), min_size=3, max_size=3))
def test_axes_do_not_matter(order: list[int], flipped: list[bool]) -> None:
    turned = SCAN.transpose(order)[tuple(slice(None, None, -1 if f else 1) for f in flipped)]
    assert found(turned) == pytest.approx(FOUND, rel=0.1)


def test_integers_are_as_good_as_floats() -> None:
    assert found(np.rint(SCAN)) == pytest.approx(FOUND, rel=0.02)
    assert found(np.rint(SCAN / 4)) == pytest.approx(FOUND / 4, rel=0.05)


@pytest.mark.parametrize(
    "clean",
    [HEAD, np.rint(HEAD), 100 * smooth(SHAPE), np.where(HEAD > 20, 100, 0)],
    ids=["regions", "integers", "smooth", "a mask"],
)
def test_a_clean_image_has_next_to_none(clean: np.ndarray) -> None:
    assert found(clean) < 0.005 * np.ptp(clean)


def test_slices_that_average_anatomy_have_next_to_none() -> None:
    """And those of a noisy scan what is left of its noise and what is added."""
    thick = degrade(volume(HEAD), (1, 1, 4), Slice())
    assert estimate_noise(thick) < 0.01 * np.ptp(HEAD)
    assert found(noisy(thick.data)) == pytest.approx(SIGMA, rel=0.1)


@pytest.mark.parametrize("share", [0.5, 0.6, 0.75])
def test_noise_of_a_zero_filled_scan_is_that_of_its_voxels(share: float) -> None:
    """A filled axis keeps this share of the power of the noise, in this share of its band."""
    clean = 200 * anatomy((96, 96, 24))
    noise = np.random.default_rng(0).normal(0, SIGMA, clean.shape)

    def filled(data: np.ndarray) -> np.ndarray:
        return zero_filled(zero_filled(data, 0, share), 1, share)

    true = float(filled(noise).std())
    assert true == pytest.approx(share * SIGMA, rel=0.05)
    bare, scan = volume(filled(clean)), volume(filled(clean + noise))
    for with_it, without in ((scan, bare), (as_measured(scan).volume, as_measured(bare).volume)):
        added = np.sqrt(estimate_noise(with_it) ** 2 - estimate_noise(without) ** 2)
        assert added == pytest.approx(true, rel=0.2)


@pytest.mark.parametrize("shape", [(200, 220, 1), (1, 200, 220), (200, 220, 3)])
def test_slices_alone_suffice(shape: tuple[int, int, int]) -> None:
    clean = np.broadcast_to(100 + 50 * np.sin(np.indices(shape).sum(axis=0) / 9.0), shape)
    scan = clean + np.random.default_rng(0).normal(0, SIGMA, shape)
    assert found(scan) == pytest.approx(SIGMA, rel=0.1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 3, 3), (4, 4, 4), (1, 1, 50), (5, 2, 9), (8, 8, 8)]
)
def test_tiny_images_have_some_estimate(shape: tuple[int, int, int]) -> None:
    random = np.random.default_rng(0).normal(100, SIGMA, shape)
    assert 0 <= found(random) < 3 * SIGMA


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0, 7, -1e-3, 1e6])
def test_a_constant_image_has_none(value: float) -> None:
    assert found(np.full((12, 12, 12), value)) == 0


def test_the_same_image_has_the_same_noise() -> None:
    assert found(SCAN) == FOUND
    assert found(np.asfortranarray(SCAN)) == FOUND
