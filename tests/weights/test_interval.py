"""Heads travel in weight files; a way of computing that is not calibrated has no interval."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.phantoms import tiny_network
from tests.test_half_widths import head_of

from arssr.api import Model
from arssr.errors import ArSSRError
from arssr.evaluation.methods import network_sha256
from arssr.weights.files import load_spread, load_weights, save_card, save_weights
from arssr.weights.interval import KEY, Interval, interval_of, way_of
from arssr.weights.registry import load

CARD = {
    "name": "tiny",
    KEY: {
        "probability": 0.9,
        "air": 0.002,
        "factors": {"kspace": [[2, 1.0], [4, 1.4]], "unknown": [[3, 1.7]]},
        "ways": {"plain": 1.0, "ensemble 4": 0.9},
    },
}


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """Weights with a head and factors."""
    path = tmp_path / "told.safetensors"
    save_weights(path, tiny_network(), CARD, spread=head_of())
    return path


def test_a_head_comes_back_and_the_network_beside_it_is_as_without(
    told: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.safetensors"
    save_weights(plain, tiny_network(), CARD)
    head = load_spread(told)
    assert head is not None and load_spread(plain) is None
    for name, tensor in head_of().state_dict().items():
        assert torch.equal(head.state_dict()[name], tensor)
    networks = [load_weights(path)[0] for path in (told, plain)]
    assert networks[0].state_dict().keys() == networks[1].state_dict().keys()
    assert network_sha256(networks[0]) == network_sha256(networks[1])


def test_another_card_leaves_network_and_head_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_weights(path, tiny_network(), CARD, half=True, spread=head_of())
    before = load_weights(path)[0].state_dict(), load_spread(path)
    save_card(path, {**CARD, "note": "new"})
    network, card = load_weights(path)
    head = load_spread(path)
    assert card["note"] == "new" and before[1] is not None and head is not None
    for state, old in (
        (network.state_dict(), before[0]),
        (head.state_dict(), before[1].state_dict()),
    ):
        assert all(torch.equal(state[name], old[name]) for name in old)


def test_a_damaged_head_is_refused(tmp_path: Path) -> None:
    path, head = tmp_path / "bad.safetensors", head_of()
    head.last.bias[:] = float("nan")
    save_weights(path, tiny_network(), CARD, spread=head)
    with pytest.raises(ArSSRError, match="not finite"):
        load_spread(path)


def test_each_way_has_a_factor_of_its_own_and_others_have_none(told: Path) -> None:
    model = Model(load(told), "cpu", "float32")
    factors = CARD[KEY]["factors"]  # type: ignore[index]
    assert model.interval() == Interval(0.9, 0.002, factors)
    assert model.interval(way_of(4)) == Interval(0.9, 0.002, factors, 0.9)
    with pytest.raises(ArSSRError, match="calibrated for plain, ensemble 4, not for consistent"):
        model.interval(way_of(consistent=True))
    with pytest.raises(ArSSRError, match="not for ensemble 4, consistent"):
        interval_of(CARD, way_of(4, consistent=True))


@pytest.mark.parametrize("card", [{}, {"name": "rdn"}, {"name": "rdn", KEY: {"taught": {}}}])
def test_weights_that_were_not_taught_or_not_calibrated_say_so(card: dict[str, object]) -> None:
    with pytest.raises(ArSSRError, match="was not taught to tell its uncertainty; leave"):
        interval_of(card)


@given(st.floats(0.2, 10), st.sampled_from(["kspace", "slice", "unknown"]))
def test_the_factor_is_that_of_the_axis_that_is_refined_most(scale: float, other: str) -> None:
    interval = interval_of(CARD, way_of(4))
    told, cell = [other] * 3, [1.0, 1.3, 1.0]
    told[2], cell[2] = "kspace", min(1 / scale, 0.99)
    expected = 0.9 * np.interp(1 / cell[2], [2, 4], [1.0, 1.4])
    assert interval.factor(told, cell) == pytest.approx(expected)
    assert 0.9 <= interval.factor(told, cell) <= 0.9 * 1.4


def test_an_acquisition_that_was_not_measured_has_the_factor_of_one_that_is_not_known() -> None:
    interval = interval_of(CARD)
    assert interval.factor(("spline",) * 3, (0.5, 0.5, 0.5)) == 1.7
    assert Interval(0.9, 0.002).factor(("slice",) * 3, (0.5, 0.5, 0.5)) == 1.0
