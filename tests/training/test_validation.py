"""What is looked at while a network trains."""

import numpy as np
import pytest
import torch
from tests.phantoms import smooth, tiny_network

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
