"""What only a GPU can show: the CPU's answers, without waiting, and with too little memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from tests.engine.decoding.test_triton_kernel import network_of
from tests.phantoms import smooth, volume

from arssr.consistency import Acquisition
from arssr.engine.air import active_voxels
from arssr.engine.boxes import Box
from arssr.engine.decoding.on_gpu import decode_blocks, decode_plainly, trial
from arssr.engine.transfer import beside, to_device
from arssr.field import VoxelField
from arssr.formats.samples import Encoding
from arssr.intensity import Normalisation
from arssr.networks import ImplicitVoxelNetwork
from arssr.noise import estimate_noise
from arssr.on_device import Finish, normalised, samples_on
from arssr.upsampling.agreement import Agreement

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
    from arssr.engine.decoding.triton_kernel import decode_fused

    network, lattice = trial(DEVICE, dtype, 4, width)
    with torch.inference_mode():
        plain = decode_plainly(network, lattice)
        fused = decode_fused(network.decoder.gelu_chain() or [], lattice)
    assert (fused - plain).abs().max() < 0.05 * plain.abs().max()


@contextmanager
def no_waiting() -> Iterator[None]:
    """Whatever makes the host wait for the GPU is an error, but for an event of our own.

    A network's way there is such a wait, and so is trying the kernel: both come before.
    """
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_wait_would_be_seen() -> None:
    value = torch.ones(1, device=DEVICE)
    with no_waiting(), pytest.raises(RuntimeError, match="synchronizing CUDA operation"):
        value.item()


def test_nothing_waits_while_slabs_are_computed() -> None:
    first, again = (field_on(DEVICE, torch.float16) for _ in range(2))
    expected = first.on(GRID).data
    with no_waiting():
        slabs = list(again.slabs(GRID))
    np.testing.assert_array_equal(np.concatenate(slabs, axis=2), expected)


def test_nothing_waits_while_blocks_are_decoded() -> None:
    network = network_on(DEVICE, torch.float32)
    values = torch.randn(9, 9, 9, 64, device=DEVICE)
    positions = np.arange(18) / 2 - 0.25
    active = np.random.default_rng(0).random((9, 9, 9)) < 0.3

    def decoded() -> list[tuple[Box, torch.Tensor]]:
        cell = np.full(3, 0.5)
        return list(decode_blocks(network, values, (positions,) * 3, cell, active))  # type: ignore[arg-type]

    [(_, expected)] = decoded()
    with no_waiting():
        [(_, found)] = decoded()
    torch.testing.assert_close(found, expected)


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


def test_a_second_field_takes_no_more_than_the_first_and_both_what_was_planned() -> None:
    """Of features that are much larger than all else."""
    image, network = volume(smooth((96, 96, 96))), network_on(DEVICE, torch.bfloat16)
    taken = []
    for _ in range(3):
        torch.cuda.reset_peak_memory_stats(DEVICE)
        field = VoxelField(network, image, Normalisation.identity())
        grid = image.grid.scaled(2)
        planned = field.plan(grid).gpu
        field.on(grid)
        taken.append(torch.cuda.max_memory_allocated(DEVICE))
        del field
    assert max(taken) < 1.05 * taken[0]
    assert 0.85 < taken[0] / planned < 1.15


def test_the_scan_is_prepared_on_the_gpu_as_on_the_cpu() -> None:
    data = np.random.default_rng(0).gamma(2, 50, (64, 60, 62)).astype(np.float32)
    there = samples_on(data, DEVICE)
    norm = Normalisation.fit(data)
    assert Normalisation.fit(there) == norm
    seen = normalised(there, norm)
    np.testing.assert_array_equal(seen.cpu(), normalised(torch.from_numpy(data), norm))
    np.testing.assert_array_equal(active_voxels(seen), active_voxels(seen.cpu()))
    here = estimate_noise(volume(data))
    assert estimate_noise(volume(data), samples=there) == pytest.approx(here, rel=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
def test_a_slab_leaves_the_gpu_as_memory_would_store_it(dtype: type) -> None:
    slab = np.random.default_rng(0).normal(100, 300, (33, 20, 17)).astype(np.float32)
    finish = Finish(0.0, Encoding(np.dtype(dtype), 0.1 if dtype is not np.float32 else 1.0))
    found = finish.leaving(torch.from_numpy(slab).to(DEVICE))()
    np.testing.assert_array_equal(found, finish.here(slab.copy()))
    assert found.flags.f_contiguous


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("name", ["kspace", "slice"])
def test_a_gpu_compares_with_the_scan_as_the_cpu_does(name: str, dtype: type) -> None:
    encoding = Encoding(np.dtype(dtype), 0.5 if dtype is not np.float32 else 1.0)
    slab = np.random.default_rng(0).normal(100, 30, GRID.shape).astype(np.float32)
    acquisition = Acquisition(IMAGE.grid, GRID, (name,) * 3)
    found = []
    for device in (torch.device("cpu"), DEVICE):
        measuring = acquisition.measuring()
        finish = Finish(0.0, encoding, measuring.take)
        for part in np.split(slab, 4, axis=2):
            finish.leaving(torch.from_numpy(part.copy()).to(device))()
        compared = Agreement(samples_on(IMAGE.data), acquisition, 1.0, 1.0)
        found.append(compared.found(measuring))
    assert found[1]["residual"] == pytest.approx(found[0]["residual"], rel=1e-3)
    assert found[1]["farthest"]["centre_ras_mm"] == found[0]["farthest"]["centre_ras_mm"]


def test_what_is_prepared_beside_does_not_wait_for_what_is_computed() -> None:
    with beside(DEVICE):
        made = torch.ones(1000, device=DEVICE)
    assert to_device(made, DEVICE) is made and float(made.sum()) == 1000
