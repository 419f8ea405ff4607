"""Degradations against closed forms: what a scanner would measure of things we know."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from tests.phantoms import smooth, volume

from arssr.degradation import (
    Degradation,
    KSpace,
    Slice,
    Spline,
    add_rician_noise,
    degrade,
    low_resolution_positions,
    named_degradation,
)
from arssr.errors import ArSSRError

NAMES = ("kspace", "slice", "spline", "spline-aligned")
FWHM_PER_SIGMA = 2.3548200450309493

scales = st.floats(1.05, 6)


def matrix(degradation: Degradation, n_in: int, scale: float) -> np.ndarray:
    """The degradation of a whole axis."""
    n_out = max(1, round(n_in / scale))
    return degradation.axis_matrix(n_in, low_resolution_positions(n_out, scale), scale)


# --- kspace --------------------------------------------------------------------------------------


@given(
    n=st.integers(16, 80),
    scale=scales,
    share=st.floats(0, 0.98),
    phase=st.floats(0, 2 * np.pi),
)
def test_kspace_keeps_a_cosine_below_the_new_nyquist(
    n: int, scale: float, share: float, phase: float
) -> None:
    """The same cosine, at the low-resolution centres: amplitude and half-pixel phase both right."""
    frequency = int(share * n / (2 * scale))

    def cosine(x: np.ndarray) -> np.ndarray:
        return np.cos(2 * np.pi * frequency * x / n + phase)

    centres = low_resolution_positions(round(n / scale), scale)
    np.testing.assert_allclose(
        matrix(KSpace(), n, scale) @ cosine(np.arange(n)), cosine(centres), atol=1e-9
    )


@given(n=st.integers(16, 80), scale=st.floats(1.3, 6), share=st.floats(0.02, 1))
def test_kspace_removes_a_cosine_above_the_new_nyquist(n: int, scale: float, share: float) -> None:
    cutoff = n / (2 * scale)
    frequency = int(np.ceil(cutoff + share * (n / 2 - cutoff)))
    cosine = np.cos(2 * np.pi * min(frequency, n // 2) * np.arange(n) / n + 0.4)
    if min(frequency, n // 2) > cutoff:
        np.testing.assert_allclose(matrix(KSpace(), n, scale) @ cosine, 0, atol=1e-9)


def test_kspace_is_the_cropped_fourier_transform() -> None:
    """On half the samples of an axis, moved by the half-pixel rule's half voxel."""
    data = np.random.default_rng(0).standard_normal(36)
    spectrum = np.fft.fft(data)
    frequency = np.fft.fftfreq(36, 1 / 36).round().astype(int)
    centres = low_resolution_positions(18, 2)
    measured = np.zeros(18, complex)
    for f, value in zip(frequency, spectrum, strict=True):
        if abs(f) <= 9:  # the line at the Nyquist limit counts half, on either side
            share = 0.5 if abs(f) == 9 else 1
            measured += share * value * np.exp(2j * np.pi * f * centres / 36) / 36
    np.testing.assert_allclose(matrix(KSpace(), 36, 2) @ data, measured.real, atol=1e-12)


def test_kspace_apodisation_is_a_hamming_window() -> None:
    n, scale, frequency = 60, 2, 10
    cosine = np.cos(2 * np.pi * frequency * np.arange(n) / n)
    plain = matrix(KSpace(), n, scale) @ cosine
    share = 0.54 + 0.46 * np.cos(np.pi * frequency / (n / (2 * scale)))
    np.testing.assert_allclose(matrix(KSpace(1.0), n, scale) @ cosine, share * plain, atol=1e-12)
    half = matrix(KSpace(0.5), n, scale) @ cosine
    np.testing.assert_allclose(half, (1 + share) / 2 * plain, atol=1e-12)


# --- slice ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("thickness", [2.0, 3.5, 6.0])
def test_a_gaussian_through_a_gaussian_slice_adds_its_variance(thickness: float) -> None:
    """Convolution of Gaussians: sigma² adds up; the area stays."""
    x, sigma, n = np.arange(160), 4.0, 160
    blob = np.exp(-0.5 * ((x - 80) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    centres = np.arange(40, 120, 0.5)
    measured = Slice().axis_matrix(n, centres, thickness) @ blob
    wider = np.hypot(sigma, thickness / FWHM_PER_SIGMA)
    expected = np.exp(-0.5 * ((centres - 80) / wider) ** 2) / (wider * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(measured, expected, atol=1e-6)


@pytest.mark.parametrize("gap", [0.0, 0.3])
@pytest.mark.parametrize("profile", ["gaussian", "trapezoid"])
def test_the_profiles_width_is_the_slice_thickness(profile: str, gap: float) -> None:
    """A point moved past a slice 40 voxels apart answers at half height 40 (1 − gap)/2 away."""
    thickness = 40 * (1 - gap)
    response = Slice(profile, gap).axis_matrix(201, np.array([100.0]), 40)[0]  # type: ignore[arg-type]
    half = np.interp([100 - thickness / 2, 100 + thickness / 2], np.arange(201), response)
    np.testing.assert_allclose(half / response.max(), 0.5, atol=1e-3)
    flat = response[np.abs(np.arange(201) - 100) <= 0.38 * thickness]
    assert (np.ptp(flat) < 1e-12) == (profile == "trapezoid")


def test_a_trapezoid_ramps_over_a_fifth_of_the_thickness() -> None:
    response = Slice("trapezoid").axis_matrix(201, np.array([100.0]), 50)[0]
    inside = np.flatnonzero(response > 1e-12)
    assert (inside[0], inside[-1]) == (70, 130)  # 25 + 5 voxels to each side
    np.testing.assert_allclose(np.diff(response[72:79]), response.max() / 10, rtol=1e-9)


@given(scale=st.floats(1.01, 8), gap=st.floats(0, 0.9), n=st.integers(1, 30))
@pytest.mark.parametrize("profile", ["gaussian", "trapezoid"])
def test_a_slice_however_thin_averages_something(
    profile: str, scale: float, gap: float, n: int
) -> None:
    weights = matrix(Slice(profile, gap), n, scale)  # type: ignore[arg-type]
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("gap", [-0.1, 0.95, 1.0, float("nan")])
def test_an_impossible_gap_is_refused(gap: float) -> None:
    with pytest.raises(ArSSRError, match="gap"):
        Slice(gap=gap)


# --- spline --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "n_out"), [(40, 10), (40, 17), (25, 24), (30, 1)])
def test_spline_is_scipys_zoom_on_the_half_pixel_grid(n: int, n_out: int) -> None:
    data = np.random.default_rng(1).standard_normal(n)
    degraded = Spline().axis_matrix(n, low_resolution_positions(n_out, n / n_out), n / n_out) @ data
    expected = ndimage.zoom(data, n_out / n, order=3, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(degraded, expected, atol=1e-10)


@pytest.mark.parametrize(("n", "n_out"), [(40, 10), (40, 17), (25, 24), (30, 1)])
def test_aligned_corners_is_scipys_plain_zoom(n: int, n_out: int) -> None:
    data = np.random.default_rng(2).standard_normal(n)
    aligned = Spline(aligned_corners=True)
    degraded = aligned.axis_matrix(n, low_resolution_positions(n_out, n / n_out), n / n_out) @ data
    np.testing.assert_allclose(degraded, ndimage.zoom(data, n_out / n, order=3), atol=1e-10)


def test_spline_aliases() -> None:
    """What sets it apart from the others: a fine grating comes back as a coarse one."""
    grating = np.cos(2 * np.pi * 24 * np.arange(64) / 64)
    assert np.abs(matrix(Spline(), 64, 2) @ grating)[8:-8].max() > 0.5
    for careful in (KSpace(), Slice()):
        assert np.abs(matrix(careful, 64, 2) @ grating)[8:-8].max() < 0.2


# --- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@given(n=st.integers(1, 60), scale=scales)
def test_a_constant_stays_what_it_is(name: str, n: int, scale: float) -> None:
    np.testing.assert_allclose(matrix(named_degradation(name), n, scale).sum(axis=1), 1, atol=1e-9)


@pytest.mark.parametrize("name", ["kspace", "slice", "spline"])
@pytest.mark.parametrize("scale", [2.0, 3.2, 2.5])
def test_a_feature_stays_at_its_millimetre(name: str, scale: float) -> None:
    """The centre of mass of a blob, in world coordinates, before and after."""
    index = np.stack(np.indices((40, 44, 37)), axis=-1)
    blob = np.exp(-0.5 * (((index - [17.3, 23.9, 18.1]) / 3.2) ** 2).sum(axis=-1))
    affine = np.array([[0, -1.1, 0, 30], [0.9, 0, 0, -12], [0, 0, -1.3, 7], [0, 0, 0, 1]])
    high = volume(blob, affine)
    low = degrade(high, scale, named_degradation(name))
    assert low.grid == high.grid.scaled(1 / scale)
    centres = []
    for v in (high, low):
        points = v.grid.to_world(np.stack(np.indices(v.grid.shape), axis=-1))
        centres.append(np.tensordot(v.data, points, 3) / v.data.sum())
    np.testing.assert_allclose(centres[0], centres[1], atol=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_an_axis_of_scale_one_keeps_its_samples(name: str) -> None:
    high = volume(smooth((9, 8, 12)))
    low = degrade(high, (1, 1, 3), named_degradation(name))
    by_hand = high.data @ matrix(named_degradation(name), 12, 3).T
    np.testing.assert_allclose(low.data, by_hand, atol=1e-6)
    assert low.grid.shape == (9, 8, 4)
    np.testing.assert_array_equal(degrade(high, 1, named_degradation(name)).data, high.data)


@pytest.mark.parametrize("name", NAMES)
@given(a=st.floats(-5, 5), b=st.floats(-5, 5), scale=scales)
def test_degrading_is_linear(name: str, a: float, b: float, scale: float) -> None:
    x, y = smooth((10, 9, 8), 1), smooth((10, 9, 8), 2)
    lows = [degrade(volume(v), scale, named_degradation(name)).data for v in (x, y, a * x + b * y)]
    np.testing.assert_allclose(lows[2], a * lows[0] + b * lows[1], atol=2e-5)


def test_more_voxels_than_fit_still_give_one() -> None:
    low = degrade(volume(smooth((5, 5, 5))), 100, Slice("trapezoid", 0.5))
    assert low.grid.shape == (1, 1, 1)
    assert np.isfinite(low.data).all()


@pytest.mark.parametrize("scale", [0.5, 0, -2, float("nan"), float("inf"), (2, 2, 0.9)])
def test_a_scale_below_one_is_refused(scale: float) -> None:
    with pytest.raises(ArSSRError, match="scales of at least 1"):
        degrade(volume(smooth((4, 4, 4))), scale, Spline())


def test_an_unknown_degradation_is_refused_by_name() -> None:
    with pytest.raises(ArSSRError, match=r"unknown degradation 'blur'.*kspace"):
        named_degradation("blur")


# --- noise ---------------------------------------------------------------------------------------


def test_rician_noise_where_there_is_no_signal() -> None:
    """Rayleigh: mean sigma √(π/2), standard deviation sigma √(2 − π/2)."""
    noise = add_rician_noise(np.zeros((60, 60, 60), np.float32), 0.3, np.random.default_rng(3))
    assert noise.dtype == np.float32
    np.testing.assert_allclose(noise.mean(), 0.3 * np.sqrt(np.pi / 2), rtol=0.01)
    np.testing.assert_allclose(noise.std(), 0.3 * np.sqrt(2 - np.pi / 2), rtol=0.01)


def test_rician_noise_on_a_strong_signal_is_gaussian() -> None:
    noisy = add_rician_noise(np.full((60, 60, 60), 5, np.float32), 0.1, np.random.default_rng(4))
    np.testing.assert_allclose(noisy.mean(), 5 + 0.1**2 / 10, atol=1e-3)
    np.testing.assert_allclose(noisy.std(), 0.1, rtol=0.01)


def test_the_snr_is_that_of_the_foreground() -> None:
    data = np.zeros((40, 40, 40), np.float32)
    data[10:30] = 800
    noisy = degrade(volume(data), 1, Spline(), snr=20, generator=np.random.default_rng(5))
    np.testing.assert_allclose(noisy.data[10:30].std(), 40, rtol=0.03)
    assert (noisy.data >= 0).all()


def test_noise_follows_its_seed() -> None:
    high = volume(smooth((8, 8, 8)))
    one, same, other = (
        degrade(high, 2, KSpace(), snr=10, generator=np.random.default_rng(seed)).data
        for seed in (6, 6, 7)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_noise_that_cannot_be_added_is_refused() -> None:
    high = volume(smooth((8, 8, 8)))
    for snr, generator in ((10.0, None), (0.0, np.random.default_rng(0))):
        with pytest.raises(ArSSRError, match="SNR"):
            degrade(high, 2, KSpace(), snr=snr, generator=generator)
    nothing = volume(np.zeros((8, 8, 8), np.float32))
    with pytest.raises(ArSSRError, match="values above 0"):
        degrade(nothing, 2, KSpace(), snr=10, generator=np.random.default_rng(0))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1.0, 2.0, 3.7])
def test_no_weight_is_subnormal(name: str, scale: float) -> None:
    """Such numbers would make a product of matrices ten times slower, and change nothing."""
    positions = low_resolution_positions(int(240 / scale), scale)
    matrix = named_degradation(name).axis_matrix(240, positions, scale).astype(np.float32)
    least = np.abs(matrix[matrix != 0]).min()
    assert least > 1e3 * np.finfo(np.float32).tiny
