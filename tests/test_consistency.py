"""The projection is what linear algebra says it is, and it never takes away from the truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.phantoms import rotated, smooth, volume

from arssr.consistency import Acquisition, make_consistent
from arssr.degradation import Slice, degrade, named_degradation
from arssr.errors import ArSSRError
from arssr.formats.slices import Slices
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.volume import Volume

SCALES = {"isotropic": 2.0, "thick": (1.0, 1.0, 3.0), "odd": (1.5, 1.0, 2.5)}
names = st.sampled_from(["kspace", "slice", "spline"])


def guess(truth: Volume, seed: int = 9) -> Volume:
    """Another image on the same grid."""
    return truth.with_data(smooth(truth.grid.shape, seed, sigma=1), truth.grid)


def dense(acquisition: Acquisition, shape: tuple[int, ...]) -> np.ndarray:
    """A as one matrix: what it makes of every unit image."""
    units = np.eye(int(np.prod(shape)), dtype=np.float32).reshape(-1, *shape)
    return np.stack([acquisition.measure(torch.from_numpy(u)).numpy().ravel() for u in units], 1)


@given(name=names, scale=st.sampled_from([*SCALES.values()]))
def test_measuring_is_degrading(name: str, scale: float) -> None:
    truth = volume(smooth((12, 10, 30), sigma=1))
    scan = degrade(truth, scale, named_degradation(name))
    measured = Acquisition(scan.grid, truth.grid, (name,) * 3).measure(torch.from_numpy(truth.data))
    np.testing.assert_allclose(measured, scan.data, atol=1e-5)


@pytest.mark.parametrize("axis", range(3))
def test_slices_with_gaps_measure_as_thick_as_they_are(axis: int) -> None:
    """Whatever the network was told of them, but where someone says that it is k-space."""
    truth = volume(smooth((12, 12, 12), sigma=1))
    scale = tuple(3.0 if a == axis else 1.0 for a in range(3))
    slices = Slices(axis, 2.1, 3.0)
    scan = replace(degrade(truth, scale, Slice(gap=0.3)), slices=slices)
    for name in ("slice", "spline", "unknown"):
        done = make_consistent(guess(truth), scan, (name,) * 3)
        again = degrade(done.volume, scale, Slice(gap=0.3))
        np.testing.assert_allclose(again.data, scan.data, atol=2e-5)

    def measured(name: str, slices: Slices | None) -> np.ndarray:
        acquisition = Acquisition(scan.grid, truth.grid, (name,) * 3, slices)
        return acquisition.measure(torch.from_numpy(truth.data)).numpy()

    for name, other in (
        ("kspace", slices),
        ("slice", Slices(axis, 2.9, 3.0)),
        ("slice", Slices((axis + 1) % 3, 2.1, 3.0)),
        ("spline", Slices(axis, 5.0, 3.0)),
    ):
        assert np.array_equal(measured(name, other), measured(name, None))
    with pytest.raises(ArSSRError, match="name its acquisition"):
        measured("unknown", Slices(axis, 3.0, 3.0))


@settings(max_examples=30)
@given(name=names, scale=st.sampled_from([*SCALES.values()]))
def test_a_consistent_result_measures_as_the_scan_and_is_no_farther_from_the_truth(
    name: str, scale: float
) -> None:
    truth = volume(smooth((12, 10, 30), sigma=1))
    scan = degrade(truth, scale, named_degradation(name))
    x = guess(truth)
    done = make_consistent(x, scan, (name,) * 3)
    again = degrade(done.volume, scale, named_degradation(name))
    np.testing.assert_allclose(again.data, scan.data, atol=2e-5)
    assert done.residual_before > 0.02 and done.residual_after < 2e-5
    before, after = (np.linalg.norm(v.data - truth.data) for v in (x, done.volume))
    assert after < before


def test_only_what_is_measured_changes() -> None:
    """In k-space at 2x: within the measured band the scan's, outside the band the guess's."""
    truth, x = volume(smooth((10, 14, 6), sigma=0.7)), volume(smooth((10, 14, 6), 3, sigma=0.7))
    scan = degrade(truth, 2.0, named_degradation("kspace"))
    done = make_consistent(x, scan, ("kspace",) * 3).volume
    spectrum, wanted, guessed = (np.fft.fftn(v.data) for v in (done, truth, x))
    line = [np.abs(np.fft.fftfreq(n)) * n for n in truth.grid.shape]
    inside = np.ix_(*(f < n / 4 - 0.1 for f, n in zip(line, truth.grid.shape, strict=True)))
    np.testing.assert_allclose(spectrum[inside], wanted[inside], atol=1e-3)
    spectrum[inside] = guessed[inside] = 0
    np.testing.assert_allclose(spectrum, guessed, atol=1e-3)  # 5, 7 and 3 have no line at Nyquist


@settings(max_examples=10)
@given(name=names, sigma=st.sampled_from([0.0, 0.02]))
def test_the_axis_wise_solution_is_that_of_the_whole_system(name: str, sigma: float) -> None:
    truth = volume(smooth((6, 4, 6), sigma=1))
    scan = degrade(truth, (2, 1, 1.5), named_degradation(name))
    acquisition = Acquisition(scan.grid, truth.grid, (name,) * 3)
    a = dense(acquisition, truth.grid.shape).astype(np.float64)
    residual = np.random.default_rng(0).normal(0, 0.1, scan.grid.shape).astype(np.float32)
    z = acquisition.solve(torch.from_numpy(residual), sigma)
    spread = acquisition.spread(z).numpy()
    np.testing.assert_allclose(spread.ravel(), a.T @ z.numpy().ravel(), atol=1e-5)
    left = residual.ravel() - a @ spread.ravel()
    if sigma == 0:
        np.testing.assert_allclose(spread.ravel(), np.linalg.pinv(a) @ residual.ravel(), atol=1e-4)
    else:  # Tikhonov with the ridge that leaves the noise: (A Aᵀ + λ) z = r, so left = λ z
        ridge = left @ z.numpy().ravel() / np.square(z.numpy()).sum()
        np.testing.assert_allclose(left, ridge * z.numpy().ravel(), atol=1e-5)
        assert np.sqrt(np.mean(left**2)) == pytest.approx(sigma, rel=0.01)


def test_noise_is_not_fitted() -> None:
    truth = volume(smooth((16, 16, 16)))
    clean = degrade(truth, 2.0, named_degradation("slice"))
    noise = np.random.default_rng(1).normal(0, 0.03, clean.grid.shape)
    noisy = clean.with_data(clean.data + noise, clean.grid)
    kept = make_consistent(truth, noisy, ("slice",) * 3, sigma=0.031)
    np.testing.assert_array_equal(kept.volume.data, truth.data)  # all that is left is noise
    assert "its noise, as it may be" in kept.describe(1.0)["in_words"]
    fitted = make_consistent(truth, noisy, ("slice",) * 3)
    assert fitted.residual_after < 1e-4 < kept.residual_after


@pytest.mark.parametrize("scale", [(2.0, 2.0, 2.0), (0.7, 0.8, 3.0)])
def test_with_noise_a_result_agrees_as_well_as_the_truth_does(
    scale: tuple[float, float, float],
) -> None:
    """Noise that the filter of coarser axes takes away is not left either, nor that of a mask."""
    fine = volume(smooth((24, 24, 24), sigma=1))
    scan = degrade(fine, tuple(max(k, 1) for k in scale), named_degradation("slice"))
    sigma, masked = 0.02, scan.grid.shape[0] // 2
    data = scan.data + np.random.default_rng(1).normal(0, sigma, scan.data.shape) + 1
    data[:masked] = 0
    x = resample(scan.with_data(np.where(data > 0, scan.data + 1, 0), scan.grid), fine.grid)
    target = scan.grid.scaled(scale)
    x = resample(x, target)
    x = x.with_data(x.data + 0.3 * smooth(target.shape, 5, sigma=1), target)
    done = make_consistent(x, scan.with_data(data, scan.grid), ("slice",) * 3, sigma)
    facts = done.describe(1.0)
    assert facts["share_of"] == "noise" and facts["residual_before"] > 2
    assert facts["residual_after"] == pytest.approx(1, abs=0.02)
    assert facts["in_words"].endswith("now 100 %")
    assert done.noise == pytest.approx(sigma) if min(scale) > 1 else done.noise < 0.8 * sigma


@settings(max_examples=10)
@given(
    name=names,
    coarser=st.floats(0.3, 1.0),
    factor=st.floats(1.2, 3),
    axis=st.integers(0, 2),
)
def test_consistency_comes_before_or_after_making_other_axes_coarser(
    name: str, coarser: float, factor: float, axis: int
) -> None:
    """Along the axes that are refined; a result may be shifted along the others, too."""
    scan = volume(smooth((9, 9, 9), sigma=1))
    fine = scan.grid.scaled([factor if a == axis else 1.0 for a in range(3)])
    target = fine.scaled([1.0 if a == axis else coarser for a in range(3)])
    shift = np.eye(4)
    shift[:3, 3] = [0 if a == axis else 0.3 for a in range(3)]
    target = Grid(target.shape, target.affine @ shift)
    x = volume(smooth(fine.shape, 7, sigma=1), fine.affine)
    told = (name,) * 3
    before = resample(make_consistent(x, scan, told).volume, target)
    after = make_consistent(resample(x, target), scan, told)
    np.testing.assert_allclose(after.volume.data, before.data, atol=2e-5)
    assert after.residual_after < 2e-5


def test_where_nothing_is_refined_the_scan_says_all() -> None:
    scan = volume(smooth((8, 9, 10), sigma=1))
    coarser = scan.grid.with_spacing((1, 2, 1.5))
    done = make_consistent(guess(resample(scan, coarser)), scan, ("unknown",) * 3)
    np.testing.assert_allclose(done.volume.data, resample(scan, coarser).data, atol=1e-5)


@pytest.mark.parametrize("spacing", [0.62, 0.71, 0.735])
def test_lines_of_k_space_are_periods_of_the_scan_not_of_the_result(spacing: float) -> None:
    """Waves that fit the scan's field of view are measured as they are, or not at all."""
    scan = volume(np.zeros((40, 1, 1)))
    target = scan.grid.with_spacing((spacing, 1, 1))
    assert abs(target.shape[0] * spacing - 40) > 0.2
    acquisition = Acquisition(scan.grid, target, ("kspace",) * 3)
    x_mm, y_mm = (np.arange(g.shape[0]) * g.spacing_mm[0] for g in (target, scan.grid))
    for lines in (0, 3, 19):
        wave = np.cos(2 * np.pi * lines * (x_mm + spacing / 2) / 40)
        found = acquisition.measure(torch.from_numpy(wave.astype(np.float32)[:, None, None]))
        expected = np.cos(2 * np.pi * lines * (y_mm + 0.5) / 40)
        np.testing.assert_allclose(found.numpy().ravel(), expected, atol=1e-5)
    beyond = np.cos(2 * np.pi * 23 * (x_mm + spacing / 2) / 40) * np.hanning(len(x_mm))
    found = acquisition.measure(torch.from_numpy(beyond.astype(np.float32)[:, None, None]))
    assert np.abs(found.numpy()).max() < 0.01


@pytest.mark.parametrize("shape", [(20, 9, 8), (21, 12, 9)])
def test_where_the_field_of_view_fits_k_space_is_that_of_the_degradation(
    shape: tuple[int, int, int],
) -> None:
    scan = volume(np.zeros(shape))
    target = scan.grid.scaled(2)
    found = Acquisition(scan.grid, target, ("kspace",) * 3)
    image = torch.from_numpy(smooth(target.shape, sigma=0.5))
    again = degrade(volume(image.numpy(), target.affine), 2.0, named_degradation("kspace"))
    np.testing.assert_allclose(found.measure(image).numpy(), again.data, atol=1e-5)


def test_what_is_not_seen_is_not_blown_up() -> None:
    """With as many voxels as the scan has, the result cannot show the line at Nyquist."""
    scan = volume(smooth((96, 1, 1), sigma=1))
    target = scan.grid.with_spacing((0.9956, 1, 1))
    assert target.shape == scan.grid.shape
    done = make_consistent(resample(scan, target), scan, ("kspace",) * 3)
    assert np.abs(done.volume.data - resample(scan, target).data).max() < 0.2
    assert done.residual_after <= done.residual_before


def test_a_blurred_scan_may_have_any_number_of_voxels() -> None:
    """13.6 result voxels are rounded to 14; only k-space minds."""
    scan = volume(smooth((8, 8, 8)), SCAN.affine)
    x = volume(smooth((14, 14, 14), 5), scan.grid.scaled(1.7).affine)
    assert make_consistent(x, scan, ("slice",) * 3).residual_after < 1e-5


def test_permuted_and_flipped_grids_agree() -> None:
    truth = volume(smooth((12, 10, 8), sigma=1))
    scan = degrade(truth, (2, 1, 2), named_degradation("slice"))
    x = guess(truth)
    turn = np.array([[0, -1, 0, 11], [0, 0, 1, 0], [-1, 0, 0, 7], [0, 0, 0, 1.0]])
    turned_grid = Grid((8, 12, 10), truth.grid.affine @ turn)
    turned = volume(x.data.transpose(2, 0, 1)[::-1, ::-1], turned_grid.affine)
    told = ("slice", "kspace", "slice")
    plain, other = (make_consistent(v, scan, told).volume.data for v in (x, turned))
    np.testing.assert_allclose(other, plain.transpose(2, 0, 1)[::-1, ::-1], atol=1e-5)


def test_a_scan_of_zeros_is_no_reason_to_divide_by_zero() -> None:
    scan = volume(np.zeros((4, 4, 4)))
    x = guess(volume(np.zeros((8, 8, 8)), scan.grid.scaled(2).affine))
    done = make_consistent(x, scan, ("kspace",) * 3)
    assert np.isfinite(done.residual_before) and np.isfinite(done.volume.data).all()


SCAN = Grid((8, 8, 8), np.diag([2.0, 2, 2, 1]))


@pytest.mark.parametrize(
    ("grid", "name", "reason"),
    [
        (rotated(SCAN.scaled(2), (0, 0, 20)), "slice", "oblique"),
        (SCAN.scaled(2), "unknown", "name its acquisition"),
        (Grid(SCAN.shape, SCAN.affine + 3 * np.eye(4, k=3)), "slice", "field of view"),
        (Grid((8, 16, 16), SCAN.scaled(2).affine), "slice", "field of view"),
        (Grid((16, 16, 16), SCAN.scaled(2).affine + 3 * np.eye(4, k=3)), "slice", "field of view"),
    ],
)
def test_what_cannot_be_made_consistent_is_refused(grid: Grid, name: str, reason: str) -> None:
    with pytest.raises(ArSSRError, match=reason):
        Acquisition(SCAN, grid, (name,) * 3)
