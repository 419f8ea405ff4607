"""The true resolution of scans: closed forms with spectra like those of anatomy, and real scans."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from tests.phantoms import anatomy, smooth, volume, zero_filled

from arssr.degradation import KSpace, Slice, degrade
from arssr.interpolation import resample
from arssr.resolution import (
    AxisResolution,
    band_grid,
    cut_to_band,
    measure_resolution,
)
from arssr.volume import Volume

DATA = Path(__file__).parents[2] / "shared" / "data"
SHAPE = (96, 80, 72)
NATIVE = ("train/niimath_T1w", "train/coregqa_T1w", "val/karawun_FLAIR", "train/uih2_T1w")


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    return anatomy(SHAPE)


def along(data: np.ndarray, axis: int = 0) -> AxisResolution:
    """What is found along one axis."""
    return measure_resolution(volume(data)).axes[axis]


def test_what_was_measured_as_it_is_stored_is_full(head: np.ndarray) -> None:
    found = measure_resolution(volume(head))
    assert [axis.ending for axis in found.axes] == ["full"] * 3
    assert found.share_ijk == (1, 1, 1)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("share", [0.4, 0.5, 0.6, 0.7, 0.8, 0.85])
def test_zero_filling_is_found_where_it_is(head: np.ndarray, axis: int, share: float) -> None:
    found = measure_resolution(volume(zero_filled(head, axis, share)))
    endings = ["full"] * 3
    endings[axis] = "sharp"
    assert [each.ending for each in found.axes] == endings
    assert found.share_ijk[axis] == pytest.approx(share, abs=0.05)
    assert found.axes[axis].low <= round(share * SHAPE[axis]) / SHAPE[axis] <= found.axes[axis].high


def test_an_apodised_band_ends_sharply_too(head: np.ndarray) -> None:
    found = along(zero_filled(head, 0, 0.6, apodisation=0.5))
    assert found.ending == "sharp" and found.share == pytest.approx(0.6, abs=0.05)


def test_a_band_that_fades_into_its_end_is_never_full(head: np.ndarray) -> None:
    found = along(zero_filled(head, 0, 0.6, apodisation=1))  # Hamming's filter leaves 8 % there
    assert found.ending in ("sharp", "slow") and 0.3 < found.share < 0.65


@pytest.mark.parametrize("sigma", [0.003, 0.03])
def test_noise_that_was_zero_filled_with_the_scan_does_not_hide_the_edge(
    head: np.ndarray, sigma: float
) -> None:
    noise = sigma * np.random.default_rng(0).standard_normal(head.shape)
    found = along(zero_filled(head + noise, 0, 0.6))
    assert found.ending == "sharp" and found.share == pytest.approx(0.6, abs=0.05)


def test_a_mask_put_on_after_zero_filling_does_not_hide_the_edge(head: np.ndarray) -> None:
    masked = zero_filled(head, 0, 0.6) * (ndimage.binary_erosion(head > 0, iterations=4))
    found = along(masked.astype(np.float32))
    assert found.ending == "sharp" and found.share == pytest.approx(0.6, abs=0.05)


def test_eight_bits_do_not_hide_the_edge(head: np.ndarray) -> None:
    found = along(np.rint(255 * zero_filled(head, 0, 0.6)).clip(0, 255))
    assert found.ending == "sharp" and found.share == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize("fwhm", [2, 3, 4, 6])
def test_smoothing_fades_slowly_and_the_sooner_the_more_it_is(
    head: np.ndarray, fwhm: float
) -> None:
    found, more = (
        along(ndimage.gaussian_filter1d(head, f / 2.355, axis=0)) for f in (fwhm, 1.5 * fwhm)
    )
    assert found.ending == more.ending == "slow"
    assert more.share < found.share < 0.6 and found.low <= found.share <= found.high
    assert found.is_soft and not found.is_zero_filled


def test_linear_interpolation_fades_slowly(head: np.ndarray) -> None:
    fine = volume(head)
    found = along(resample(degrade(fine, (2, 1, 1), KSpace()), fine.grid, "linear").data)
    assert found.ending == "slow" and found.share == pytest.approx(0.5, abs=0.1)


def test_noise_drowns_what_is_beyond_it_and_its_level_is_told(head: np.ndarray) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(head.shape)
    found = along((head + noise).astype(np.float32))
    assert found.ending == "noise" and found.share < 0.4 and found.high == 1
    assert found.floor == pytest.approx(0.1, rel=0.1)


def test_slices_that_average_over_their_thickness_are_not_zero_filled(head: np.ndarray) -> None:
    thick = degrade(volume(anatomy((64, 64, 160))), (1, 1, 4), Slice())
    found = measure_resolution(thick)
    assert not any(axis.ending == "sharp" for axis in found.axes)


def test_too_few_samples_tell_nothing(head: np.ndarray) -> None:
    stack = zero_filled(head, 0, 0.6)[:, :, 30:42]
    found = measure_resolution(volume(stack))
    assert [axis.ending for axis in found.axes] == ["sharp", "full", "unknown"]
    single = measure_resolution(volume(stack[:, :, :1]))
    assert [axis.ending for axis in single.axes] == ["sharp", "full", "unknown"]
    assert single.axes[2].low == 0 and single.axes[2].high == 1


@pytest.mark.parametrize("sigma", [0.5, 1, 1.6, 2, 3, 6])
@pytest.mark.parametrize("side", [32, 48, 96])
def test_a_smooth_image_is_never_taken_for_zero_filled(sigma: float, side: int) -> None:
    found = measure_resolution(volume(smooth((side, side, side), sigma=sigma)))
    assert not any(axis.ending == "sharp" for axis in found.axes)


@pytest.mark.parametrize("value", [0, 1, -1000])
def test_a_constant_image_tells_nothing(value: float) -> None:
    found = measure_resolution(volume(np.full((40, 40, 40), value, np.float32)))
    assert [axis.ending for axis in found.axes] == ["unknown"] * 3


def test_a_cut_keeps_the_field_of_view_and_what_was_measured(head: np.ndarray) -> None:
    scan = volume(zero_filled(head, 0, 0.6), np.diag([0.5, 0.5, 2, 1]))
    resolution = measure_resolution(scan)
    cut = cut_to_band(scan, resolution)
    assert cut.grid == band_grid(scan.grid, resolution)
    assert cut.grid.shape[1:] == SHAPE[1:] and 0.6 <= cut.grid.shape[0] / SHAPE[0] < 0.68
    np.testing.assert_allclose(cut.grid.extent_mm, scan.grid.extent_mm)
    filled = KSpace().axis_matrix(
        cut.grid.shape[0], (np.arange(96) + 0.5) * cut.grid.shape[0] / 96 - 0.5, 1.0
    )
    np.testing.assert_allclose(np.tensordot(filled, cut.data, 1), scan.data, atol=2e-3)


def test_nothing_is_cut_off_what_is_not_zero_filled(head: np.ndarray) -> None:
    for data in (head, ndimage.gaussian_filter(head, 1.5)):
        scan = volume(data)
        assert cut_to_band(scan, measure_resolution(scan)) is scan


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
@pytest.mark.parametrize("name", NATIVE)
def test_native_scans_are_full_and_their_cuts_are_recognised(name: str) -> None:
    scan = Volume.read(DATA / f"{name}.nii.gz")
    for axis in measure_resolution(scan).axes:
        assert axis.ending in ("full", "noise") and not axis.is_soft
    for share in (0.5, 0.85):
        data = np.rint(zero_filled(scan.data, 1, share)).clip(0, 255)
        found = along(data, axis=1)
        assert found.ending == "sharp" and found.share == pytest.approx(share, abs=0.05)
