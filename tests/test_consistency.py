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
    assert done.residual_before > 0.05 and done.residual_after < 2e-5
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
    fitted = make_consistent(truth, noisy, ("slice",) * 3)
    assert fitted.residual_after < 1e-4 < kept.residual_after


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
        (SCAN.with_spacing(3), "slice", "finer scan: 2 mm were measured and 3 mm"),
        (SCAN.scaled(2), "unknown", "name its acquisition"),
        (SCAN.scaled(1.7), "kspace", "8 voxels of the scan are 13.6 of the result's, which has 14"),
        (Grid((8, 16, 16), SCAN.scaled(2).affine), "slice", "field of view"),
        (Grid((16, 16, 16), SCAN.scaled(2).affine + 3 * np.eye(4, k=3)), "slice", "field of view"),
    ],
)
def test_what_cannot_be_made_consistent_is_refused(grid: Grid, name: str, reason: str) -> None:
    with pytest.raises(ArSSRError, match=reason):
        Acquisition(SCAN, grid, (name,) * 3)
