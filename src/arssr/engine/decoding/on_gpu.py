"""Decoding on a GPU: in few large blocks, without the host waiting for the GPU.

Planes that fit into a CPU's cache would mean thousands of launches on a GPU, each with too little
work. So this module sends everything that a lattice needs to the GPU once, and interpolates and
decodes about a million outputs at a time. Where a test shows it to be faster, one kernel
(`triton_kernel.py`) decodes the whole lattice instead.
"""

import logging
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn

from arssr.engine.boxes import Box
from arssr.engine.decoding.lattice import Axis, Lattice, Positions, cut, lattice_on, wanted_box
from arssr.engine.decoding.taps import Features
from arssr.engine.memory import available_bytes
from arssr.networks import ImplicitVoxelNetwork, ModelConfig

# Output voxels that are decoded together: with enough memory, and with the least memory.
_VOXELS, _FEWEST_VOXELS = 2**20, 2**14
# Copies of a block's features in memory: interpolated, with the place added, activated, and after a
# layer; and the two tensors that interpolation adds up.
_COPIES = 6
_SHARE = 0.25  # share of the GPU's free memory for a block
# The kernel is timed on a lattice of twice `_TRIAL` voxels a side, `_TRIES` times.
_TRIAL, _TRIES = 32, 5
_ROUNDING = 0.05  # of the largest correction; bfloat16 differs by less, a wrong result by more
# The kernel is timed only for widths that it keeps in registers, and only on GPUs on which Triton
# uses tensor cores. (On older GPUs, and in float32, Triton uses none, and registers spill.)
_WIDTHS, _TENSOR_CORES = (16, 32, 64, 128), (8, 0)
_log = logging.getLogger(__name__)


@torch.inference_mode()
def decode_blocks(
    network: ImplicitVoxelNetwork,
    features: Features,
    positions: Positions,
    cell: np.ndarray,
    active: np.ndarray,
    progress: Callable[[float], None] = lambda _: None,
) -> Iterator[tuple[Box, Tensor]]:
    """As `arssr.engine.decoding.on_cpu.decode_lattice`, in larger boxes.

    The GPU may still be computing the values when they are yielded.
    """
    wanted = wanted_box(active, positions)
    if wanted is None:
        progress(1.0)
        return
    inner = _chosen(positions, wanted)
    lattice = lattice_on(network, features, inner, cell, active)
    values = _decode_fused(network, lattice)
    if values is not None:
        yield wanted, values
        progress(1.0)
        return
    boxes = list(cut(lattice.shape, _most_voxels(lattice.features)))
    for number, box in enumerate(boxes, start=1):
        part = wanted_box(active, _chosen(inner, box))
        if part is not None:
            part = _within(box, part)
            yield _within(wanted, part), decode_plainly(network, lattice.part(part))
        progress(number / len(boxes))


def _chosen(positions: Positions, box: Box) -> Positions:
    i, j, k = (p[s] for p, s in zip(positions, box, strict=True))
    return i, j, k


def _within(outer: Box, box: Box) -> Box:
    """A box inside another box, in the coordinates of the other box."""
    i, j, k = (slice(o.start + s.start, o.start + s.stop) for o, s in zip(outer, box, strict=True))
    return i, j, k


def _most_voxels(features: Tensor) -> int:
    """The number of outputs to decode together."""
    if features.device.type != "cuda":
        return _VOXELS
    each = _COPIES * features.shape[3] * features.element_size()
    room = _SHARE * available_bytes(features.device) / each
    return int(np.clip(room, _FEWEST_VOXELS, _VOXELS))


def decode_plainly(network: ImplicitVoxelNetwork, lattice: Lattice) -> Tensor:
    """Values (…, channels) float32 on a lattice, step by step; 0 where voxels are not active."""
    i, j, k = lattice.axes
    block = lattice.features
    for axis, along in ((2, k), (1, j), (0, i)):
        block = _interpolated(block, axis, along)
    values = network.decoder(block, network.decoder.join((i.place, j.place, k.place)))
    active = lattice.active
    for axis, along in enumerate(lattice.axes):
        active = active.index_select(axis, along.nearest)
    return values.float().masked_fill_(~active[..., None], 0)


def _interpolated(features: Tensor, axis: int, along: Axis) -> Tensor:
    shape = [-1 if a == axis else 1 for a in range(features.ndim)]
    first, second = (features.index_select(axis, index) for index in along.index)
    weight_first, weight_second = (w.view(shape) for w in along.weight.to(features.dtype))
    return torch.addcmul(first.mul_(weight_first), second, weight_second)


def _decode_fused(network: ImplicitVoxelNetwork, lattice: Lattice) -> Tensor | None:
    """Values by the kernel; None where the kernel is not faster, or fails."""
    chain = _chain(network)
    if not chain:
        return None
    depth, width = len(chain) + 1, lattice.features.shape[3]
    if not fused_is_faster(network.device, network.dtype, depth, width):
        return None
    return _attempt(chain, lattice)


def _chain(network: ImplicitVoxelNetwork) -> list[nn.Linear]:
    """The decoder's layers, if the kernel can compute them; else an empty list."""
    chain = network.decoder.gelu_chain() or []
    return chain if network.decoder.channels == 1 else []


def _attempt(chain: list[nn.Linear], lattice: Lattice) -> Tensor | None:
    """Values by the kernel; None and a warning where the kernel fails."""
    try:
        from arssr.engine.decoding.triton_kernel import decode_fused

        return decode_fused(chain, lattice)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever Triton, its compilers and the driver may raise
        _log.warning("decoding without the Triton kernel, which failed: %s", error)
        return None


@cache
def fused_is_faster(device: torch.device, dtype: torch.dtype, depth: int, width: int) -> bool:
    """Whether the kernel decodes such a network rightly and faster here; one trial a process."""
    if device.type != "cuda" or width not in _WIDTHS or dtype.itemsize > 2:
        return False
    if torch.cuda.get_device_capability(device) < _TENSOR_CORES or find_spec("triton") is None:
        return False
    with torch.inference_mode(), torch.random.fork_rng([device]):
        network, lattice = trial(device, dtype, depth, width)
        fused, plain = _attempt(_chain(network), lattice), decode_plainly(network, lattice)
        if fused is None:
            return False
        off = float((fused - plain).abs().max() / plain.abs().max())
        if not off <= _ROUNDING:
            _log.warning("decoding without the Triton kernel, which is off by %.1g", off)
            return False
        plain_seconds, fused_seconds = trial_seconds(network, lattice)
        return fused_seconds < plain_seconds


def trial_seconds(network: ImplicitVoxelNetwork, lattice: Lattice) -> tuple[float, float]:
    """The seconds that decoding takes on a GPU: step by step, and by the kernel."""
    chain, device = _chain(network), lattice.features.device
    plain = _seconds(lambda: decode_plainly(network, lattice), device)
    return plain, _seconds(lambda: _attempt(chain, lattice), device)


def trial(
    device: torch.device, dtype: torch.dtype, depth: int, width: int
) -> tuple[ImplicitVoxelNetwork, Lattice]:
    """A network with random weights, and a lattice with twice the resolution of random features."""
    config = ModelConfig(
        encoder="light", feature_dim=width, decoder_depth=depth, decoder_width=width
    )
    network = ImplicitVoxelNetwork(config).to(device, dtype)  # only its decoder runs
    positions = np.arange(2 * _TRIAL) / 2 - 0.25
    active, cell = np.ones((_TRIAL,) * 3, bool), np.full(3, 0.5)
    features = torch.randn(*active.shape, width, device=device, dtype=dtype)
    return network, lattice_on(network, features, (positions,) * 3, cell, active)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """The seconds that work takes on a GPU: the shortest of several tries."""
    times, stream = [], torch.cuda.current_stream(device)
    for _ in range(_TRIES):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record(stream)
        work()
        end.record(stream)
        end.synchronize()
        times.append(start.elapsed_time(end) / 1000)
    return min(times)
