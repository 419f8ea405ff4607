"""Reading a feature map: on lattices, at points and as the network itself does it, all the same."""

import itertools
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.lattices import (
    NETWORKS,
    Features,
    Positions,
    cells,
    features_of,
    lattices,
    shapes,
)
from tests.engine.thin import lively_network

from arssr.engine.decoding import on_cpu
from arssr.engine.decoding import points as points_at
from arssr.engine.decoding.on_cpu import decode_lattice
from arssr.engine.decoding.on_gpu import decode_blocks
from arssr.engine.decoding.points import decode_points
from arssr.engine.decoding.taps import nearest_voxel
from arssr.networks import ImplicitVoxelNetwork
from arssr.networks.decoder import Decoder, ResidualDecoder


def on_lattice(
    network: ImplicitVoxelNetwork,
    features: Features,
    positions: Positions,
    cell: np.ndarray,
    active: np.ndarray | None = None,
) -> np.ndarray:
    """The blocks put together; zero where there is none."""
    everywhere = np.ones(features.shape[:3], bool)
    values = torch.zeros([len(p) for p in positions])
    written = torch.zeros(values.shape)
    blocks = decode_lattice(
        network, features, positions, cell, everywhere if active is None else active
    )
    for box, block in blocks:
        values[box] = block[..., 0]
        written[box] += 1
    assert (written == 1).all() if active is None else (written <= 1).all()
    return values.numpy()


@pytest.mark.parametrize("flavour", NETWORKS)
@settings(max_examples=40)
@given(shape=shapes, positions=lattices, cell=cells, block=st.tuples(*[st.integers(1, 5)] * 3))
def test_lattice_points_and_network_agree(
    flavour: str,
    shape: tuple[int, int, int],
    positions: Positions,
    cell: np.ndarray,
    block: tuple[int, int, int],
) -> None:
    network, features = NETWORKS[flavour], features_of(shape)
    with patch.object(on_cpu, "_BLOCK", block):
        lattice = on_lattice(network, features, positions, cell)
    points = np.stack(np.meshgrid(*positions, indexing="ij"), axis=-1).reshape(-1, 3)
    with patch.object(points_at, "_POINTS", 37):
        values = decode_points(network, features, points, cell)
    with torch.inference_mode():
        [truth] = network.decode(
            features.values.permute(3, 0, 1, 2)[None],
            torch.from_numpy(points).float()[None],
            torch.from_numpy(cell).float()[None],
        )
    np.testing.assert_allclose(values, truth, atol=3e-5)
    np.testing.assert_allclose(lattice.ravel(), truth[:, 0], atol=3e-5)


class TwoValues(ResidualDecoder):
    """A second value at every place."""

    channels = 2


class Plain(TwoValues):
    """Without a faster way on a GPU."""

    gelu_chain = Decoder.gelu_chain  # type: ignore[assignment]


@pytest.mark.parametrize("kind", [TwoValues, Plain])
@settings(max_examples=20)
@given(shape=shapes, positions=lattices, cell=cells, holes=st.floats(0, 0.9))
def test_several_values_at_a_place_are_read_everywhere(
    kind: type[Decoder],
    shape: tuple[int, int, int],
    positions: Positions,
    cell: np.ndarray,
    holes: float,
) -> None:
    torch.manual_seed(0)
    network, features = lively_network("light"), features_of(shape)
    network.decoder = kind(4, 8)  # type: ignore[call-arg]
    for parameter in network.decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    points = np.stack(np.meshgrid(*positions, indexing="ij"), axis=-1)
    with torch.inference_mode():
        [truth] = network.decode(
            features.values.permute(3, 0, 1, 2)[None],
            torch.from_numpy(points.reshape(1, -1, 3)).float(),
            torch.from_numpy(cell).float()[None],
        )
    found = decode_points(network, features, points.reshape(-1, 3), cell)
    np.testing.assert_allclose(found, truth, atol=3e-5)
    active = np.random.default_rng(0).random(shape) >= holes
    wanted = active[np.ix_(*map(nearest_voxel, positions, shape))]
    expected = truth.view(*points.shape[:3], 2) * torch.from_numpy(wanted)[..., None]
    for decode in (decode_lattice, decode_blocks):
        values = torch.zeros(expected.shape)
        for box, block in decode(network, features, positions, cell, active):
            values[box] = block
        np.testing.assert_allclose(values, expected, atol=3e-5)


@pytest.mark.parametrize("flavour", NETWORKS)
def test_the_networks_of_these_tests_are_alive(flavour: str) -> None:
    positions = np.random.default_rng(0).uniform(0, 4, (50, 3))
    values = decode_points(NETWORKS[flavour], features_of((5, 5, 5)), positions, np.full(3, 0.5))
    assert values.std() > 0.1 and (values != 0).mean() > 0.5


@pytest.mark.parametrize("flavour", NETWORKS)
def test_bfloat16_is_the_same_to_its_rounding(flavour: str) -> None:
    network, features = NETWORKS[flavour], features_of((5, 6, 7))
    cell = np.full(3, 0.5)
    positions = tuple(np.arange(2 * n) / 2 - 0.25 for n in (5, 6, 7))
    exact = on_lattice(network, features, positions, cell)  # type: ignore[arg-type]
    try:
        network.to(torch.bfloat16)
        rounded = on_lattice(network, Features(features.values.bfloat16()), positions, cell)  # type: ignore[arg-type]
    finally:
        NETWORKS[flavour] = lively_network("light", flavour)
    assert np.abs(rounded - exact).max() < 0.03 * np.abs(exact).max()


def test_only_what_is_nearest_to_an_active_voxel_is_wanted() -> None:
    network, features = NETWORKS["residual"], features_of((4, 5, 6))
    cell = np.full(3, 1 / 3)
    i, j, k = (np.arange(3 * n) / 3 - 1 / 3 for n in (4, 5, 6))
    active = np.random.default_rng(0).random((4, 5, 6)) < 0.3
    everywhere = on_lattice(network, features, (i, j, k), cell)
    some = on_lattice(network, features, (i, j, k), cell, active)
    wanted = np.kron(active, np.ones((3, 3, 3), bool))
    assert not some[~wanted].any()
    np.testing.assert_allclose(some[wanted], everywhere[wanted], rtol=1e-5, atol=1e-6)
    assert np.abs(everywhere).min() > 0


def test_nothing_is_computed_for_boxes_of_air() -> None:
    network, features = NETWORKS["residual"], features_of((40, 4, 4))
    active = np.zeros((40, 4, 4), bool)
    active[0, 0, 0] = True
    positions = (np.arange(40.0), np.arange(4.0), np.arange(4.0))
    boxes = [box for box, _ in decode_lattice(network, features, positions, np.ones(3), active)]
    assert len(boxes) == 1 and boxes[0][0].start == 0
    assert not list(
        decode_lattice(network, features, positions, np.ones(3), np.zeros((40, 4, 4), bool))
    )


def test_progress_grows_to_one_even_over_air() -> None:
    shares: list[float] = []
    network, features = NETWORKS["residual"], features_of((40, 2, 2))
    active = np.zeros((40, 2, 2), bool)
    positions = (np.arange(40.0), np.arange(2.0), np.arange(2.0))
    list(decode_lattice(network, features, positions, np.ones(3), active, shares.append))
    assert shares == sorted(shares) and len(shares) > 1 and shares[-1] == 1


@pytest.mark.parametrize("flavour", NETWORKS)
def test_no_points_no_values(flavour: str) -> None:
    values = decode_points(NETWORKS[flavour], features_of((2, 2, 2)), np.empty((0, 3)), np.ones(3))
    assert values.shape == (0, 1) and values.dtype == np.float32


def test_boxes_cover_a_lattice_once() -> None:
    times = np.zeros((33, 65, 5), int)
    for box in on_cpu._boxes([33, 65, 5]):
        times[box] += 1
        assert all(s.stop - s.start <= b for s, b in zip(box, on_cpu._BLOCK, strict=True))
    assert (times == 1).all()
    assert len(list(itertools.islice(on_cpu._boxes([1, 1, 1]), 9))) == 1
