"""What lies between encoder and decoder: reading features, telling what the scan is, starting."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.phantoms import smooth, tiny_config, tiny_network
from torch import Tensor

from arssr.errors import ArSSRError
from arssr.networks import (
    ACQUISITIONS,
    SEEN,
    UNKNOWN,
    ImplicitVoxelNetwork,
    ModelConfig,
    condition_channels,
    condition_vector,
)
from arssr.networks.decoder import ResidualDecoder
from arssr.networks.encoders import ENCODERS
from arssr.networks.model import sample_trilinear

TOLD = torch.tensor([condition_vector(("slice", "kspace", "spline"), 0.02)])
CELL = torch.full((1, 3), 0.5)


def image(*shape: int, seed: int = 0) -> Tensor:
    """(1, 1, I, J, K)"""
    return torch.from_numpy(smooth(shape, seed, sigma=1))[None, None]


def points(network_shape: tuple[int, ...], count: int = 200, seed: int = 0) -> Tensor:
    """(1, count, 3) voxel coordinates, anywhere in the field of view."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.uniform(-0.5, np.array(network_shape) - 0.5, (1, count, 3))).float()


def lively(network: ImplicitVoxelNetwork) -> ImplicitVoxelNetwork:
    """With every part at work, as after training: nothing is small or zero."""
    torch.manual_seed(1)
    for conv in network.encoder.branch_ends():
        conv.weight.data.normal_(std=0.02)
    if network.corrects:
        network.decoder.last.weight.data.normal_(std=0.3)  # type: ignore[union-attr]
    return network


# --- configuration -------------------------------------------------------------------------------


def test_a_configuration_comes_back_from_plain_values() -> None:
    config = ModelConfig("paper", "srresnet", 32, 6, 64, ("kspace", "spiral"))
    assert ModelConfig.from_dict(config.to_dict()) == config
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flavour": "sweet"}, "unknown flavour 'sweet'"),
        ({"encoder": "unet"}, "unknown encoder 'unet'"),
        ({"feature_dim": 0}, "positive"),
        ({"decoder_depth": 7, "flavour": "paper"}, "even"),
        ({"decoder_depth": 1}, "at least 2"),
        ({"decoder_width": 64}, "must agree"),
        ({"acquisitions": ["slice", "slice"]}, "different names"),
        ({"acquisitions": ["slice", "unknown"]}, "none is unknown"),
        ({"acquisitions": [3]}, "are names"),
        ({"acquisitions": 3}, "not a model configuration"),
        ({"colour": "red"}, "not a model configuration.*colour"),
        ({"feature_dim": "many"}, "positive whole numbers"),
        ({"decoder_depth": float("nan")}, "positive whole numbers"),
        ({"acquisitions": "slice"}, "list of names"),
    ],
)
def test_impossible_configurations_are_refused(change: dict, message: str) -> None:
    good = ModelConfig(decoder_width=128).to_dict()
    with pytest.raises(ArSSRError, match=message):
        ModelConfig.from_dict(good | change)


# --- what the scan is ----------------------------------------------------------------------------


def test_a_condition_names_the_acquisition_of_each_axis_and_the_noise() -> None:
    vector = condition_vector(("slice", "kspace", UNKNOWN), 0.05)
    assert len(vector) == condition_channels()
    expected = [[name == known for known in ACQUISITIONS] for name in ("slice", "kspace", UNKNOWN)]
    np.testing.assert_array_equal(np.reshape(vector[:-2], (3, -1)), expected)
    assert vector[-2:] == [1, 1]
    assert condition_vector(("slice",) * 3, 0.0)[-2:] == [0, 1]  # none is not unknown
    assert condition_vector(("slice",) * 3, None)[-2:] == [0, 0]


def test_an_acquisition_nobody_trained_is_refused() -> None:
    with pytest.raises(ArSSRError, match="kspace, slice, spline and unknown, not 'spiral'"):
        condition_vector(("slice", "spiral", "slice"), None)


def test_the_condition_changes_the_answer() -> None:
    network = lively(tiny_network())
    other = torch.tensor([condition_vector(("kspace",) * 3, 0.02)])
    at = points((5, 4, 6))
    told, otherwise = (network(image(5, 4, 6), c, at, CELL) for c in (TOLD, other))
    assert not torch.allclose(told, otherwise, rtol=1e-3)


def test_a_network_can_be_told_of_other_acquisitions() -> None:
    """A fourth one has channels of its own, after those of the others."""
    config = replace(tiny_config(), acquisitions=(*ACQUISITIONS, "spiral"))
    network = ImplicitVoxelNetwork(config)
    told = network.condition(("spiral", "slice", UNKNOWN), None)
    assert told is not None and len(told) == config.condition_channels == 14
    assert told.nonzero().flatten().tolist() == [3, 5]
    network(image(4, 4, 4), told[None], points((4, 4, 4)), CELL)
    with pytest.raises(ArSSRError, match="kspace, slice, spline and unknown, not 'spiral'"):
        tiny_network().condition(("spiral",) * 3, None)
    assert tiny_network(flavour="paper").condition(("spiral",) * 3, None) is None


def test_the_papers_network_is_told_nothing() -> None:
    network = tiny_network(flavour="paper")
    asked = image(4, 4, 4), points((4, 4, 4)), CELL
    told = network(asked[0], TOLD, *asked[1:])
    assert torch.equal(told, network(asked[0], None, *asked[1:]))


# --- reading features ----------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["border", "zeros"])
@given(seed=st.integers(0, 99))
def test_trilinear_reading_is_one_linear_matrix_an_axis(padding: str, seed: int) -> None:
    shape = (4, 1, 5)
    rng = np.random.default_rng(seed)
    features = torch.from_numpy(rng.standard_normal((1, 3, *shape)))
    at = rng.uniform(-1.5, np.array(shape) + 0.5, (6, 3))

    def tents(n: int, x: np.ndarray) -> Tensor:
        """(6, n) weights of the voxels along an axis."""
        if padding == "border":
            x = np.clip(x, 0, n - 1)
        return torch.from_numpy(np.maximum(0, 1 - np.abs(x[:, None] - np.arange(n))))

    weights = [tents(n, at[:, a]) for a, n in enumerate(shape)]
    expected = torch.einsum("cijk,pi,pj,pk->pc", features[0], *weights)
    normalised = (torch.from_numpy(at)[None] + 0.5) * (2 / torch.tensor(shape)) - 1
    read = sample_trilinear(features, normalised, padding)[0].double()
    torch.testing.assert_close(read, expected, rtol=0, atol=1e-5)


def test_bfloat16_features_are_read_at_exact_positions() -> None:
    """Half a thousandth of a field of view is already a visible shift."""
    ramp = torch.arange(64.0)[None, None, :, None, None].bfloat16()
    at = torch.linspace(40, 41, 9)
    normalised = torch.stack([(at + 0.5) * (2 / 64) - 1, at * 0, at * 0], dim=-1)[None]
    read = sample_trilinear(ramp, normalised, "border").flatten().float()
    torch.testing.assert_close(read, at, rtol=0, atol=1e-3)


@pytest.mark.parametrize("flavour", ["paper", "residual"])
def test_positions_are_voxel_coordinates(flavour: str) -> None:
    """At a voxel's centre the decoder sees that voxel's feature and nothing of the others."""
    network = tiny_network(flavour=flavour)
    features = torch.randn(1, 8, 5, 4, 6)
    for index in ((0, 0, 0), (2, 3, 1), (4, 3, 5)):
        elsewhere = torch.randn_like(features)
        elsewhere[0, :, *index] = features[0, :, *index]
        at = torch.tensor([[index]]).float()
        torch.testing.assert_close(
            network.decode(features, at, CELL), network.decode(elsewhere, at, CELL)
        )


def test_the_papers_decoder_sees_the_place_in_the_field_of_view() -> None:
    """The same features everywhere: what is left to tell two places apart is [-1, 1]³."""
    network = tiny_network(flavour="paper")
    seen: list[Tensor] = []
    network.decoder.read = lambda x: (seen.append(x), x[..., :1])[1]  # type: ignore[method-assign,func-returns-value]
    network.decode(torch.ones(1, 8, 4, 5, 6), torch.tensor([[[-0.5, 2, 5.5]]]), CELL)
    torch.testing.assert_close(seen[0][0, 0, -3:], torch.tensor([-1.0, 0, 1]))


# --- the residual flavour ------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_residual_network_starts_at_almost_cubic_interpolation(encoder: str) -> None:
    """Its correction is small against an image in [0, 1], and not zero: it can learn."""
    network = ImplicitVoxelNetwork(ModelConfig("residual", encoder, 64, 4, 64))
    with torch.no_grad():
        correction = network(image(4, 4, 4), TOLD, points((4, 4, 4)), CELL)
    assert 0 < correction.abs().max() < 0.1


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_parameter_learns_from_the_start(encoder: str) -> None:
    """A branch that starts at zero behind a ReLU would stay there for good."""
    network = tiny_network(encoder)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    for seed in range(4):
        out = network(image(4, 4, 4, seed=seed), TOLD, points((4, 4, 4), seed=seed), CELL)
        (out - 1).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    asleep = [n for n, value in network.state_dict().items() if torch.equal(value, before[n])]
    assert asleep == []


@given(st.integers(0, 2), st.integers(0, 3), st.floats(-0.4, 4.4), st.floats(-0.4, 4.4))
def test_the_field_is_continuous_from_voxel_to_voxel(
    axis: int, voxel: int, a: float, b: float
) -> None:
    """No seam where one voxel's box ends and the next begins, nor at a voxel's centre."""
    network = lively(tiny_network())
    features = torch.randn(1, 8, 5, 5, 5, generator=torch.Generator().manual_seed(2))
    for border in (voxel + 0.5, voxel + 1.0):
        sides = torch.tensor([[[a, a, b], [a, a, b]]])
        sides[0, :, axis] = torch.tensor([border - 1e-4, border + 1e-4])
        with torch.no_grad():
            left, right = network.decode(features, sides, CELL)[0, :, 0]
            far = network.decode(features, sides + 0.2, CELL)[0, 0, 0]
        assert abs(left - right) < 2e-3
        assert abs(left - far) > 1e-6  # it does vary


def test_only_the_place_inside_the_voxel_counts() -> None:
    """The same in every tile: a shift by whole voxels shifts the field."""
    network = lively(tiny_network())
    features = torch.randn(1, 8, 8, 8, 8)
    at = points((4, 4, 4)) + 1
    shifted = torch.roll(features, (2, 1, 1), dims=(2, 3, 4))
    torch.testing.assert_close(
        network.decode(shifted, at + torch.tensor([2.0, 1, 1]), CELL),
        network.decode(features, at, CELL),
        rtol=1e-4,
        atol=1e-5,
    )


def test_the_cell_changes_the_answer() -> None:
    network = lively(tiny_network())
    features, at = torch.randn(1, 8, 4, 4, 4), points((4, 4, 4))
    fine, coarse = (network.decode(features, at, torch.full((1, 3), c)) for c in (0.25, 1.0))
    assert not torch.allclose(fine, coarse, rtol=1e-3)


def test_the_embedded_place_is_the_sum_of_its_axes() -> None:
    decoder = tiny_network().decoder
    at, cell = points((5, 5, 5))[0], torch.tensor([0.5, 0.3, 0.9])
    shares = [decoder.embed_axis(axis, at[:, axis], cell, 5) for axis in range(3)]
    torch.testing.assert_close(sum(shares), decoder.embed_place(at, cell, (5, 5, 5)))


def test_samples_of_a_batch_do_not_see_each_other() -> None:
    network = lively(tiny_network())
    images = torch.cat([image(4, 4, 4, seed=s) for s in (1, 2)])
    conditions = torch.cat([TOLD, torch.tensor([condition_vector((UNKNOWN,) * 3, None)])])
    at = torch.cat([points((4, 4, 4), seed=s) for s in (1, 2)])
    cells = torch.tensor([[0.5] * 3, [0.2, 1, 0.4]])
    together = network(images, conditions, at, cells)
    for n in range(2):
        alone = network(images[n : n + 1], conditions[n : n + 1], at[n : n + 1], cells[n : n + 1])
        torch.testing.assert_close(together[n], alone[0], rtol=1e-4, atol=1e-6)


# --- the paper's decoder -------------------------------------------------------------------------


def test_the_papers_decoder_has_two_stages_of_half_its_depth() -> None:
    """ReLU after every layer, the last included: in → width → … → in, then → 1."""
    network = ImplicitVoxelNetwork(replace(tiny_config(flavour="paper"), decoder_depth=6))
    x = torch.randn(7, 11)
    state = network.decoder.state_dict()

    def stage(name: str, x: Tensor) -> Tensor:
        for layer in (0, 2, 4):
            weight, bias = state[f"{name}.{layer}.weight"], state[f"{name}.{layer}.bias"]
            x = (x @ weight.T + bias).clamp_min(0)
        return x

    shapes = [tuple(state[f"stage_one.{n}.weight"].shape) for n in (0, 2, 4)]
    assert shapes == [(8, 11), (8, 8), (11, 8)]
    expected = stage("stage_two", x + stage("stage_one", x))
    torch.testing.assert_close(network.decoder.read(x), expected)
    assert len(state) == 12


@pytest.mark.parametrize("encoder", list(ENCODERS))
def test_most_first_filters_start_blind_to_brightness(encoder: str) -> None:
    network = ImplicitVoxelNetwork(ModelConfig(encoder=encoder, feature_dim=8, decoder_width=8))
    first = next(m for m in network.encoder.modules() if isinstance(m, torch.nn.Conv3d))
    brightness = first.weight[:, 0].sum(dim=(1, 2, 3)).abs()
    blind = brightness < 1e-4
    assert blind.sum() == len(blind) - len(blind) // 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [0, 1, 700])
def test_inference_decodes_what_training_does(dtype: torch.dtype, rows: int) -> None:
    decoder = ResidualDecoder(depth=4, width=64).to(dtype)
    feature, place = (torch.randn(rows, 64).to(dtype) for _ in range(2))
    expected = decoder(feature, place).detach()
    with torch.inference_mode():
        found = decoder(feature, place)
    rounding = torch.finfo(dtype).eps * decoder.last.weight.abs().sum()
    torch.testing.assert_close(found, expected, rtol=0, atol=float(rounding))


# --- intensities ---------------------------------------------------------------------------------


def test_what_lies_beyond_the_range_is_seen_at_its_end_but_by_the_papers_network() -> None:
    bright = image(6, 6, 6)
    bright[..., 3, 3, 3], bright[..., 1, 1, 1] = 1e4, -1e4
    ends = bright.clamp(*SEEN)
    residual, paper = (lively(tiny_network(flavour=f)) for f in ("residual", "paper"))
    with torch.inference_mode():
        assert torch.equal(residual.encode(bright, TOLD), residual.encode(ends, TOLD))
        assert not torch.equal(paper.encode(bright), paper.encode(ends))
