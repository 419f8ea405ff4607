"""What encoders say that they are made of."""

import pytest
from torch import nn

from arssr.networks.encoders import ENCODERS, conv3
from arssr.networks.parts import Layer, Layers, convolutions, layers_in


@pytest.mark.parametrize("name", ENCODERS)
def test_every_convolution_is_named_once_in_the_order_of_computation(name: str) -> None:
    """Which is the order of the modules, in all that ship."""
    encoder = ENCODERS[name](3, 5)
    part = encoder.parts()
    assert part is not None
    found = list(convolutions(part))
    expected = [m for m in encoder.modules() if isinstance(m, nn.Conv3d)]
    assert len(found) == len(expected)
    assert all(a is b for a, b in zip(found, expected, strict=True))


def test_a_relu_belongs_to_the_convolution_before_it() -> None:
    one, two, three = conv3(1, 2), nn.Conv3d(2, 2, 1), conv3(2, 1)
    found = layers_in(nn.Sequential(one, nn.ReLU(), two, three, nn.ReLU()), shortcut=True)
    layers = Layer(one, relu=True), Layer(two), Layer(three, relu=True)
    assert found == Layers(layers, shortcut=True)


@pytest.mark.parametrize(
    "odd",
    [
        {"kernel_size": 5, "padding": 2},
        {"kernel_size": 3},
        {"kernel_size": 3, "padding": 1, "stride": 2},
        {"kernel_size": 3, "padding": 2, "dilation": 2},
        {"kernel_size": 3, "padding": 1, "groups": 2},
        {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
        {"kernel_size": 1, "bias": False},
    ],
    ids=str,
)
def test_what_a_stream_cannot_compute_is_no_layer(odd: dict) -> None:
    with pytest.raises(ValueError, match="no layer of a stream"):
        Layer(nn.Conv3d(4, 4, **odd))
