"""Encoding plane by plane is encoding at once: exactly, for every encoder, wherever it is cut."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.thin import KINDS, at_once, condition_for, lively_network, thin_encoders

from arssr.engine.boxes import Box
from arssr.engine.encoding.encode import encode_box
from arssr.networks import ImplicitVoxelNetwork

# a long axis, so that halos end inside the volume; and two short ones
lengths = st.tuples(st.integers(30, 120), st.integers(1, 4), st.integers(1, 4))
shapes = st.tuples(lengths, st.permutations(range(3))).map(lambda t: tuple(t[0][a] for a in t[1]))
axes_orders = st.sampled_from(list(itertools.permutations(range(3))))


def in_planes(
    network: ImplicitVoxelNetwork,
    image: torch.Tensor,
    condition: torch.Tensor | None,
    core: Box,
    axes: tuple[int, int, int] = (0, 1, 2),
    planes: int = 3,
    backwards: bool = False,
) -> torch.Tensor:
    """Features of the core, put together in the image's own order."""
    portions = encode_box(network, image, condition, core, axes, planes, backwards)
    features = torch.cat(list(portions))
    features = features.flip(0) if backwards else features
    return features.permute(*np.argsort(axes).tolist(), 3)


def everything(image: torch.Tensor) -> Box:
    i, j, k = image.shape
    return slice(0, i), slice(0, j), slice(0, k)


@pytest.mark.parametrize(("encoder", "flavour"), KINDS)
@settings(max_examples=10)
@given(
    shape=shapes,
    ends=st.tuples(*[st.tuples(st.floats(0, 1), st.floats(0, 1))] * 3),
    axes=axes_orders,
    planes=st.integers(1, 40),
    backwards=st.booleans(),
    seed=st.integers(0, 100),
)
def test_any_box_in_any_portions_agrees_to_float_rounding(
    encoder: str,
    flavour: str,
    shape: tuple[int, int, int],
    ends: tuple[tuple[float, float], ...],
    axes: tuple[int, int, int],
    planes: int,
    backwards: bool,
    seed: int,
) -> None:
    core = []
    for n, (a, b) in zip(shape, ends, strict=True):
        start = min(int(a * n), n - 1)
        core.append(slice(start, start + 1 + int(b * (n - 1 - start))))
    box = core[0], core[1], core[2]
    with thin_encoders(), torch.inference_mode():
        network = lively_network(encoder, flavour, seed=seed)
        image, condition = torch.rand(shape), condition_for(network)
        whole = at_once(network, image, condition)
        part = in_planes(network, image, condition, box, axes, planes, backwards)
    torch.testing.assert_close(part, whole[box], rtol=0, atol=4e-6 * float(whole.abs().max()))


@pytest.mark.parametrize(("encoder", "flavour"), KINDS)
def test_a_box_sees_every_voxel_that_matters_to_it(encoder: str, flavour: str) -> None:
    """NaN reaches exactly as far as the encoder does, however faint its influence there.

    The box owns the voxels 2r to 4r - 1 along j; r - 1 is too far away, r is not.
    """
    with thin_encoders(), torch.inference_mode():
        network = lively_network(encoder, flavour)
        condition, r = condition_for(network), network.encoder.radius
        core = slice(0, 2), slice(2 * r, 4 * r), slice(0, 1)
        for place, axes in itertools.product((r - 1, r, 5 * r - 1, 5 * r), ((1, 0, 2), (0, 2, 1))):
            image = torch.rand(2, 6 * r, 1)
            image[1, place] = torch.nan
            reached = in_planes(network, image, condition, core, axes, 7).isnan()
            assert torch.equal(reached, at_once(network, image, condition).isnan()[core])
            assert reached.any() == (place in (r, 5 * r - 1))


def test_nothing_outside_the_halo_is_looked_at() -> None:
    network = lively_network("light")
    image, r = torch.full((100, 3, 3), torch.nan), network.encoder.radius
    image[50 - r : 52 + r] = 0.5
    core = slice(50, 52), slice(0, 3), slice(0, 3)
    assert in_planes(network, image, condition_for(network), core).isfinite().all()


def test_bfloat16_agrees_to_its_rounding() -> None:
    network = lively_network("light").to(torch.bfloat16)
    image, condition = torch.rand(60, 4, 5), condition_for(network)
    with torch.inference_mode():
        whole = at_once(network, image, condition)
    planes = in_planes(network, image, condition, everything(image))
    assert whole.dtype == planes.dtype == torch.bfloat16
    off = (planes.float() - whole.float()).abs().max() / whole.float().abs().max()
    assert off < 2**-6


def test_the_mode_of_the_caller_is_left_alone() -> None:
    network = lively_network("light")
    image = torch.rand(9, 3, 3)
    portions = encode_box(network, image, condition_for(network), everything(image), (0, 1, 2), 1)
    next(portions)
    assert not torch.is_inference_mode_enabled()
