"""Scores that are counted give the factor, coverage, width and interval score of all voxels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arssr.evaluation.coverage import Scores, pooled

seeds = st.integers(0, 2**32 - 1)
shares = st.floats(0.05, 0.99)


def drawn(seed: int, n: int = 400, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    half_widths = np.exp(random.normal(-3, 1, n))
    return sharpness * half_widths * random.standard_t(4, n), half_widths


@given(seeds, shares)
def test_a_factor_covers_the_share_that_it_is_for_and_hardly_more(seed: int, share: float) -> None:
    errors, half_widths = drawn(seed)
    scores = Scores.of(errors, half_widths)
    factor = scores.factor(share)
    ratios = np.abs(errors) / half_widths
    exact = np.quantile(ratios, share * (1 - 1e-9), method="inverted_cdf")
    assert exact * (1 - 1e-9) <= factor <= exact * 1.011
    within = np.mean(np.abs(errors) <= factor * half_widths)
    assert within >= share - 1e-9
    assert scores.coverage(factor) == pytest.approx(within, abs=1e-9)


@given(seeds, st.floats(0.1, 5))
def test_width_and_interval_score_are_those_of_the_voxels(seed: int, factor: float) -> None:
    errors, half_widths = drawn(seed)
    scores = Scores.of(errors, half_widths)
    assert scores.width(factor) == pytest.approx(factor * half_widths.mean())
    beyond = np.maximum(np.abs(errors) - factor * half_widths, 0)
    exact = np.mean(2 * factor * half_widths + 2 / 0.1 * beyond)
    assert scores.interval_score(factor, 0.9) == pytest.approx(exact, rel=0.02)
    assert scores.coverage(factor) == pytest.approx(
        np.mean(np.abs(errors) <= factor * half_widths), abs=0.02
    )


@given(seeds, st.integers(1, 399))
def test_parts_add_up(seed: int, cut: int) -> None:
    errors, half_widths = drawn(seed)
    whole = Scores.of(errors, half_widths)
    parts = pooled(Scores.of(errors[s], half_widths[s]) for s in np.s_[:cut, cut:])
    np.testing.assert_array_equal(parts.counts, whole.counts)
    np.testing.assert_allclose(parts.widths, whole.widths)


def test_no_error_and_an_endless_one_are_counted() -> None:
    scores = Scores.of(np.array([0.0, 0.0, 0.0, np.inf]), np.ones(4))
    assert scores.count == 4
    assert scores.coverage(1.0) == 0.75
    assert scores.factor(0.5) < 1e-3


@given(seeds, st.floats(0.2, 5))
def test_scaled_scores_are_those_of_wider_half_widths(seed: int, factor: float) -> None:
    errors, half_widths = drawn(seed)
    scaled = Scores.of(errors, half_widths).scaled(factor)
    exact = Scores.of(errors, factor * half_widths)
    assert scaled.count == exact.count
    assert scaled.width(1.0) == pytest.approx(exact.width(1.0))
    assert scaled.factor(0.9) == pytest.approx(exact.factor(0.9), rel=0.021)
