"""Sentences where the card's range is left, and none within it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.phantoms import rotated, smooth, volume

from arssr.formats.slices import Slices
from arssr.grid import Grid
from arssr.identity import samples_sha256
from arssr.intensity import Normalisation
from arssr.weights.limits import (
    coarser_axes,
    outside_valid_range,
    range_set_by_few,
    told_of_slices,
    trained_on,
    unseen_slices,
)

CARD = {"name": "light", "valid": {"scale": [1.0, 4.0], "scale_of_one_thick_axis": [1.0, 6.0]}}
SCAN = Grid((20, 20, 10), np.diag([1, 1, 3, 1.0]))


@given(
    scale=st.tuples(*[st.floats(0.2, 4)] * 3),
    turn=st.sampled_from([(0, 0, 0), (0, 180, 0), (0, 0, 90)]),
)
def test_within_the_range_nothing_is_said(scale: tuple, turn: tuple) -> None:
    assert outside_valid_range(CARD, SCAN, rotated(SCAN.scaled(scale), turn)) == []


@pytest.mark.parametrize(
    ("scale", "named"),
    [
        (4.5, ["4.5 along i", "4.5 along j", "4.5 along k"]),
        ((1, 1, 5.9), []),
        ((0.5, 1, 5.9), []),
        ((1, 1, 6.5), ["6.5 along k"]),
        ((1.5, 1, 5.9), ["5.9 along k"]),
        (1, []),
        (0.3, []),
    ],
)
def test_scales_beyond_the_range_are_named(scale: float, named: list[str]) -> None:
    said = outside_valid_range(CARD, SCAN, SCAN.scaled(scale))
    assert len(said) == len(named)
    for sentence, part in zip(said, named, strict=True):
        assert part in sentence and "light" in sentence and "1 to " in sentence


def test_an_axis_that_gets_back_its_stored_voxels_does_not_count() -> None:
    card = {"name": "light", "valid": {**CARD["valid"], "spacing_mm": [0.8, 2]}}
    stored = Grid((40, 28, 9), np.diag([0.5, 0.7, 5, 1]))
    measured = stored.with_spacing((0.7, 0.7, 5))
    target = stored.with_spacing((0.5, 0.7, 0.9))
    assert len(outside_valid_range(card, measured, target)) == 2  # 5.6 with another, and 0.5 mm
    assert outside_valid_range(card, measured, target, stored=stored) == []
    [scale, *voxels] = outside_valid_range(card, measured, stored.scaled(3), stored=stored)
    assert "4.2 along i" in scale and len(voxels) == 2  # what goes beyond them does


def test_scales_below_what_was_drawn_are_named() -> None:
    card = {"name": "paper", "valid": {"scale": [2, 4], "scale_of_one_thick_axis": [2, 4]}}
    assert len(outside_valid_range(card, SCAN, SCAN.scaled(1.5))) == 3
    assert outside_valid_range(card, SCAN, SCAN.scaled((1, 1, 2))) == []


def test_voxel_sizes_that_were_never_the_truth_are_named() -> None:
    card = {"name": "light", "valid": {"spacing_mm": [0.8, 1.25]}}
    assert outside_valid_range(card, SCAN, SCAN.isotropic()) == []
    [said] = outside_valid_range(card, SCAN, SCAN.with_spacing(0.5))
    assert "voxels of 0.5 mm" in said and "0.8 to 1.25 mm" in said
    assert outside_valid_range(card, SCAN, SCAN) == []  # the thick axis keeps its 3 mm …
    assert len(outside_valid_range(card, SCAN, SCAN.scaled((1, 1, 2)))) == 1  # … or gets 1.5


@pytest.mark.parametrize(
    ("slices", "seen", "is_told"),
    [
        (None, None, False),
        (Slices(2, 3.0, 3.0), None, False),
        (Slices(2, 2.75, 3.0), None, False),
        (Slices(2, 2.4, 3.0), None, True),
        (Slices(2, 2.4, 3.0), [0, 0.25], False),
        (Slices(2, 2.25, 3.0), [0, 0.25], False),
        (Slices(2, 2.0, 3.0), [0, 0.25], True),
        (Slices(2, 6.0, 3.0), [0, 0.25], True),
        (Slices(2, 6.0, 3.0, three_d=True), None, False),
        (Slices(2, None, 3.0, three_d=True), None, False),
    ],
)
def test_slices_that_weights_have_not_seen_are_named(
    slices: Slices | None, seen: list[float] | None, is_told: bool
) -> None:
    valid = CARD["valid"] if seen is None else CARD["valid"] | {"slice_gap": seen}
    card = CARD | {"valid": valid}
    said = unseen_slices(card, slices)
    assert (said is not None) == is_told
    assert outside_valid_range(card, SCAN, SCAN.isotropic(), slices) == ([said] if said else [])
    assert outside_valid_range(card, SCAN, SCAN.scaled((2, 2, 1)), slices) == []
    if said:
        assert f"{slices.thickness_mm:g} mm every 3 mm along k" in said and "light" in said
        assert said.endswith("gaps of 0 to 25 %" if seen else "slices without gaps")


@pytest.mark.parametrize(
    ("thickness", "seen", "answer"),
    [
        (4.0, [0, 0.25], None),
        (3.7, [0, 0.25], None),
        (3.4, None, "unknown"),
        (3.4, [0, 0], "unknown"),
        (3.4, [0, 0.25], "slice"),
        (3.2, [0, 0.25], "slice"),
        (3.2, [0, 0.15], "unknown"),
        (3.0, [0, 0.25], "spline"),
        (1.0, [0, 0.25], "spline"),
        (1.0, None, "unknown"),
        (6.0, [0, 0.25], "unknown"),
    ],
)
def test_what_is_told_of_slices_depends_on_what_weights_have_seen(
    thickness: float, seen: list[float] | None, answer: str | None
) -> None:
    card = {"name": "light", "valid": {} if seen is None else {"slice_gap": seen}}
    found = told_of_slices(card, Slices(1, thickness, 4.0))
    assert (found and found[0]) == answer
    assert found is None or f"slices of {thickness:g} mm every 4 mm along j" in found[1]
    assert told_of_slices(card, Slices(1, thickness, 4.0, three_d=True)) is None


def test_without_a_card_nothing_is_promised() -> None:
    assert outside_valid_range({}, SCAN, SCAN.scaled(9)) == []
    assert outside_valid_range({}, SCAN, SCAN.isotropic(), Slices(2, 1.0, 3.0)) == []


def test_a_range_that_hangs_on_a_few_voxels_is_named_and_no_other() -> None:
    scan = smooth((20, 20, 20))
    assert range_set_by_few(CARD, Normalisation.fit(scan)) is None
    few = np.zeros((20, 20, 20), np.float32)
    few[3, 3, 3:17] = 5  # 0.175 %
    assert "fewer than 0.2 %" in (range_set_by_few(CARD, Normalisation.fit(few)) or "")
    few[3, 3:17, 3:17] = 5
    assert range_set_by_few(CARD, Normalisation.fit(few)) is None


def test_axes_that_get_coarser_are_named() -> None:
    assert coarser_axes(SCAN, SCAN.scaled((1, 2, 3))) is None
    both = coarser_axes(SCAN, SCAN.with_spacing((2, 1, 4)))
    assert both is not None and "along i, k (1 mm become 2 mm, 3 mm become 4 mm)" in both
    turned = coarser_axes(SCAN, rotated(SCAN.with_spacing((2, 2, 1)), (0, 0, 30)))
    assert turned is not None and "along i, j" in turned and "keeps" not in turned
    swapped = coarser_axes(SCAN, rotated(SCAN.with_spacing((2, 1, 1)), (0, 0, 90)))
    assert swapped is not None and "along j " in swapped
    assert swapped.endswith("1×1×1 mm keeps the detail along it")


def test_a_scan_that_weights_were_trained_on_is_recognised() -> None:
    """Also where only the weights that they started from were; not one they are adapted to."""
    scan = volume(smooth((5, 6, 7)))
    images = {"data": [{"name": "x", "samples_sha256": samples_sha256(scan.data)}]}
    grown, adapted = {"data": [], "started_from": images}, {"lesson": {}, "started_from": images}
    for card in (images, grown, adapted):
        assert "was trained on this scan" in (trained_on({"name": "light", **card}, scan) or "")
    for card in ({}, {"lesson": {}, **images}):
        assert trained_on(card, scan) is None
    assert trained_on(images, volume(smooth((5, 6, 7), seed=1))) is None
