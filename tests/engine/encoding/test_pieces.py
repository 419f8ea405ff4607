"""Running an encoder on pieces is running it on the whole image: exactly, wherever it is cut."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.thin import at_once
from tests.own_encoder import UShaped
from tests.phantoms import tiny_config
from torch import Tensor, nn

from arssr.engine.encoding.costs import costs_of
from arssr.engine.encoding.encode import encode_box
from arssr.engine.encoding.footprint import footprint
from arssr.engine.layout import plan_features
from arssr.networks import ImplicitVoxelNetwork
from arssr.networks.encoders import ENCODERS, Encoder, conv3
from arssr.networks.parts import Part


class Depthwise(Encoder):
    """Each channel on its own, as far as two voxels; then the channels at each voxel."""

    radius = 3

    def __init__(self, in_channels: int, feature_dim: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv3(in_channels, 6),
            nn.ReLU(),
            nn.Conv3d(6, 12, 3, padding=2, dilation=2, groups=6),
            nn.ReLU(),
            nn.Conv3d(12, feature_dim, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)


class Silent(ENCODERS["light"]):  # type: ignore[name-defined, misc]
    """`light`, which does not say what it is made of."""

    radius = 18

    def parts(self) -> Part | None:
        return None


OWN = {"u": UShaped, "depthwise": Depthwise, "silent": Silent}


def network_of(encoder: str, flavour: str = "residual") -> ImplicitVoxelNetwork:
    torch.manual_seed(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENCODERS, encoder, OWN[encoder])
        network = ImplicitVoxelNetwork(tiny_config(encoder, flavour))
    return network.double().eval().requires_grad_(False)


NETWORKS = {(e, f): network_of(e, f) for e in OWN for f in ("paper", "residual")}


def condition_for(network: ImplicitVoxelNetwork) -> Tensor | None:
    return network.condition(("slice", "kspace", "unknown"), 0.01)


@pytest.mark.parametrize(("encoder", "flavour"), NETWORKS)
@settings(max_examples=20)
@given(
    shape=st.tuples(*[st.integers(1, 30)] * 3),
    ends=st.tuples(*[st.tuples(st.floats(0, 1), st.floats(0, 1))] * 3),
    axes=st.sampled_from(list(itertools.permutations(range(3)))),
    planes=st.integers(1, 40),
    backwards=st.booleans(),
)
def test_any_box_in_any_pieces_agrees_with_the_whole(
    encoder: str,
    flavour: str,
    shape: tuple[int, int, int],
    ends: tuple[tuple[float, float], ...],
    axes: tuple[int, int, int],
    planes: int,
    backwards: bool,
) -> None:
    starts = [min(int(a * n), n - 1) for n, (a, _) in zip(shape, ends, strict=True)]
    i, j, k = (
        slice(a, a + 1 + int(b * (n - 1 - a)))
        for a, n, (_, b) in zip(starts, shape, ends, strict=True)
    )
    network = NETWORKS[encoder, flavour]
    image, condition = torch.rand(shape).double(), condition_for(network)
    with torch.inference_mode():
        whole = at_once(network, image, condition)
    portions = list(encode_box(network, image, condition, (i, j, k), axes, planes, backwards))
    assert all(len(portion) <= planes for portion in portions)
    found = torch.cat(portions)
    found = (found.flip(0) if backwards else found).permute(*np.argsort(axes).tolist(), 3)
    torch.testing.assert_close(found, whole[i, j, k], rtol=0, atol=1e-12)


@pytest.mark.parametrize("encoder", ["u", "depthwise"])
def test_these_encoders_see_as_far_as_they_say(encoder: str) -> None:
    """Else a test of pieces that see less would prove nothing."""
    seen = OWN[encoder](1, 8).double()
    for name, value in seen.named_parameters():
        value.data.abs_() if name.endswith("weight") else value.data.zero_()
    image = torch.zeros(1, 1, 40, 1, 1).double()
    image[0, 0, 20] = 1
    reached = seen(image).sum(dim=1).flatten().nonzero().flatten()
    assert max(20 - reached[0], reached[-1] - 20) == seen.radius


@pytest.mark.parametrize("encoder", OWN)
def test_the_footprint_is_counted(encoder: str) -> None:
    network = NETWORKS[encoder, "residual"]
    taken, told = footprint(network), network.config.in_channels
    if encoder == "silent":
        weights = (m.weight for m in network.modules() if isinstance(m, nn.Conv3d))
        assert taken.flops == sum(2 * w.numel() for w in weights)
        # before a block's second ReLU: its input, two maps inside, and copies of both
        assert 5 * 32 <= taken.numbers - told <= 6 * 32
    if encoder == "u":
        full, half = 27 * (8 * told + 20 * 8), 27 * 8 * 12 / 8
        assert taken.flops == 2 * (full + half)


@pytest.mark.parametrize("encoder", ["u", "depthwise"])
def test_what_pieces_cost_is_what_is_computed(encoder: str) -> None:
    network, shape = NETWORKS[encoder, "residual"], (29, 12, 9)
    core = slice(3, 26), slice(0, 12), slice(2, 8)
    image, condition, taken = torch.rand(shape), condition_for(network), footprint(network)
    costs, seen = costs_of(network, shape, core), list[int]()
    watch = network.encoder.register_forward_pre_hook(lambda _, x: seen.append(x[0][0, 0].numel()))
    with watch:
        counted = []
        for planes, numbers, flops in costs.options(0, [1, 1, 1]):
            seen.clear()
            list(encode_box(network, image, condition, core, (0, 1, 2), planes))
            assert numbers == (taken.numbers + 8) * max(seen)
            assert flops == taken.flops * sum(seen)
            counted.append((planes, numbers, flops))
    assert [planes for planes, _, _ in counted] == [23, 12, 6, 3, 2, 1]
    assert sorted(counted, key=lambda option: option[2]) == counted  # the least work first


@pytest.mark.parametrize("reads", [None, (0, False), (2, True)])
def test_with_less_memory_pieces_are_smaller_and_work_is_more(
    reads: tuple[int, bool] | None,
) -> None:
    network, shape = NETWORKS["u", "residual"], (60, 50, 40)
    core = slice(0, 60), slice(0, 50), slice(0, 40)
    taken, voxels = footprint(network), 60 * 50 * 40
    plenty = plan_features(network, shape, core, 1e12, reads)
    assert plenty.flops == taken.flops * voxels and plenty.planes == 60
    assert plenty.activations == 8 * (taken.numbers + 8) * voxels
    work = plenty.flops
    for share in (0.7, 0.4, 0.2):
        budget = share * (plenty.features + plenty.activations)
        layout = plan_features(network, shape, core, budget, reads)
        assert layout.features + layout.activations <= budget
        assert layout.flops > work
        work = layout.flops
