"""Encoding tile by tile is encoding at once: exactly, for every encoder, both flavours."""

import math
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.thin import KINDS, condition_for, lively_network, thin_encoders

from arssr.engine import encode
from arssr.engine.encode import encode_volume
from arssr.engine.plan import Tile, cut, plan_tiles
from arssr.networks import ImplicitVoxelNetwork

EVERYTHING = 1e12  # bytes: no tiling

# a long axis, so that tiles have a halo that ends inside the volume; and two short ones
lengths = st.tuples(st.integers(30, 130), st.integers(1, 4), st.integers(1, 4))
shapes = st.tuples(lengths, st.permutations(range(3))).map(lambda t: tuple(t[0][a] for a in t[1]))


def at_once(
    network: ImplicitVoxelNetwork, image: torch.Tensor, condition: torch.Tensor | None
) -> torch.Tensor:
    given = None if condition is None else condition[None].to(image)
    return network.encode(image[None, None], given)[0].permute(1, 2, 3, 0)


def budget_for(network: ImplicitVoxelNetwork, shape: tuple[int, ...], share: float) -> float:
    """Between what a single voxel with its halo takes and what the whole volume takes."""
    bytes_per_voxel = network.encoder.peak_channels * next(network.parameters()).element_size()
    least = math.prod(min(n, 2 * network.encoder.radius + 1) for n in shape)
    return bytes_per_voxel * (least + share * (math.prod(shape) - least)) * 1.001


@pytest.mark.parametrize(("encoder", "flavour"), KINDS)
@settings(max_examples=6)
@given(shape=shapes, share=st.floats(0, 0.8), seed=st.integers(0, 100))
def test_tiled_and_untiled_agree_to_float_rounding(
    encoder: str, flavour: str, shape: tuple[int, int, int], share: float, seed: int
) -> None:
    with thin_encoders(), torch.inference_mode():
        network = lively_network(encoder, flavour, seed=seed)
        image, condition = torch.rand(shape), condition_for(network)
        whole = at_once(network, image, condition)
        tiled = encode_volume(network, image, condition, budget_for(network, shape, share))
    torch.testing.assert_close(tiled, whole, rtol=0, atol=3e-6 * float(whole.abs().max()))


@pytest.mark.parametrize(("encoder", "flavour"), KINDS)
def test_a_tile_sees_every_voxel_that_matters_to_it(encoder: str, flavour: str) -> None:
    """NaN reaches exactly as far as the encoder does, however faint its influence there.

    Of three tiles the middle one owns the voxels 2r to 4r - 1; r - 1 is too far away, r is not.
    """
    with thin_encoders(), torch.inference_mode():
        network = lively_network(encoder, flavour)
        condition, r = condition_for(network), network.encoder.radius
        for place in (r - 1, r, 5 * r - 1, 5 * r):
            image = torch.rand(2, 6 * r, 1)
            image[1, place] = torch.nan
            with patch.object(encode, "plan_tiles", in_three):
                reached = encode_volume(network, image, condition, EVERYTHING).isnan()
            assert torch.equal(reached, at_once(network, image, condition).isnan())
            assert reached[:, 2 * r : 4 * r].any() == (place in (r, 5 * r - 1))


def in_three(shape: tuple[int, int, int], halo: int, *_: object) -> list[Tile]:
    """A plan that is deaf to budgets."""
    return cut(shape, (1, 3, 1), halo)


def test_the_comparison_is_one_that_tiling_takes_part_in() -> None:
    """With these budgets there are several tiles, and a halo that is one too short shows."""
    network = lively_network("light").double()
    image, condition = torch.rand(3, 120, 2).double(), condition_for(network)
    radius, bytes_per_voxel = network.encoder.radius, network.encoder.peak_channels * 8
    budget = budget_for(network, image.shape, 0.3)
    assert len(plan_tiles((3, 120, 2), radius, bytes_per_voxel, budget)) > 2
    whole = at_once(network, image, condition)
    for halo, close in ((radius, True), (radius - 1, False)):
        tiles = cut((3, 120, 2), (1, 3, 1), halo)
        off = max(
            (at_once(network, image[t.padded], condition)[t.inner] - whole[t.core]).abs().max()
            for t in tiles
        )
        assert (off < 1e-13) == close


def test_tiling_in_bfloat16_agrees_to_its_rounding() -> None:
    network = lively_network("light").to(torch.bfloat16)
    image, condition = torch.rand(90, 4, 5), condition_for(network)
    whole = encode_volume(network, image, condition, EVERYTHING)
    tiled = encode_volume(network, image, condition, budget_for(network, image.shape, 0.2))
    assert whole.dtype == tiled.dtype == torch.bfloat16
    off = (tiled.float() - whole.float()).abs().max() / whole.float().abs().max()
    assert off < 2**-7


def test_progress_grows_to_one_and_leaves_nothing_behind() -> None:
    shares: list[float] = []
    network = lively_network("light")
    image = torch.rand(70, 3, 3)
    encode_volume(
        network, image, condition_for(network), budget_for(network, image.shape, 0), shares.append
    )
    assert shares == sorted(shares) and shares[-1] == 1 and len(set(shares)) > 50
    assert not any(m._forward_hooks for m in network.modules())


def test_hooks_are_taken_off_when_encoding_fails() -> None:
    network = lively_network("light")

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_volume(network, torch.rand(5, 5, 5), condition_for(network), EVERYTHING, interrupt)
    assert not any(m._forward_hooks for m in network.modules())
