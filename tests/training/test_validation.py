"""What is looked at while a network trains."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.phantoms import smooth, tiny_network

from arssr.intensity import Normalisation
from arssr.training.config import SamplingConfig
from arssr.training.data import Item
from arssr.training.validation import Validation, example_slice


def item(shape: tuple[int, int, int]) -> Item:
    return Item.of("phantom", smooth(shape))


@pytest.mark.parametrize("acquisition", ["kspace", "slice", "spline", "spline-aligned"])
@pytest.mark.parametrize("flavour", ["residual", "paper"])
def test_an_example_ends_with_the_truth(acquisition: str, flavour: str) -> None:
    phantom = item((24, 20, 22))
    picture = example_slice(tiny_network(flavour=flavour).eval(), phantom, acquisition)
    assert picture.shape == (24, 4 * 20) and np.isfinite(picture).all()
    assert picture.min() >= 0 and picture.max() <= 1
    truth = phantom.image[:, :, 11].float().clamp(0, 1).numpy()
    np.testing.assert_allclose(picture[:, 60:], truth, atol=1e-6)


def test_an_example_is_in_the_units_that_the_network_knows() -> None:
    """One that answers 1250 where 1000 is black and 1500 white: grey, and the truth as it is."""
    phantom = replace(item((24, 20, 22)), units=Normalisation(offset=1000, scale=500))
    network = tiny_network(flavour="paper").eval()
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    network.decoder.stage_two[-2].bias.data.fill_(1250)  # type: ignore[operator,union-attr,index]
    picture = example_slice(network, phantom, "spline")
    np.testing.assert_allclose(picture[:, 40:60], 0.5, atol=1e-6)
    truth = phantom.image[:, :, 11].float().clamp(0, 1).numpy()
    np.testing.assert_allclose(picture[:, 60:], truth, atol=1e-6)


def test_a_network_that_corrects_nothing_gains_nothing() -> None:
    network = tiny_network().eval()
    torch.nn.init.zeros_(network.decoder.last.weight)
    validation = Validation([item((40, 44, 42))], SamplingConfig(patch=12))
    values = validation(network)
    assert values["gain"] == values["worst"] == 0
    assert {
        f"{what}/{a}_{k}x"
        for what in ("psnr", "gain")
        for a in ("kspace", "slice", "spline")
        for k in (2, 3, 4)
    } <= values.keys()
