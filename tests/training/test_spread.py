"""A head learns the quantile of errors, given what the decoder reads, and nothing else changes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.thin import lively_network
from tests.phantoms import smooth

from arssr.networks.spread import SpreadHead, with_spread
from arssr.training.config import SamplingConfig
from arssr.training.data import Item
from arssr.training.images import Resident
from arssr.training.sampler import batch
from arssr.training.spread import (
    LEAST_ERROR,
    SpreadRecipe,
    entered_and_error,
    lessons,
    pinball,
    teach_spread,
)

SAMPLING = SamplingConfig(batch=2, patch=12, points=50)


def images() -> Resident:
    items = [Item.of(str(n), smooth((40, 40, 40), seed=n)) for n in range(2)]
    return Resident.plain(items, 0, SAMPLING.batch)


def test_a_head_covers_errors_whose_size_depends_on_what_it_reads() -> None:
    """Normal errors of a known standard deviation: their 0.9 quantile is 1.645 of it."""
    torch.manual_seed(0)
    read = torch.randn(20_000, 8)
    sigma = 0.03 * torch.exp(0.8 * read[:, 0] - 0.5 * read[:, 1].abs())
    errors = sigma * torch.randn(len(read))
    recipe = SpreadRecipe(hidden=16, steps=800, together=2000)
    head = teach_spread(read, SpreadHead.target(errors, LEAST_ERROR)[:, None], recipe)
    unseen = torch.randn(20_000, 8)
    sigma = 0.03 * torch.exp(0.8 * unseen[:, 0] - 0.5 * unseen[:, 1].abs())
    told = head(unseen)[:, 0]
    errors = (sigma * torch.randn(len(unseen))).abs()
    assert float((errors <= told).float().mean()) == pytest.approx(0.9, abs=0.02)
    for low, high in ((-9.0, -0.7), (-0.7, 0.7), (0.7, 9.0)):  # where errors are small, and large
        here = (unseen[:, 0] > low) & (unseen[:, 0] < high)
        assert float((errors <= told)[here].float().mean()) == pytest.approx(0.9, abs=0.04)
    ratio = (told / sigma / 1.645).log()
    assert float(ratio.abs().median()) < 0.1


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40), st.floats(0.05, 0.95))
def test_the_pinball_loss_is_least_at_the_quantile(values: list[float], share: float) -> None:
    target = torch.tensor(values, dtype=torch.float64)
    quantile = torch.quantile(target, share, interpolation="higher")
    least = float(pinball(quantile, target, share))
    for other in (*values, float(quantile) - 0.3, float(quantile) + 0.3):
        one = float(pinball(torch.tensor(other, dtype=torch.float64), target, share))
        at_or_above = least <= one + 1e-9
        lower = torch.quantile(target, share, interpolation="lower")
        assert at_or_above or float(pinball(lower, target, share)) <= one + 1e-9


def test_what_it_reads_is_what_the_decoder_reads() -> None:
    network = lively_network("light")
    data = batch(images(), SAMPLING, 3, 0)
    entered, error = entered_and_error(network, data)
    output = network(data.image, data.condition, data.positions, data.cell)
    expected = network.intensities(output, data.base) - data.truth
    np.testing.assert_allclose(error.numpy(), expected.numpy(), atol=1e-5)
    head = SpreadHead(8, 4)
    torch.nn.init.normal_(head.last.weight)
    told = with_spread(network, head)(data.image, data.condition, data.positions, data.cell)
    np.testing.assert_allclose(told[..., 1:].detach(), head(entered).detach(), rtol=1e-4)


def test_lessons_are_drawn_again_alike_and_the_network_stays_as_it_is() -> None:
    network = lively_network("light")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    recipe = SpreadRecipe(batches=2, points=30, steps=5, together=16)
    first, again = (lessons(network, images(), SAMPLING, recipe) for _ in range(2))
    assert first[0].shape == (2 * 2 * 30, 8) and first[1].shape == (2 * 2 * 30, 1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    heads = [teach_spread(*first, recipe) for _ in range(2)]
    for a, b in zip(heads[0].parameters(), heads[1].parameters(), strict=True):
        assert torch.equal(a, b) and not a.requires_grad
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
