"""Gains of slices are found and taken away; what else differs between slices stays."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.phantoms import anatomy, volume

from arssr.degradation import degrade, named_degradation
from arssr.errors import ArSSRError
from arssr.evenness import even_slices, evened_as
from arssr.grid import Grid
from arssr.volume import Volume

SLICES = 20
THICK = Grid((80, 88, SLICES), np.diag([1, 1, 4, 1]))
ANATOMY = anatomy((80, 88, 4 * SLICES))
NOISE = np.random.default_rng(1).normal(0, 0.005, THICK.shape)
SCAN = degrade(volume(ANATOMY), (1, 1, 4), named_degradation("slice"))
CLEAN = np.maximum(SCAN.data + NOISE, 0).astype(np.float32)
INNER = slice(4, -4)  # of the ellipsoid's ends there is too little


def with_gains(logs: np.ndarray, data: np.ndarray = CLEAN) -> Volume:
    return Volume((data * np.exp(logs)).astype(np.float32), THICK)


def bands(logs: np.ndarray) -> np.ndarray:
    """How far each slice is from the mean of its neighbours."""
    return logs[1:-1] - (logs[:-2] + logs[2:]) / 2


def test_even_slices_stay_as_they_are_to_the_bit() -> None:
    evened = even_slices(with_gains(np.zeros(SLICES)))
    assert (evened.factors == 1).all()
    np.testing.assert_array_equal(evened.volume.data, CLEAN)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.03, 0.06, 0.12]))
def test_bands_of_any_gains_are_found(seed: int, size: float) -> None:
    gains = np.random.default_rng(seed).normal(0, size, SLICES)
    left = gains - np.log(even_slices(with_gains(gains)).factors)
    assert bands(left)[INNER].std() < 0.3 * bands(gains)[INNER].std()


def test_interleaved_bands_are_gone_and_the_mean_brightness_is_not() -> None:
    gains = 0.05 * (-1.0) ** np.arange(SLICES)
    evened = even_slices(with_gains(gains))
    left = gains - np.log(evened.factors)
    assert np.abs(bands(left)[INNER]).max() < 0.02 < 0.09 < np.abs(bands(gains)).min()
    assert evened.volume.data.mean() == pytest.approx(CLEAN.mean(), rel=0.01)


def test_anatomy_that_differs_from_slice_to_slice_stays() -> None:
    """Every second slice is 30 % brighter in a quarter of the plane: no gain is like that."""
    striped = CLEAN.copy()
    striped[:40, :44, ::2] *= 1.3
    assert np.abs(np.log(even_slices(with_gains(np.zeros(SLICES), striped)).factors)).max() < 0.01


def test_what_varies_slowly_stays() -> None:
    slowly = 0.3 * np.sin(np.linspace(0, np.pi, SLICES))
    assert np.abs(np.log(even_slices(with_gains(slowly)).factors)).max() < 0.02


def test_slices_are_where_headers_say_else_where_voxels_are_thick() -> None:
    gains = 0.05 * (-1.0) ** np.arange(SLICES)
    scan = with_gains(gains)
    across = Grid((SLICES, 80, 88), np.diag([4, 1, 1, 1]))
    turned = Volume(scan.data.transpose(2, 0, 1).copy(), across)
    ours, theirs = even_slices(scan), even_slices(turned)
    assert (ours.axis, theirs.axis) == (2, 0)
    np.testing.assert_allclose(ours.factors, theirs.factors)
    with pytest.raises(ArSSRError, match="which axis its slices"):
        even_slices(Volume(scan.data, Grid(THICK.shape, np.eye(4))))


def test_few_slices_and_empty_ones() -> None:
    with pytest.raises(ArSSRError, match="at least 5"):
        even_slices(Volume(CLEAN[..., :4], Grid((80, 88, 4), THICK.affine)))
    nothing = Volume(np.zeros(THICK.shape, np.float32), THICK)
    assert (even_slices(nothing).factors == 1).all()
    dark = Volume(-np.ones(THICK.shape, np.float32), THICK)
    assert (even_slices(dark).factors == 1).all()


def test_slices_that_could_not_be_compared_are_not_called_even() -> None:
    bands = np.exp(0.1 * (-1.0) ** np.arange(SLICES))
    below_zero = even_slices(Volume((CLEAN - CLEAN.max()) * bands, THICK))
    assert not (below_zero.compared or below_zero.is_changed)
    assert "could not be compared" in below_zero.in_words()
    same = even_slices(with_gains(np.zeros(SLICES)))
    assert same.compared and "nothing was changed" in same.in_words()


def test_units_do_not_matter() -> None:
    gains = 0.05 * (-1.0) ** np.arange(SLICES)
    small, large = (even_slices(with_gains(gains, unit * CLEAN)) for unit in (1e-4, 4096.0))
    np.testing.assert_allclose(small.factors, large.factors, rtol=1e-4)


def test_what_a_file_says_is_what_was_divided_by() -> None:
    gains = np.random.default_rng(3).normal(0, 0.05, SLICES)
    evened = even_slices(with_gains(gains))
    told = json.loads(json.dumps(evened.describe()))
    again = evened_as(with_gains(gains), told)
    np.testing.assert_array_equal(again.data, evened.volume.data)


def test_anatomy_that_is_expected_is_no_band() -> None:
    """Every second slice is 10 % brighter all over, and known to be."""
    logs = 0.1 * (-1.0) ** np.arange(SLICES)
    known = with_gains(logs).data
    gains = np.random.default_rng(4).normal(0, 0.05, SLICES)
    assert (even_slices(with_gains(logs), known).factors == 1).all()
    found = even_slices(with_gains(gains + logs), known)
    assert bands(gains - np.log(found.factors))[INNER].std() < 0.1 * bands(gains)[INNER].std()


def test_where_nothing_is_expected_neighbours_tell() -> None:
    gains = np.random.default_rng(4).normal(0, 0.05, SLICES)
    alone = even_slices(with_gains(gains))
    unknown = even_slices(with_gains(gains), np.zeros_like(CLEAN))
    np.testing.assert_array_equal(unknown.factors, alone.factors)
    half = CLEAN.copy()
    half[..., : SLICES // 2] = 0
    left = gains - np.log(even_slices(with_gains(gains), half).factors)
    assert bands(left)[INNER].std() < 0.3 * bands(gains)[INNER].std()
