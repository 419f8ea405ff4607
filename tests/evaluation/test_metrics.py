import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage
from skimage.filters import threshold_otsu
from tests.phantoms import smooth, volume

from arssr.degradation import degrade, named_degradation
from arssr.errors import ArSSRError
from arssr.evaluation.metrics import METRICS, consistency, head_mask, score

TRUTH = volume(200 * smooth((21, 24, 19), seed=1) - 40)
NOISE = np.random.default_rng(2).normal(0, 6, TRUTH.grid.shape)
RESULT = TRUTH.with_data(TRUTH.data + NOISE, TRUTH.grid)


def test_psnr_and_nrmse_are_what_numpy_says() -> None:
    truth, result = TRUTH.data.astype(float), RESULT.data.astype(float)
    mask = head_mask(TRUTH.data)
    scores = score(TRUTH, RESULT)
    for name, where in (("psnr", np.ones_like(mask)), ("psnr_head", mask)):
        mse = ((truth - result)[where] ** 2).mean()
        expected = 20 * np.log10((truth.max() - truth.min()) / np.sqrt(mse))
        assert scores[name] == pytest.approx(expected, abs=1e-4)
    expected = np.linalg.norm(result - truth) / np.linalg.norm(truth)
    assert scores["nrmse"] == pytest.approx(expected, rel=1e-5)


def test_ssim_is_what_numpy_says() -> None:
    x, y = (sliding_window_view(v.data.astype(float), (7, 7, 7)) for v in (TRUTH, RESULT))
    window = (-3, -2, -1)
    mx, my = x.mean(window), y.mean(window)
    n = 7**3
    vx, vy = x.var(window, ddof=1), y.var(window, ddof=1)
    vxy = ((x * y).mean(window) - mx * my) * n / (n - 1)
    span = float(TRUTH.data.max() - TRUTH.data.min())
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    ssim = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert score(TRUTH, RESULT)["ssim"] == pytest.approx(ssim.mean(), abs=1e-5)


def test_ssim_in_the_head_is_the_mean_over_the_mask() -> None:
    damage = np.where(head_mask(TRUTH.data), 0, NOISE)  # what SSIM's window sees of it at the rim
    clean = score(TRUTH, TRUTH.with_data(TRUTH.data + damage, TRUTH.grid))
    assert clean["psnr_head"] == np.inf
    assert clean["ssim"] < clean["ssim_head"] < 1


def test_hfen_is_a_relative_norm_behind_a_laplacian_of_gaussian() -> None:
    x = np.arange(-7, 8)
    g = np.exp(-0.5 * (x / 1.5) ** 2)
    g /= g.sum()
    second = g * (x**2 / 1.5**4 - 1 / 1.5**2)
    kernel = sum(
        np.einsum("i,j,k", *(second if axis == a else g for axis in range(3))) for a in range(3)
    )

    def edges(data: np.ndarray) -> np.ndarray:
        padded = np.pad(data.astype(float), 7, mode="symmetric")
        return np.einsum("abcijk,ijk->abc", sliding_window_view(padded, kernel.shape), kernel)

    expected = np.linalg.norm(edges(RESULT.data - TRUTH.data)) / np.linalg.norm(edges(TRUTH.data))
    assert score(TRUTH, RESULT)["hfen"] == pytest.approx(expected, rel=1e-4)


def test_a_constant_error_by_hand() -> None:
    off = TRUTH.with_data(TRUTH.data + 5, TRUTH.grid)
    scores = score(TRUTH, off)
    assert scores["psnr"] == pytest.approx(20 * np.log10(np.ptp(TRUTH.data) / 5), abs=1e-4)
    assert scores["psnr_head"] == pytest.approx(scores["psnr"], abs=1e-4)
    assert scores["hfen"] < 1e-3  # an offset has no edges


def test_the_truth_itself_is_perfect() -> None:
    assert score(TRUTH, TRUTH) == {
        "psnr": np.inf,
        "ssim": 1,
        "psnr_head": np.inf,
        "ssim_head": 1,
        "nrmse": 0,
        "hfen": 0,
    }
    assert list(METRICS) == [*score(TRUTH, TRUTH), "consistency"]


@pytest.mark.parametrize("name", ["kspace", "slice", "spline"])
def test_consistency_is_the_relative_error_of_the_degraded_result(name: str) -> None:
    scale = (2.0, 1.0, 2.5)
    degradation = named_degradation(name)
    lr = degrade(TRUTH, scale, degradation)
    assert consistency(TRUTH, lr, scale, degradation) < 1e-6
    matrices = [
        np.eye(n) if k == 1 else degradation.axis_matrix(n, (np.arange(m) + 0.5) * k - 0.5, k)
        for n, m, k in zip(TRUTH.grid.shape, lr.grid.shape, scale, strict=True)
    ]
    again = np.einsum("ai,bj,ck,ijk", *matrices, RESULT.data, optimize=True)
    expected = np.linalg.norm(again - lr.data) / np.linalg.norm(lr.data)
    assert consistency(RESULT, lr, scale, degradation) == pytest.approx(expected, rel=1e-4)


def test_the_head_is_above_otsu_with_its_holes_filled() -> None:
    data = smooth((18, 20, 16), seed=4)
    data[6:9, 6:9, 6:9] = 0  # a hole, or open, depending on what surrounds it
    expected = ndimage.binary_fill_holes(data > threshold_otsu(data))
    assert np.array_equal(head_mask(data), expected)
    shell = np.zeros((9, 9, 9))
    shell[2:7, 2:7, 2:7] = 1
    shell[4, 4, 4] = 0
    assert head_mask(shell).sum() == 5**3


def test_thin_images_have_a_similarity_too() -> None:
    thin = volume(smooth((30, 30, 4)))
    assert 0 < score(thin, thin.with_data(thin.data * 0.9, thin.grid))["ssim"] < 1


def test_what_cannot_be_measured_is_refused_in_words() -> None:
    with pytest.raises(ArSSRError, match="constant"):
        score(volume(np.ones((9, 9, 9))), volume(np.ones((9, 9, 9))))
    with pytest.raises(ArSSRError, match="3 voxels"):
        score(volume(smooth((9, 9, 2))), volume(smooth((9, 9, 2))))
    shifted = volume(
        TRUTH.data, np.array([[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    )
    with pytest.raises(ArSSRError, match="grid of the truth"):
        score(TRUTH, shifted)
    with pytest.raises(ArSSRError, match="NaN"):
        score(TRUTH, TRUTH.with_data(np.full(TRUTH.grid.shape, np.nan), TRUTH.grid))


@pytest.mark.parametrize("exponent", [-110, 100, 115])
@pytest.mark.filterwarnings("error")
def test_units_change_no_score_however_large_or_small(exponent: int) -> None:
    truth, result = (v.with_data(np.ldexp(v.data, exponent), v.grid) for v in (TRUTH, RESULT))
    assert score(truth, result) == score(TRUTH, RESULT)
    degradation = named_degradation("slice")
    measured = degrade(TRUTH, 2, degradation)
    huge = measured.with_data(np.ldexp(measured.data, exponent), measured.grid)
    expected = consistency(RESULT, measured, 2, degradation)
    assert consistency(result, huge, 2, degradation) == pytest.approx(expected, rel=1e-5)
