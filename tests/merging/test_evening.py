"""Slices are compared with what other scans say of them, and bands of others are no scan's own."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from scipy import ndimage
from tests.phantoms import anatomy

from arssr import Grid, Volume, load_model
from arssr.degradation import degrade, named_degradation
from arssr.evenness import Evened, even_slices
from arssr.merging.brightness import match
from arssr.merging.evening import evened
from arssr.merging.seen import Seen, see
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target

DATA = 200 * ndimage.gaussian_filter(np.pad(anatomy((48, 52, 56)), 6), 0.7)
TRUTH = Volume(DATA, Grid(DATA.shape, np.eye(4)))
COUNT = 68 // 4  # slices along the last axis
GAINS = np.random.default_rng(2).normal(0, 0.05, COUNT)
INNER = slice(3, -3)  # where there is head


@cache
def stack(axis: int, banded: bool = False) -> Seen:
    """A scan in slices of 4 mm along an axis (3: voxels of 1 mm), as merging sees it."""
    scale = np.ones(3)
    scale[axis:][:1] = 4
    scan = degrade(TRUTH, scale.tolist(), named_degradation("slice"))
    noise = np.random.default_rng(axis).standard_normal(scan.grid.shape)
    data = np.abs(scan.data + noise)
    if banded:
        data = data * np.exp(GAINS)
    request = Request(Target(like=TRUTH.grid))
    model = load_model("light", "cpu")
    return see(model, request, scan.with_data(data, scan.grid), TRUTH.grid, lambda *_: None)


def first_evened(scans: Sequence[Seen]) -> Evened | None:
    still = [np.eye(4)] * len(scans)
    lit = [each.on(TRUTH.grid, np.eye(4)) for each in scans]
    reaches = [each.reach(TRUTH.grid, np.eye(4)) for each in scans]
    level = match(lit[0], lit[0], reaches[0], TRUTH.grid)
    return evened(0, scans, still, lit, reaches, level, TRUTH.grid)


def bands(logs: np.ndarray) -> np.ndarray:
    return (logs[1:-1] - (logs[:-2] + logs[2:]) / 2)[INNER]


@pytest.mark.parametrize("other", [0, 3])
def test_bands_are_what_another_scan_does_not_have(other: int) -> None:
    found = first_evened([stack(2, banded=True), stack(other)])
    assert found is not None
    assert bands(GAINS - np.log(found.factors)).std() < 0.2 * bands(GAINS).std()


def test_the_bands_of_a_repeat_are_not_taken_for_its_own() -> None:
    """Slices that lie as its own do are not asked; where no others are, its neighbours tell."""
    clean, repeat, across = stack(2), stack(2, banded=True), stack(0)
    alone = first_evened([clean, repeat])
    assert alone is not None
    np.testing.assert_array_equal(alone.factors, even_slices(clean.scan).factors)
    both, one = first_evened([clean, repeat, across]), first_evened([clean, across])
    assert both is not None and one is not None
    np.testing.assert_array_equal(both.factors, one.factors)
    assert np.abs(np.log(both.factors)).max() < 0.01


def test_a_scan_without_slices_has_none_to_be_evened() -> None:
    assert first_evened([stack(3), stack(2, banded=True)]) is None
