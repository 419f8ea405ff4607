import numpy as np
import pytest
from tests.phantoms import rotated, smooth, volume

from arssr.degradation import degrade, named_degradation
from arssr.errors import ArSSRError
from arssr.evaluation.baselines import BASELINES, deconvolve, interpolate, wiener_matrix
from arssr.evaluation.methods import Baseline
from arssr.evaluation.metrics import score
from arssr.evaluation.protocol import Setting
from arssr.interpolation import resample

LR = volume(smooth((9, 11, 8)), np.diag([2.0, 1.5, 3.0, 1]))


def test_lanczos_is_what_simpleitk_says_point_by_point() -> None:
    import SimpleITK as sitk  # noqa: N813 - its customary name

    fine = LR.grid.scaled((2.3, 1, 1.5))
    image = sitk.GetImageFromArray(np.pad(LR.data.astype(float), 8, mode="edge"))
    positions = fine.axis_positions_in(LR.grid).positions  # type: ignore[union-attr]
    resampler = sitk.ResampleImageFilter()
    resampler.SetInterpolator(sitk.sitkLanczosWindowedSinc)
    resampler.SetSize([len(p) for p in positions[::-1]])
    resampler.SetOutputOrigin([float(p[0]) + 8 for p in positions[::-1]])
    resampler.SetOutputSpacing([float(p[1] - p[0]) for p in positions[::-1]])
    expected = sitk.GetArrayFromImage(resampler.Execute(image))
    result = interpolate("lanczos", LR, fine)
    assert result.grid == fine
    assert np.allclose(result.data, expected, atol=1e-6)


def test_lanczos_reads_a_flipped_grid() -> None:
    fine = LR.grid.scaled(2)
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = fine.shape[0] - 1
    flipped = type(fine)(fine.shape, fine.affine @ flip)
    there, back = (interpolate("lanczos", LR, grid).data for grid in (fine, flipped))
    assert np.allclose(back[::-1], there, atol=1e-6)


@pytest.mark.parametrize("name", ["nearest", "trilinear", "cubic", "lanczos"])
def test_samples_are_kept_where_they_are(name: str) -> None:
    assert np.allclose(interpolate(name, LR, LR.grid).data, LR.data, atol=1e-5)


def test_the_wiener_filter_is_the_one_of_the_textbook() -> None:
    n, k, r = 64, 3.0, 0.02
    matrix = wiener_matrix(n, k, named_degradation("slice"), r)
    m = 10  # a cosine goes through with its gain alone: H is that of a Gaussian of FWHM k
    cosine = np.cos(np.pi * m * (np.arange(n) + 0.5) / n)
    sigma = k / (2 * np.sqrt(2 * np.log(2)))
    transfer = np.exp(-0.5 * (np.pi * m / n * sigma) ** 2)
    expected = transfer * (1 + r) / (transfer**2 + r)
    assert np.allclose(matrix @ cosine, expected * cosine, atol=1e-3)
    assert np.allclose(matrix @ np.ones(n), 1, atol=1e-6)


def test_deconvolution_sharpens_what_was_blurred_and_leaves_what_was_not() -> None:
    truth = volume(smooth((40, 40, 40), sigma=2.5))
    for name, gain in (("slice", 2.0), ("spline", 0.0)):
        degradation = named_degradation(name)
        lr = degrade(truth, 3, degradation)
        cubic = resample(lr, truth.grid)
        sharp = deconvolve(lr, truth.grid, (3.0, 3.0, 3.0), degradation)
        better = score(truth, sharp)["psnr"] - score(truth, cubic)["psnr"]
        assert better > gain if gain else np.array_equal(sharp.data, cubic.data)


def test_noise_is_answered_with_regularisation() -> None:
    truth = volume(smooth((32, 32, 32), sigma=2.5))
    degradation = named_degradation("slice")
    lr = degrade(truth, 2, degradation, 10, np.random.default_rng(0))
    careless, careful = (
        score(truth, deconvolve(lr, truth.grid, (2.0, 2.0, 2.0), degradation, snr))["psnr"]
        for snr in (None, 10)
    )
    assert careful > careless + 1


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_answers_on_the_grid_of_the_truth_in_its_units(name: str) -> None:
    truth = volume(1000 + 300 * smooth((21, 22, 23)), np.diag([-1.0, 1, 1.2, 1]))
    setting = Setting("slice", (2.3, 1.0, 3.0))
    result = Baseline(name).load()(setting.measure(truth), truth.grid, setting)
    assert result.grid.matches(truth.grid)
    assert score(truth, result)["nrmse"] < 0.05


def test_unknown_names_and_oblique_grids_are_refused() -> None:
    with pytest.raises(ArSSRError, match="unknown baseline 'sinc'"):
        Baseline("sinc")
    with pytest.raises(ArSSRError, match="no interpolation"):
        interpolate("lanczos", LR, rotated(LR.grid, (0, 0, 30)))


def test_a_delta_blur_has_no_filter() -> None:
    assert np.array_equal(wiener_matrix(12, 2, named_degradation("spline"), 0.02), np.eye(12))


def test_for_k_space_the_filter_keeps_what_was_measured() -> None:
    matrix = wiener_matrix(32, 2, named_degradation("kspace"), 0.02)
    for m, gain in ((5, 1), (14, 1), (18, 0), (30, 0)):
        cosine = np.cos(np.pi * m * (np.arange(32) + 0.5) / 32)
        assert np.allclose(matrix @ cosine, gain * cosine, atol=1e-6)
