"""Factors by what a scan is: 90 % in every group, and whoever is left out has no say."""

from pathlib import Path

import numpy as np
import pytest
from tools.calibration_tables import (
    AIR,
    BRIGHTNESS,
    RIVALS,
    Calibration,
    Counted,
    facts,
    object_of,
    tables,
)

from arssr.evaluation.coverage import Scores
from arssr.weights.interval import PLAIN, Interval

CASES = {"kspace 2": 1.0, "slice-box 1x1x4, SNR 20": 3.0, "spline 3, not told": 2.0}
HARDER = {"a": 1.0, "b": 1.0, "c": 1.0, "odd": 2.0}


def counted(volume: str, case: str, seed: int) -> Counted:
    """Errors that are larger by case and volume; those of an ensemble are 0.8 of the others."""
    random, scores = np.random.default_rng(seed), {}
    for way, share in ((PLAIN, 1.0), ("ensemble 4", 0.8), *((rival, 9.0) for rival in RIVALS)):
        for level in range(len(BRIGHTNESS) + 1):
            half_widths = np.exp(random.normal(-3, 0.5, 4000))
            errors = half_widths * random.normal(0, share * CASES[case] * HARDER[volume], 4000)
            scores[way, level] = Scores.of(errors, half_widths)
    scores[AIR, 0] = Scores.of(random.uniform(0, 0.01, 1000), np.ones(1000))
    return Counted(volume, case, scores)


VAL = [counted(v, c, 10 * i + j) for i, v in enumerate(HARDER) for j, c in enumerate(CASES)]
ALIKE = [each for each in VAL if each.volume != "odd"]


def test_every_group_has_its_factor_and_every_way_its_share() -> None:
    calibration = Calibration.of(ALIKE)
    expected = {("kspace", 2.0): 1.645, ("slice", 4.0): 3 * 1.645, ("unknown", 3.0): 2 * 1.645}
    assert calibration.factors == {k: pytest.approx(v, rel=0.03) for k, v in expected.items()}
    assert calibration.ways == {"plain": pytest.approx(1.0), "ensemble 4": pytest.approx(0.8, 0.03)}
    for each in calibration.applied(ALIKE):
        for way in calibration.ways:
            assert object_of([each], way).coverage(1.0) == pytest.approx(0.9, abs=0.015)


def test_the_card_gives_the_factors_back() -> None:
    known = facts(ALIKE, [])
    interval = Interval(0.9, known["air"], known["factors"], known["ways"]["ensemble 4"])
    told = interval.factor(("kspace", "kspace", "slice"), (1, 1, 0.25))
    assert told == pytest.approx(0.8 * 3 * 1.645, rel=0.04)
    assert known["air"] == pytest.approx(0.009, rel=0.05)
    assert "below_80_percent" not in known and "never_calibrates" not in known


def test_a_volume_that_is_left_out_shows_what_the_others_would_give_it() -> None:
    known = facts(VAL, [each for each in VAL if each.volume == "a"])
    shares = known["left_out"][PLAIN]["volumes"]
    assert shares["odd"] == pytest.approx(0.59, abs=0.02)  # ±0.82 of its standard deviation
    assert all(shares[name] > 0.92 for name in "abc")
    assert known["below_80_percent"]["odd (plain)"] == shares["odd"]
    assert known["never_calibrates"]["volumes"] == 1
    assert known["never_calibrates"]["least"] == known["never_calibrates"]["pooled"]
    page = tables(VAL, [each for each in VAL if each.volume == "a"], known)
    assert f"| odd | {100 * shares['odd']:.1f} |" in page


def test_what_is_counted_comes_back_from_its_file(tmp_path: Path) -> None:
    VAL[0].write(tmp_path / "kept.npz")
    again = Counted.read(tmp_path / "kept.npz", "a", "kspace 2")
    assert again.scores.keys() == VAL[0].scores.keys()
    for name, scores in VAL[0].scores.items():
        np.testing.assert_array_equal(again.scores[name].counts, scores.counts)
        np.testing.assert_array_equal(again.scores[name].widths, scores.widths)
