"""Heads travel in weight files; a way of computing that is not calibrated has no interval."""

from pathlib import Path

import pytest
import torch
from tests.phantoms import tiny_network
from tests.test_half_widths import head_of

from arssr.api import Model
from arssr.errors import ArSSRError
from arssr.evaluation.methods import network_sha256
from arssr.weights.files import load_spread, load_weights, save_weights
from arssr.weights.interval import KEY, Interval, interval_of, way_of
from arssr.weights.registry import load

CARD = {
    "name": "tiny",
    KEY: {"probability": 0.9, "air": 0.002, "factors": {"plain": 1.25, "ensemble 4": 1.1}},
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


def test_a_damaged_head_is_refused(tmp_path: Path) -> None:
    path, head = tmp_path / "bad.safetensors", head_of()
    head.last.bias[:] = float("nan")
    save_weights(path, tiny_network(), CARD, spread=head)
    with pytest.raises(ArSSRError, match="not finite"):
        load_spread(path)


def test_each_way_has_a_factor_of_its_own_and_others_have_none(told: Path) -> None:
    model = Model(load(told), "cpu", "float32")
    assert model.interval() == Interval(0.9, 1.25, 0.002)
    assert model.interval(way_of(4)) == Interval(0.9, 1.1, 0.002)
    with pytest.raises(ArSSRError, match="calibrated for plain, ensemble 4, not for consistent"):
        model.interval(way_of(consistent=True))
    with pytest.raises(ArSSRError, match="not for ensemble 4, consistent"):
        interval_of(CARD, way_of(4, consistent=True))


@pytest.mark.parametrize("card", [{}, {"name": "rdn"}, {"name": "rdn", KEY: {"taught": {}}}])
def test_weights_that_were_not_taught_or_not_calibrated_say_so(card: dict[str, object]) -> None:
    with pytest.raises(ArSSRError, match="was not taught to tell its uncertainty; leave"):
        interval_of(card)
