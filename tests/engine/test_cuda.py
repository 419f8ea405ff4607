"""What only a GPU can show: the CPU's answers, without waiting, and with too little memory."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from tests.engine.test_fused import network_of
from tests.phantoms import smooth, volume

from arssr.engine.blocks import decode_blocks, decode_plainly, trial
from arssr.field import VoxelField
from arssr.intensity import Normalisation
from arssr.networks import ImplicitVoxelNetwork

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
DEVICE = torch.device("cuda")
IMAGE = volume(smooth((24, 30, 28)))
GRID = IMAGE.grid.scaled(2)
ROUNDING = {torch.float32: 1e-2, torch.float16: 2e-2, torch.bfloat16: 5e-2}  # of the largest


def network_on(device: torch.device, dtype: torch.dtype) -> ImplicitVoxelNetwork:
    network = network_of(64, 4).to(device, dtype)
    return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def field_on(device: torch.device, dtype: torch.dtype = torch.float32) -> VoxelField:
    return VoxelField(network_on(device, dtype), IMAGE, Normalisation.identity())


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
def test_a_gpu_answers_as_the_cpu_does(dtype: torch.dtype) -> None:
    expected = field_on(torch.device("cpu")).on(GRID).data
    field = field_on(DEVICE, dtype)
    found = field.on(GRID).data
    assert np.abs(found - expected).max() < ROUNDING[dtype] * np.ptp(expected)
    assert field.encode_seconds > 0
    points = GRID.to_world(np.argwhere(np.ones((3, 4, 5))))
    at = field.at(points, GRID.spacing_mm)
    assert np.abs(at.reshape(3, 4, 5) - found[:3, :4, :5]).max() < ROUNDING[dtype] * np.ptp(found)


@pytest.mark.skipif(
    torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 0),
    reason="Triton has no tensor cores here",
)
@pytest.mark.parametrize("width", [16, 32, 64, 128])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_the_kernel_agrees_with_the_plain_way(dtype: torch.dtype, width: int) -> None:
    from arssr.engine.fused import decode_fused

    network, lattice = trial(DEVICE, dtype, 4, width)
    with torch.inference_mode():
        plain = decode_plainly(network, lattice)
        fused = decode_fused(network.decoder, lattice)  # type: ignore[arg-type]
    assert (fused - plain).abs().max() < 0.05 * plain.abs().max()


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """Whatever makes the host wait for the GPU is an error."""
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


def test_nothing_waits_while_slabs_are_computed(request: pytest.FixtureRequest) -> None:
    field = field_on(DEVICE, torch.float16)
    expected = field.on(GRID).data  # and the kernel has been tried
    request.getfixturevalue("no_waiting")
    again = field_on(DEVICE, torch.float16)
    found = np.concatenate(list(again.slabs(GRID)), axis=2)
    np.testing.assert_array_equal(found, expected)


def test_nothing_waits_while_blocks_are_decoded(no_waiting: object) -> None:
    network = network_on(DEVICE, torch.float32)
    values = torch.randn(9, 9, 9, 64, device=DEVICE)
    positions = np.arange(18) / 2 - 0.25
    active = np.random.default_rng(0).random((9, 9, 9)) < 0.3
    blocks = decode_blocks(network, values, (positions,) * 3, np.full(3, 0.5), active)  # type: ignore[arg-type]
    assert len(list(blocks)) == 1


def test_too_little_memory_means_smaller_pieces_then_the_cpu(
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = field_on(torch.device("cpu")).on(GRID).data
    field = field_on(DEVICE)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(DEVICE).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**21) / total)
    try:
        found = field.on(GRID).data
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "going on in smaller pieces" in caplog.text and "on the CPU" in caplog.text
    np.testing.assert_allclose(found, expected, atol=1e-5)
