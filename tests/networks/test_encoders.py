"""Encoders: sizes the paper states, and how far an input voxel really reaches."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from arssr.errors import ArSSRError
from arssr.networks.encoders import ENCODERS, Encoder
from arssr.weights.registry import encoder_name

PARAMETERS = {"rdn": 5_918_784, "rescnn": 2_214_912, "srresnet": 4_317_376}
RADIUS = {"rdn": 28, "rescnn": 20, "srresnet": 39, "light": 18}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts_are_the_papers(name: str) -> None:
    with torch.device("meta"):
        encoder = ENCODERS[name](1, 128)
    assert sum(p.numel() for p in encoder.parameters()) == PARAMETERS[name]


def test_light_does_a_tenth_of_the_work_of_rdn() -> None:
    """Work on a voxel is a multiplication for each weight."""
    with torch.device("meta"):
        light, rdn = (
            sum(p.numel() for p in ENCODERS[name](12, 64).parameters() if p.ndim > 1)
            for name in ("light", "rdn")
        )
    assert light < rdn / 10


@pytest.mark.parametrize("name", ENCODERS)
def test_the_shape_is_kept_down_to_one_voxel(name: str) -> None:
    encoder = ENCODERS[name](3, 5)
    for shape in ((1, 1, 1), (2, 1, 3)):
        assert encoder(torch.rand(2, 3, *shape)).shape == (2, 5, *shape)


def impulse_encoder(name: str) -> Encoder:
    """Positive weights, no biases, double precision: nothing cancels or falls below rounding."""
    torch.manual_seed(0)
    encoder = ENCODERS[name](1, 4).double()
    for parameter in encoder.parameters():
        parameter.data.abs_() if parameter.ndim > 1 else parameter.data.zero_()
    return encoder


def lines(length: int) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """Each axis, and the shape of an image that is a line along it."""
    for axis in range(3):
        shape = [1, 1, 1]
        shape[axis] = length
        yield axis, (shape[0], shape[1], shape[2])


@pytest.mark.parametrize("name", ENCODERS)
def test_a_voxel_reaches_exactly_as_far_as_the_radius(name: str) -> None:
    encoder = impulse_encoder(name)
    assert encoder.radius == RADIUS[name]
    middle = RADIUS[name] + 2
    with torch.no_grad():
        for _, shape in lines(2 * middle + 1):
            image = torch.zeros(1, 1, *shape, dtype=torch.double)
            image.view(-1)[middle] = 1
            reached = encoder(image).abs().sum(dim=1).flatten().nonzero().flatten()
            assert reached[0] == middle - encoder.radius
            assert reached[-1] == middle + encoder.radius
            assert len(reached) == 2 * encoder.radius + 1


@pytest.mark.parametrize("name", ENCODERS)
def test_a_tile_with_a_halo_gives_the_same_features(name: str) -> None:
    """What exact tiling rests on: beyond the radius nothing counts, at random weights either."""
    torch.manual_seed(1)
    encoder = ENCODERS[name](1, 4).double()
    radius = encoder.radius
    with torch.no_grad():
        for axis, shape in lines(2 * radius + 12):
            image = torch.rand(1, 1, *shape, dtype=torch.double)
            whole = encoder(image).narrow(axis + 2, 0, radius + 3)
            tile = encoder(image.narrow(axis + 2, 0, 2 * radius + 3))
            torch.testing.assert_close(
                tile.narrow(axis + 2, 0, radius + 3), whole, rtol=0, atol=1e-12
            )


@pytest.mark.parametrize("name", ENCODERS)
def test_branch_ends_are_the_last_convolutions_of_the_shortcut_blocks(name: str) -> None:
    """Silenced, they leave the input of each block as it is."""
    encoder = ENCODERS[name](1, 4)
    ends = encoder.branch_ends()
    assert len(ends) == {"rdn": 8, "rescnn": 3, "srresnet": 18, "light": 8}[name]
    for conv in ends:
        nn.init.zeros_(conv.weight)
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    blocks = {
        "rdn": lambda: list(encoder.rdbs),  # type: ignore[arg-type]
        "rescnn": lambda: [encoder.block1, encoder.block2, encoder.block3],
        "srresnet": lambda: list(encoder.features)[1:19],  # type: ignore[arg-type]
        "light": lambda: list(encoder.features)[1:9],  # type: ignore[arg-type]
    }[name]()
    x = torch.rand(1, 32 if name == "light" else 64, 3, 3, 3)
    for block in blocks:
        rest = x if name == "rescnn" else 0  # its shortcut is drawn outside the block
        torch.testing.assert_close(block(x) + rest, x)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("RDN", "rdn"),
        ("rdn", "rdn"),
        ("ResCNN", "rescnn"),
        ("SRResNet", "srresnet"),
        ("SRResnet", "srresnet"),
        ("SRRESNET", "srresnet"),
        ("light", "light"),
    ],
)
def test_every_spelling_of_the_reference_is_understood(spelling: str, name: str) -> None:
    assert encoder_name(spelling) == name


def test_other_names_are_refused() -> None:
    with pytest.raises(ArSSRError, match=r"unknown encoder 'UNet'.*RDN"):
        encoder_name("UNet")
