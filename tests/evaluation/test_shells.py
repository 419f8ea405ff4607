"""Agreement by bands of frequency, of images whose agreement is known."""

import numpy as np
import pytest
from scipy import ndimage
from tests.phantoms import anatomy

from arssr.evaluation.shells import Bands, closed, invented, soft_mask

SHAPE = (48, 46, 45)
EDGES = np.linspace(0, 1, 7)
RANDOM = np.random.default_rng(0)
HEAD = anatomy(SHAPE).astype(np.float64)
MASK = soft_mask(HEAD > 0)
BANDS = Bands(MASK, (0, 1, 2), EDGES)


def noise() -> np.ndarray:
    return RANDOM.standard_normal(SHAPE)


def test_an_image_agrees_with_itself_whatever_its_scale_and_offset() -> None:
    a = BANDS.spectrum(HEAD)
    np.testing.assert_allclose(BANDS.correlation(a, BANDS.spectrum(3 * HEAD + 7)), 1)
    np.testing.assert_allclose(BANDS.correlation(a, BANDS.spectrum(-HEAD)), -1)


def test_independent_noise_does_not_agree() -> None:
    found = BANDS.correlation(BANDS.spectrum(noise()), BANDS.spectrum(noise()))
    assert np.abs(found[1:]).max() < 0.1


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_two_noisy_copies_agree_by_the_share_of_energy_that_is_common(share: float) -> None:
    common, a, b = noise(), noise(), noise()
    copies = (np.sqrt(share) * common + np.sqrt(1 - share) * each for each in (a, b))
    found = BANDS.correlation(*map(BANDS.spectrum, copies))
    np.testing.assert_allclose(found[1:], share, atol=0.1)


def test_energies_of_the_bands_sum_to_that_of_the_image() -> None:
    """Parseval; all waves are in a band where the edges reach beyond Nyquist."""
    for shape in (SHAPE, (20, 21, 22)):
        image = RANDOM.standard_normal(shape)
        bands = Bands(np.ones(shape), (0, 1, 2), (0, 0.3, 1.01))
        waves = bands.spectrum(image)
        energy = ((image - image.mean()) ** 2).sum() * image.size
        assert bands.product(waves, waves).sum() == pytest.approx(energy)


def test_a_wave_is_in_the_band_of_its_highest_frequency_along_the_axes_that_count() -> None:
    x = np.arange(40)
    wave = np.broadcast_to(np.cos(2 * np.pi * 10 / 40 * x)[:, None, None], (40, 40, 40))
    wave = wave * np.cos(2 * np.pi * 2 / 40 * x)  # 0.5 of Nyquist along i, 0.1 along k
    edges = (0, 0.05, 0.3, 0.7, 1.01)
    for axes, band in (((0, 1, 2), 2), ((2,), 1), ((1,), 0)):
        bands = Bands(np.ones((40, 40, 40)), axes, edges)
        waves = bands.spectrum(wave)
        energy = bands.product(waves, waves)
        assert energy[band] == pytest.approx(energy.sum())


def test_what_is_shaped_has_the_other_energies_and_its_own_agreement() -> None:
    soft = BANDS.spectrum(ndimage.gaussian_filter(HEAD, 1))
    sharp = BANDS.spectrum(HEAD + 0.1 * noise())
    shaped = BANDS.shaped(soft, sharp)
    np.testing.assert_allclose(BANDS.product(shaped, shaped), BANDS.product(sharp, sharp))
    np.testing.assert_allclose(BANDS.correlation(shaped, sharp), BANDS.correlation(soft, sharp))


def test_a_soft_mask_is_one_inside_zero_outside_and_smooth() -> None:
    assert MASK.max() == pytest.approx(1, abs=1e-3) and MASK.min() >= 0
    assert (MASK[HEAD == 0] < 0.05).all()
    assert max(np.abs(np.diff(MASK, axis=a)).max() for a in range(3)) < 0.2


def test_detail_of_the_head_is_not_invented_and_noise_is() -> None:
    detail = noise()
    half = detail * (np.arange(SHAPE[0]) > SHAPE[0] / 2)[:, None, None]
    first, second = (BANDS.spectrum(detail + noise()) for _ in range(2))
    for added, share, better in (
        (detail, 0.0, 1.0),
        (half, 0.0, 0.5),  # too little of it is no invention
        (noise(), 1.0, -1.0),
        (detail + noise(), 0.5, 0.0),
        (-detail, 2.0, -3.0),
        (0.5 * detail, -1.0, 0.75),
    ):
        waves = BANDS.spectrum(added)
        by_band, whole = invented(BANDS, waves, second)
        assert whole == pytest.approx(max(share, 0), abs=0.1)
        np.testing.assert_allclose(by_band[1:], share, atol=0.25)
        assert closed(BANDS, waves, first, second) == pytest.approx(better, abs=0.15)
