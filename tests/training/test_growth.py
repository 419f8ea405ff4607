"""A grown network answers as the one it grew from, and all of it can learn."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from arssr.errors import ArSSRError
from arssr.networks import ImplicitVoxelNetwork, ModelConfig
from arssr.training.growth import grow

SMALL = ModelConfig("residual", "light", feature_dim=24, decoder_depth=4, decoder_width=24)
LARGER = replace(SMALL, feature_dim=40, decoder_width=40)


@pytest.fixture
def small() -> ImplicitVoxelNetwork:
    """With every weight away from where training starts it, so that every path counts."""
    torch.manual_seed(1)
    network = ImplicitVoxelNetwork(SMALL)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    return network


def questions() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images whose faces are near, told different things, read up to the faces."""
    draw = torch.Generator().manual_seed(2)
    image = torch.rand(2, 1, 7, 5, 6, generator=draw)
    condition = torch.rand(2, SMALL.condition_channels, generator=draw)
    positions = torch.rand(2, 60, 3, generator=draw) * torch.tensor([7.0, 5.0, 6.0]) - 0.5
    return image, condition, positions, torch.rand(2, 3, generator=draw)


@pytest.mark.parametrize("encoder", ["srresnet", "rdn", "light"])
def test_a_grown_network_answers_as_the_small_one(
    small: ImplicitVoxelNetwork, encoder: str
) -> None:
    config = replace(LARGER, encoder=encoder) if encoder != "light" else SMALL
    expected = small(*questions())
    assert expected.std() > 1e-3
    torch.testing.assert_close(grow(small, config)(*questions()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("encoder", ["srresnet", "rdn"])
def test_all_of_it_learns(small: ImplicitVoxelNetwork, encoder: str) -> None:
    network = grow(small, replace(LARGER, encoder=encoder))
    before = {name: p.clone() for name, p in network.named_parameters()}
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(4):  # what reads a new channel learns first, then what makes it
        network(*questions()).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    still = [name for name, p in network.named_parameters() if torch.equal(p, before[name])]
    assert not still


@pytest.mark.parametrize(
    "config",
    [
        replace(LARGER, encoder="rescnn"),
        replace(LARGER, encoder="rdn", decoder_depth=3),
        replace(SMALL, encoder="rdn", feature_dim=8, decoder_width=8),
        replace(LARGER, acquisitions=("kspace", "slice")),
        ModelConfig("paper", "rdn"),
    ],
)
def test_where_there_is_no_place_it_says_so(
    small: ImplicitVoxelNetwork, config: ModelConfig
) -> None:
    with pytest.raises(ArSSRError, match="cannot begin as a residual light of width 24"):
        grow(small, config)
