"""Intensities come back in the units they had, and the finest detail is what was added."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.restoration import estimate_sigma
from tests.phantoms import tissue

from arssr.errors import ArSSRError
from arssr.intensity import Normalisation, Ordered, finest_detail
from arssr.volume import Volume

REAL = Path(__file__).parents[1].parent / "shared" / "data"
SCAN = tissue((32, 32, 32))

images = arrays(
    np.float32,
    st.tuples(*[st.integers(1, 6)] * 3),
    elements=st.floats(-30000, 30000, width=32, allow_subnormal=False),
).filter(lambda data: data.min() < data.max())


def phantom(shape: tuple[int, int, int] = (48, 48, 48)) -> np.ndarray:
    """A smooth ball, 1 in the middle and exactly 0 around, float32."""
    index = np.moveaxis(np.indices(shape), 0, -1)
    radius = np.linalg.norm((index - np.divide(shape, 2)) / np.divide(shape, 2), axis=-1)
    return np.clip(2.5 * (0.9 - radius), 0, 1).astype(np.float32)


# --- normalisation -------------------------------------------------------------------------------


@given(images)
def test_invert_undoes_apply(data: np.ndarray) -> None:
    normalisation = Normalisation.fit(data)
    normalised = normalisation.apply(data)
    assert normalised.dtype == np.float32
    restored = normalisation.invert(normalised)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, data, atol=3e-7 * np.abs(data).max())


@given(images, st.floats(0.1, 100), st.floats(0, 1000))
def test_units_do_not_matter(data: np.ndarray, gain: float, shift: float) -> None:
    """The network sees the same image whatever the scanner calls its intensities."""
    data = data - data.min()  # below 0, air would be at 0 whatever the shift
    other = (gain * data.astype(np.float64) + shift).astype(np.float32)
    assume(np.ptp(other) > 0)  # the shift may leave nothing of what float32 could tell apart
    normalisation = Normalisation.fit(other)
    resolution = np.abs(other).max() / normalisation.scale  # how much of it float32 has left
    if resolution > 1e3:
        return
    expected = Normalisation.fit(data).apply(data)
    np.testing.assert_allclose(
        normalisation.apply(other), expected, atol=1e-5 * resolution * (1 + np.abs(expected).max())
    )


def test_the_percentiles_go_to_0_and_1() -> None:
    data = np.arange(10001, dtype=np.float32).reshape(1, 73, 137)
    normalisation = Normalisation.fit(data)
    assert normalisation.offset == pytest.approx(5)
    assert normalisation.scale == pytest.approx(9990)


@given(images, st.floats(0, 0.5), st.floats(0, 1000))
def test_what_is_looked_up_in_order_is_what_numpy_finds(
    data: np.ndarray, share: float, distance: float
) -> None:
    for given_as in (data, torch.from_numpy(data)):  # a tensor goes a GPU's way
        found = Ordered.of(given_as)
        expected = np.percentile(data, (100 * share, 100 - 100 * share))
        np.testing.assert_allclose(found.percentiles(share), expected, rtol=1e-6, atol=1e-3)
        differing = np.abs(data - np.median(data))
        if not np.isclose(differing, distance, rtol=1e-5).any():  # where rounding decides
            assert found.differing(distance) == pytest.approx(np.mean(differing > distance))


@given(images)
def test_a_tensor_is_fitted_as_an_array_is(data: np.ndarray) -> None:
    here, there = Normalisation.fit(data), Normalisation.fit(torch.from_numpy(data))
    assert (here, here.set_by_few) == (there, there.set_by_few)


def test_a_few_spikes_do_not_decide() -> None:
    data = phantom()
    spiky = data.copy()
    spiky[::16, ::16, ::16] = 1e6
    np.testing.assert_allclose(
        Normalisation.fit(spiky).apply(data), Normalisation.fit(data).apply(data), atol=1e-3
    )


@pytest.mark.parametrize(
    ("share", "noise"), [(0.001, 0), (0.001, 0.05), (0.01, 0), (0.01, 0.05), (0.03, 0)]
)
@pytest.mark.parametrize("brightness", [10, 100, -100])
def test_the_few_that_are_far_brighter_or_darker_than_tissue_do_not_decide(
    share: float, brightness: float, noise: float
) -> None:
    random = np.random.default_rng(0)
    scan = tissue((40, 40, 40)) + 190 * noise * random.standard_normal((40, 40, 40), np.float32)
    hurt = scan.copy()
    hurt[random.random(scan.shape) < share] = 190 * brightness
    for offset in (0, 1e4):
        before, after = Normalisation.fit(scan + offset), Normalisation.fit(hurt + offset)
        assert after.scale == pytest.approx(before.scale, rel=0.5)
        assert after.offset == pytest.approx(before.offset, abs=0.3 * before.scale)


@given(st.floats(1, 1e6), st.sampled_from([-1, 1]))
def test_the_range_depends_continuously_on_how_bright_they_are(
    brightness: float, sign: int
) -> None:
    data = SCAN.copy()

    def scale(value: float) -> float:
        data[10:14, 10:14, 10:14] = value
        return Normalisation.fit(data + 5000).scale

    assert scale(sign * 190 * brightness) == pytest.approx(
        scale(sign * 190 * brightness * 1.001), rel=0.01
    )


@pytest.mark.parametrize("noise", [0, 0.03])
@pytest.mark.parametrize("size", [5, 7, 10])
def test_an_object_in_little_of_the_image_keeps_its_range(noise: float, size: int) -> None:
    """0.4 to 3 % of it: vessels in an angiogram, a small sample; the noise around is no tissue."""
    random = np.random.default_rng(0)
    data = np.zeros((32, 32, 32))
    data[:size, :size, :size] = random.uniform(0.5, 1, (size,) * 3)
    data = np.abs(data + noise * random.standard_normal(data.shape)).astype(np.float32)
    low, high = np.percentile(data, (0.05, 99.95))
    assert Normalisation.fit(data) == Normalisation(low, high - low)


def test_ringing_of_metal_is_not_taken_for_air() -> None:
    """It reaches deeper below 0 than tissue is bright."""
    hurt = SCAN.copy()
    hurt[10:14, 10:14, 10:14] = 50 * 190
    hurt[10:14, 10:14, 14:17] = -2 * 190
    assert Normalisation.fit(hurt).offset == 0


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["train", "val", "clinical"])
def test_real_scans_have_the_range_that_weights_were_trained_with(folder: str) -> None:
    paths = sorted((REAL / folder).glob("*.nii.gz"))[::3]
    if not paths:
        pytest.skip("needs ../shared/data")
    for path in paths:
        data = Volume.read(path).data
        low, high = np.percentile(data, (0.05, 99.95))
        assert Normalisation.fit(data) == Normalisation(low, high - low), path.name


def test_small_objects_fall_back_to_least_and_greatest() -> None:
    data = np.full((20, 20, 20), -3, np.float32)
    data[10, 10, 10] = 5
    assert Normalisation.fit(data) == Normalisation(offset=-3, scale=8)


def test_large_images_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.random.default_rng(0).normal(100, 10, (60, 60, 60)).astype(np.float32)
    whole = Normalisation.fit(data)
    monkeypatch.setattr("arssr.intensity._ENOUGH_VOXELS", 50_000)
    sampled = Normalisation.fit(data)
    assert sampled != whole
    assert sampled.scale == pytest.approx(whole.scale, rel=0.05)
    assert Normalisation.fit(np.asfortranarray(data)).scale == pytest.approx(whole.scale, rel=0.05)


def test_identity_changes_nothing() -> None:
    data = np.array([[[-1.5, 0, 3e4]]], np.float32)
    identity = Normalisation.identity()
    np.testing.assert_array_equal(identity.apply(data), data)
    np.testing.assert_array_equal(identity.invert(data), data)
    assert identity.apply(data) is not data


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_other_types_of_samples(dtype: type) -> None:
    data = np.arange(60).reshape(3, 4, 5).astype(dtype)
    normalisation = Normalisation.fit(data)
    np.testing.assert_allclose(normalisation.invert(normalisation.apply(data)), data, atol=1e-4)


@pytest.mark.parametrize("value", [0, 7, -1e-3])
def test_a_constant_image_is_refused(value: float) -> None:
    with pytest.raises(ArSSRError, match=r"T1\.nii: constant, every voxel is"):
        Normalisation.fit(np.full((4, 4, 4), value, np.float32), "T1.nii")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_numbers_are_refused(value: float) -> None:
    data = phantom((8, 8, 8))
    data[1, 2, 3] = value
    with pytest.raises(ArSSRError, match=r"T1\.nii: .*NaN or infinite"):
        Normalisation.fit(data, "T1.nii")


def test_an_empty_image_is_refused() -> None:
    with pytest.raises(ArSSRError, match="no voxels"):
        Normalisation.fit(np.zeros((0, 4, 4), np.float32))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("offset", "scale"), [(0, 0), (0, -1), (np.nan, 1), (0, np.inf), (0, 1e-60), (1e60, 1)]
)
def test_impossible_constants_are_refused(offset: float, scale: float) -> None:
    with pytest.raises(ArSSRError, match="scale above 0"):
        Normalisation(offset, scale)


# --- finest detail -------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.2])
def test_the_noise_that_was_added_is_found(sigma: float) -> None:
    noise = np.random.default_rng(0).normal(0, sigma, (48, 48, 48))
    noisy = (phantom() + noise).astype(np.float32)
    assert finest_detail(noisy) == pytest.approx(sigma, rel=0.05)


@pytest.mark.parametrize("background", [0, -0.37, 0.123])
def test_a_stripped_background_does_not_count(background: float) -> None:
    """Only the object is noisy; the background is constant, but not zero once normalised."""
    image = phantom((80, 80, 80))
    noise = np.random.default_rng(0).normal(0, 0.05, image.shape)
    noisy = np.where(image > 0, image + noise, 0) + background
    # Somewhat too little: at the rim, half of what the wavelet sees has no noise.
    assert 0.04 < finest_detail(noisy.astype(np.float32)) < 0.05


@pytest.mark.parametrize("shape", [(33, 40, 27), (4, 30, 30)])
def test_it_is_what_scikit_image_finds(shape: tuple[int, int, int]) -> None:
    data = np.random.default_rng(1).normal(0.5, 0.1, shape).astype(np.float32)
    assert finest_detail(data) == pytest.approx(estimate_sigma(data, channel_axis=None), rel=1e-3)


def test_no_noise_is_none() -> None:
    assert finest_detail(phantom()) < 0.002
    assert finest_detail(np.full((16, 16, 16), 0.3, np.float32)) == 0


@pytest.mark.parametrize("shape", [(3, 20, 20), (20, 20, 1)])
def test_images_too_small_to_tell_have_none(shape: tuple[int, int, int]) -> None:
    assert finest_detail(np.random.default_rng(0).random(shape, np.float32)) == 0
