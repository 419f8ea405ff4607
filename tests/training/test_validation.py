"""What is looked at while a network trains."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.phantoms import smooth, tiny_network

from arssr.evaluation.protocol import BenchmarkProtocol
from arssr.intensity import Normalisation
from arssr.training.config import SamplingConfig
from arssr.training.data import Item
from arssr.training.validation import SCANNERS, Validation, example_slice


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
    assert values["gain"] == values["ideal"] == values["scanners"] == values["worst"] == 0
    assert {
        f"{what}/{a}_{k}x"
        for what in ("psnr", "gain")
        for a in ("kspace", "slice", "spline")
        for k in (2, 3, 4)
    } <= values.keys()


def test_the_gain_is_the_mean_of_ideal_acquisitions_and_of_what_scanners_make() -> None:
    values = Validation([item((40, 44, 42))], SamplingConfig(patch=12))(tiny_network().eval())
    gains = {key: value for key, value in values.items() if key.startswith("gain/")}
    ideal = [
        v
        for k, v in gains.items()
        if k.rpartition("_")[0] in ("gain/kspace", "gain/slice", "gain/spline")
    ]
    others = [
        v
        for k, v in gains.items()
        if k.rpartition("_")[0] not in ("gain/kspace", "gain/slice", "gain/spline")
    ]
    assert (len(ideal), len(others)) == (9, 15)
    assert values["ideal"] == pytest.approx(np.mean(ideal))
    assert values["scanners"] == pytest.approx(np.mean(others))
    assert values["gain"] == pytest.approx((np.mean(ideal) + np.mean(others)) / 2)
    assert values["worst"] == min(gains.values())


def test_what_a_recipe_does_not_teach_is_not_asked() -> None:
    """The paper's: splines only. Without slices, apodised k-space is what scanners make."""
    phantom = item((40, 44, 42))
    paper = Validation([phantom], SamplingConfig(patch=12, acquisitions={"spline": 1.0}))
    values = paper(tiny_network().eval())
    assert "scanners" not in values and values["gain"] == values["ideal"]
    kspace = Validation([phantom], SamplingConfig(patch=12, acquisitions={"kspace": 1.0}))
    assert {name for name, _, _ in kspace.groups} == {"kspace", "kspace-apodised"}


def test_what_scanners_make_is_what_model_cards_measure() -> None:
    asked = {setting.degradation for setting in BenchmarkProtocol.read("scanners").settings}
    assert asked == set(SCANNERS)
