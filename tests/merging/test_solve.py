"""Least squares over several scans, against closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from tests.phantoms import smooth

from arssr.consistency import Acquisition
from arssr.grid import Grid
from arssr.merging.posed import Interleaves
from arssr.merging.shares import shares_ijk
from arssr.merging.solve import Problem, conjugate_gradients, doubt_of, error_variance, solve
from arssr.merging.stack import Stack, fine_grid, stack_of

from .test_operator import coefficients, stack

COMMON = Grid((40, 10, 10), np.eye(4))


def part(image: np.ndarray, start: int, stop: int, guess: np.ndarray, noise: float = 0.1) -> Stack:
    """A scan with the common voxels of some of the planes."""
    box = (slice(start, stop), slice(None), slice(None))
    grid = COMMON.part(box)
    return stack_of(
        torch.from_numpy(image[box].copy()),
        Acquisition(grid, grid, ("kspace",) * 3),
        grid,
        COMMON,
        np.eye(4),
        Interleaves(0),
        noise,
        torch.ones(grid.shape),
        coefficients(guess),
        np.ones(COMMON.shape, bool),
    )


def test_two_scans_that_together_sample_everything_give_the_truth() -> None:
    truth, zero = smooth(COMMON.shape, sigma=1), np.zeros(COMMON.shape, np.float32)
    stacks = [part(truth, 0, 26, zero), part(truth, 14, 40, zero)]
    merged = solve(stacks, torch.from_numpy(zero), np.ones(COMMON.shape, bool), ridge=1e-4)
    inside = (slice(4, -4), slice(4, -4), slice(4, -4))  # where weights are not nearly nothing
    assert np.abs(merged.image.numpy() - truth)[inside].max() < 0.02


def test_the_solution_is_that_of_dense_normal_equations() -> None:
    mask = np.zeros((14, 12, 10), bool)
    mask[4:9, 4:9, 3:8] = True
    stacks = [stack(0, mask), stack(1, mask)]
    chosen = torch.from_numpy(np.flatnonzero(mask))
    problem = Problem(stacks, mask.shape, chosen)
    dense = torch.stack([problem.normal(unit) for unit in torch.eye(len(chosen))]).double()
    assert torch.allclose(dense, dense.T, atol=1e-3 * float(dense.abs().max()))
    right = problem.spread(each.apart for each in stacks)
    expected = torch.linalg.solve(dense + 3 * torch.eye(len(chosen)), right.double())
    found, _ = conjugate_gradients(lambda x: problem.normal(x) + 3 * x, right)
    assert float((found - expected).norm()) < 0.03 * float(expected.norm())


def test_nothing_changes_where_nothing_is_missed() -> None:
    truth = smooth(COMMON.shape)
    merged = solve([part(truth, 0, 40, truth)], torch.from_numpy(truth), truth > -1)
    assert np.abs(merged.image.numpy() - truth).max() < 1e-3


def test_no_step_is_left_where_a_field_of_view_ends() -> None:
    zero = np.zeros(COMMON.shape, np.float32)
    one = np.ones(COMMON.shape, np.float32)
    stacks = [part(zero, 0, 40, zero), part(one, 0, 24, zero)]
    merged = solve(stacks, torch.from_numpy(zero), one > 0, ridge=1.0)
    line = merged.image.numpy()[4:, 5, 5]
    assert line[:8].min() > 0.4 and np.abs(line[24:]).max() < 0.02  # of both, and of one alone
    assert np.abs(np.diff(line)).max() < 0.15


def thick(image: np.ndarray, shift: float, guess: np.ndarray) -> Stack:
    """A scan with slices of four planes, which begin so many planes later than the common grid."""
    scan, motion = COMMON.scaled((0.25, 1, 1)), np.eye(4)
    motion[0, 3] = -shift
    fine = fine_grid(scan, COMMON)
    acquisition = Acquisition(scan, fine, ("slice", "kspace", "kspace"))
    moved = ndimage.shift(image, (-shift, 0, 0), order=3, mode="nearest")
    return stack_of(
        acquisition.measure(torch.from_numpy(moved)),
        acquisition,
        fine,
        COMMON,
        motion,
        Interleaves(0),
        0.005,
        torch.ones(scan.shape),
        coefficients(guess),
        np.ones(COMMON.shape, bool),
    )


def test_what_no_image_explains_is_not_taken_for_detail() -> None:
    """Two scans with slices in one direction, off by ten times the noise that is told."""
    truth = smooth(COMMON.shape, sigma=1)
    guess = ndimage.gaussian_filter1d(truth, 2, axis=0)
    random = torch.Generator().manual_seed(0)

    def off(image: np.ndarray) -> float:
        return float(np.sqrt(np.mean((image - truth)[6:-6] ** 2)))

    for times, most, apart in ((0.0, 0.95, 1.0), (10.0, 1.02, 5.0)):
        stacks = [
            replace(one, apart=one.apart + times * one.counts * noise)
            for one in (thick(truth, 0, guess), thick(truth, 1.5, guess))
            for noise in [torch.randn(one.counts.shape, generator=random)]
        ]
        merged = solve(stacks, torch.from_numpy(guess), truth > -1)
        assert off(merged.image.numpy()) < most * off(guess)  # twice of it where σ is not raised
        assert min(merged.raised) >= apart and (times or merged.raised == [1, 1])


@pytest.mark.parametrize("error", [0.05, 0.3])
def test_the_weight_of_the_guess_follows_from_how_far_it_is_off(error: float) -> None:
    random = np.random.default_rng(0)
    truth = smooth(COMMON.shape, sigma=1)
    guess = truth + error * random.standard_normal(truth.shape).astype(np.float32)
    noisy = truth + 0.1 * random.standard_normal(truth.shape).astype(np.float32)
    stacks = [part(noisy, 0, 40, guess)]
    chosen = torch.arange(truth.size)
    traces = Problem(stacks, truth.shape, chosen).traces()
    assert error_variance(stacks, traces) == pytest.approx(error**2, rel=0.25)


def test_noise_that_the_guess_holds_is_not_taken_for_agreement() -> None:
    """A guess of half of the scan's own noise, and an error of its own."""
    random = np.random.default_rng(0)
    truth = smooth(COMMON.shape, sigma=1)
    noise, wrong = (random.standard_normal(truth.shape).astype(np.float32) for _ in range(2))
    guess = truth + 0.05 * noise + 0.06 * wrong
    stacks = [part(truth + 0.1 * noise, 0, 40, guess)]
    traces = Problem(stacks, truth.shape, torch.arange(truth.size)).traces()
    assert error_variance(stacks, traces, [0.5]) == pytest.approx(0.06**2, rel=0.25)
    assert error_variance(stacks, traces) < 0.1 * 0.06**2


def test_a_guess_is_doubted_at_edges_more_than_where_it_is_flat() -> None:
    step = np.zeros((20, 8, 8), np.float32)
    step[10:] = 100
    mask = np.ones(step.shape, bool)
    doubt = doubt_of(step, mask)
    assert np.mean(doubt**2) == pytest.approx(1)
    of_planes = doubt.reshape(step.shape).mean(axis=(1, 2))
    assert of_planes[9:11].min() > 3 * of_planes[[0, 1, 18, 19]].max()
    assert np.allclose(doubt_of(0 * step, mask), 1)
    assert np.allclose(doubt_of(7 * step, mask), doubt, rtol=1e-4), "it depends on the units"


def test_detail_along_the_slices_of_a_scan_comes_from_the_others() -> None:
    stacks = [stack(0), stack(1)]  # slices along i and along j
    of_first, of_second = shares_ijk(stacks, np.ones((14, 12, 10), bool))
    assert of_first[0] < 0.2 and of_second[1] < 0.2
    assert 0.2 < of_first[2] < 0.8
    assert np.allclose(np.add(of_first, of_second), 1)
