"""Networks of full depth and little width: cheap to run, and they see as far as the large ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

import torch
from tests.phantoms import tiny_network
from torch import nn

from arssr.networks import ImplicitVoxelNetwork
from arssr.networks.encoders import ENCODERS, RDN, ResCNN, SRResNet

KINDS = [(encoder, flavour) for encoder in ENCODERS for flavour in ("paper", "residual")]


@contextmanager
def thin_encoders() -> Iterator[None]:
    """Encoders of 4 channels instead of 64."""
    wide = {"rdn": RDN, "rescnn": ResCNN, "srresnet": SRResNet}
    with patch.dict(ENCODERS, {name: partial(make, width=4) for name, make in wide.items()}):
        yield


def lively_network(encoder: str, flavour: str = "residual", seed: int = 0) -> ImplicitVoxelNetwork:
    """Random weights everywhere, biases and the ends of residual branches included.

    (A fresh network has zeros there: it would hide what the convolutions before them see.)
    Features and corrections are of the order of 1.
    """
    network = tiny_network(encoder, flavour, seed)
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.normal_(module.weight, std=0.8 / module.weight[0].numel() ** 0.5)
            nn.init.normal_(module.bias, std=0.2)  # type: ignore[arg-type]
    for parameter in network.decoder.parameters():
        nn.init.normal_(parameter, mean=0.05, std=1.5 / parameter.shape[-1] ** 0.5)
    return network.eval().requires_grad_(False)


def condition_for(network: ImplicitVoxelNetwork) -> torch.Tensor | None:
    """What the residual flavour wants to be told, at random."""
    return None if network.modulation is None else torch.rand(network.config.condition_channels)


def at_once(
    network: ImplicitVoxelNetwork, image: torch.Tensor, condition: torch.Tensor | None
) -> torch.Tensor:
    """Features (I, J, K, F) as the network itself computes them."""
    like = next(network.parameters())
    given = None if condition is None else condition[None].to(like)
    return network.encode(image[None, None].to(like), given)[0].permute(1, 2, 3, 0)


def box(*ends: tuple[int, int]) -> tuple[slice, slice, slice]:
    i, j, k = (slice(*pair) for pair in ends)
    return i, j, k
