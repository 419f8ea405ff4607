"""How much memory and work an output takes, known before anything is computed."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import psutil
import torch

from arssr.engine.boxes import Box
from arssr.engine.decoding.taps import nearest_voxel
from arssr.engine.layout import Layout, MemoryShortageError, plan_features
from arssr.engine.machine import Speed
from arssr.engine.memory import available_bytes
from arssr.errors import ArSSRError
from arssr.files import bytes_in_words
from arssr.grid import AxisPositions, Grid, Shape
from arssr.networks import ImplicitVoxelNetwork

# The share of the free memory that a process takes where the user names no limit.
_DEFAULT_SHARE = 0.6
_MOST_SLAB_PLANES = 64
FEWER_PLANES = 4  # where memory is scarce, the next try has so many times fewer planes
_SPARE = 0.02  # share of the memory that an error names as enough
_SLAB_SHARE = 0.15  # share of the memory for slabs; a slab has at least one plane
# Measured: bytes per voxel of a slab (normalised values, values in the scan's units, and the slab
# before), and the memory that the process takes besides (oneDNN's kernels, the writer, memory that
# the allocator keeps, threads).
_SLAB_BYTES = 12
# On a GPU, counted by hand and not measured: bytes per voxel of the image and of its samples, and
# per voxel of a slab (interpolated along an axis or two, decoded, rounded in float64, as stored,
# and the slab before).
_GPU_IMAGE_BYTES, _GPU_SLAB_BYTES = 8, 28
_GROWTH_BYTES, _THREAD_BYTES = 45e6, 20e6
# Measured: the share of a bare convolution's speed that encoding reaches; the seconds of a thread
# for each number that enters a layer of the decoder (interpolation, activation), besides the
# matrix product; the seconds for each output voxel (cubic interpolation, units, writing).
_ENCODE_EFFICIENCY = 0.9
_SECONDS_PER_VALUE, _SECONDS_PER_VOXEL = 1.5e-9, 3e-8


@dataclass(frozen=True)
class Reading:
    """An output, and how its planes lie in the input.

    shape: the output's. axis: the axis of the input along which one plane of the output follows
    the other; backwards: from the last plane of the input to the first. span: the number of input
    planes that one output plane reaches over. step: input planes from one output plane to the
    next. voxels: the number of output voxels that are not air.
    """

    shape: Shape
    axis: int
    backwards: bool
    span: float
    step: float
    voxels: float

    def planes(self, slab: int) -> int:
        """The number of input planes that a slab of the output reads.

        The neighbours that interpolation reads are included.
        """
        return int(np.ceil(self.span + (slab - 1) * self.step)) + 3


def reading_of(grid: Grid, source: Grid, active: np.ndarray) -> Reading:
    """How a grid lies in an image on the grid `source`.

    active: the image's voxels that are not air.
    """
    to_source = grid.index_map_to(source)[:3, :3]
    lattice = grid.axis_positions_in(source)
    if lattice is None:
        source_axis = int(np.argmax(np.abs(to_source[:, 2])))
        voxels = float(active.mean()) * float(np.prod(grid.shape, dtype=np.float64))
        span = float(np.abs(to_source[source_axis, :2]) @ (np.array(grid.shape[:2]) - 1))
    else:
        source_axis, span = lattice.axes[2], 0.0
        voxels = _count_active(lattice, active)
    step = float(to_source[source_axis, 2])
    return Reading(grid.shape, source_axis, step < 0, span, abs(step), voxels)


def _count_active(lattice: AxisPositions, active: np.ndarray) -> float:
    """The number of output voxels of a lattice whose nearest input voxel is active."""
    along: list[np.ndarray] = [np.empty(0)] * 3  # how many lie nearest to each plane
    for axis, positions in zip(lattice.axes, lattice.positions, strict=True):
        n = active.shape[axis]
        along[axis] = np.bincount(nearest_voxel(positions, n), minlength=n).astype(np.float64)
    i, j, k = along
    return float(i @ [j @ (plane @ k) for plane in active])


@dataclass(frozen=True)
class Plan:
    """How an output is computed. Memory is in bytes, work in floating-point operations.

    budget: memory that the process may take in all. resident: memory that the process has now,
    the scan included. slab_planes: the number of output planes that are computed together; slabs:
    memory for these planes until they are written. decode_values: numbers that enter the decoder's
    layers, where they take time besides the products. held: memory that the reader holds besides.
    members: the output is the mean of so many readings. parts: the output is computed in so many
    parts, one after the other, each from features of its own. gpu: memory of a GPU that it takes in
    all, weights and features that are kept included; 0 where the CPU computes.
    """

    reading: Reading
    layout: Layout
    budget: float
    resident: float
    slab_planes: int
    slabs: float
    decode_flops: float
    decode_values: float
    held: float = 0.0
    members: int = 1
    parts: int = 1
    gpu: float = 0.0

    @property
    def memory(self) -> float:
        """The most memory that the process will have at a time, that of a GPU left out."""
        computing = 0.0 if self.gpu else self.layout.features + self.layout.activations
        return self.resident + _growth() + computing + self.slabs + self.held

    def seconds(self, speed: Speed) -> float:
        """How long the output takes at a machine's speed in the network's precision."""
        encode = self._encodings * self.layout.flops / (_ENCODE_EFFICIENCY * speed.convolution)
        decode = self.decode_flops / speed.product
        decode += self.decode_values * _SECONDS_PER_VALUE / torch.get_num_threads()
        voxels = float(np.prod(self.reading.shape, dtype=float))
        return self.members * (encode + decode + voxels * _SECONDS_PER_VOXEL)

    @property
    def _encodings(self) -> float:
        """How often a member's features are computed. A window ends where a part ends."""
        return self.parts if self.layout.whole else (self.parts + 1) / 2

    def describe(self) -> dict[str, Any]:
        """Plain values, for a file."""
        layout = self.layout
        return {
            "memory_bytes": {
                "budget": round(self.budget),
                "peak": round(self.memory),
                "resident_now": round(self.resident),
                "features": round(layout.features),
                "activations": round(layout.activations),
                "slabs": round(self.slabs),
                "held": round(self.held),
                **({"gpu": round(self.gpu)} if self.gpu else {}),
            },
            "features_kept": "whole" if layout.whole else "window",
            "columns": list(layout.columns),
            "passes": layout.passes,
            "slab_planes": self.slab_planes,
            "members": self.members,
            "parts": self.parts,
            "encode_flops": self.members * self._encodings * layout.flops,
            "decode_flops": self.members * self.decode_flops,
        }


def budget_of(memory: float | None) -> tuple[float, float]:
    """The memory that the process may take, and the memory that it has now.

    memory: the user's limit; None: a share of the free memory.
    """
    resident = float(psutil.Process().memory_info().rss)
    return memory or resident + _DEFAULT_SHARE * available_bytes(), resident


def make_plan(
    network: ImplicitVoxelNetwork,
    shape: Shape,
    core: Box,
    reading: Reading,
    memory: float | None,
    share: float = 1.0,
    kept: Layout | None = None,
    held: float = 0.0,
) -> Plan:
    """The plan with the least work within `memory`.

    shape: the input's. core: the box of the input outside which there is only air. memory: bytes
    that the whole process may take; None: a share of the free memory. share: the share of the
    network's memory that this plan may use. kept: the layout of features that exist already.
    held: bytes that the reader will hold besides.
    Raises ArSSRError where no plan fits; the error names the memory that is enough.
    """

    def features_in(room: float, slab: int) -> Layout:
        reads = reading.axis, reading.backwards
        return plan_features(network, shape, core, share * room, reads, reading.planes(slab))

    def require(room: float, needed: float, what: str) -> None:
        if room <= needed:
            enough = _rounded_up(budget + needed - room)
            raise ArSSRError(
                f"a memory budget of {bytes_in_words(budget)} is too small: besides what the "
                f"process takes anyway it leaves {bytes_in_words(max(room, 0))} for {what}, which "
                f"needs {bytes_in_words(needed)}; {bytes_in_words(enough)} are enough, and a "
                "smaller model takes less"
            )

    device = network.device
    budget, resident = budget_of(memory)
    left = budget - resident - held - (0 if kept else _growth())
    per_voxel = _SLAB_BYTES * network.decoder.channels
    per_plane = per_voxel * float(reading.shape[0]) * reading.shape[1]
    most = min(_MOST_SLAB_PLANES, reading.shape[2])
    slab = int(np.clip(_SLAB_SHARE * left // per_plane, 1, most))
    if kept:
        require(left, per_plane, "a plane of the result")
        layout = replace(kept, features=0.0, activations=0.0, flops=0.0)
    elif device.type == "cuda":
        require(left, per_plane, "a plane of the result")
        layout = features_in(_DEFAULT_SHARE * available_bytes(device), slab)
    else:
        try:
            slab, layout = _least_work(features_in, left, per_plane, slab)
        except MemoryShortageError as error:
            require(left - per_plane, error.least / share, "the work of this network")
            raise
    flops = reading.voxels * decoder_flops(network)
    values = 0.0  # a GPU reads and writes numbers faster than it multiplies
    if device.type == "cpu":
        values = reading.voxels * sum(m.in_features for m in network.decoder.layers())
    plan = Plan(reading, layout, budget, resident, slab, slab * per_plane, flops, values, held)
    if device.type != "cuda":
        return plan
    return replace(plan, gpu=_gpu_bytes(network, shape, plan, (kept or layout).features))


def _gpu_bytes(network: ImplicitVoxelNetwork, shape: Shape, plan: Plan, features: float) -> float:
    """What a GPU will hold: weights, the image, features, and what is computed at a time."""
    lasting = float(sum(p.numel() * p.element_size() for p in network.parameters()))
    lasting += _GPU_IMAGE_BYTES * math.prod(map(float, shape))
    plane = math.prod(map(float, plan.reading.shape[:2]))
    on_its_way = _GPU_SLAB_BYTES * network.decoder.channels * plane * plan.slab_planes
    # activations are gone when the first slab is read from features that are kept whole
    at_a_time = max if plan.layout.whole else sum
    return lasting + features + at_a_time((plan.layout.activations, on_its_way))


def _least_work(
    features_in: Callable[[float, int], Layout], left: float, per_plane: float, slab: int
) -> tuple[int, Layout]:
    """The number of planes in a slab (at most `slab`) and the layout, with the least work.

    Of choices with the same work the one with the largest slabs is taken. The planes of a slab,
    and the input planes that they read, take memory that columns need: with more memory the volume
    is cut into fewer columns, and fewer halos are computed twice. Raises MemoryShortageError where
    not even one plane fits.
    """
    made: list[tuple[int, Layout]] = []
    while True:
        try:
            layout = features_in(left - slab * per_plane, slab)
        except MemoryShortageError:
            if slab == 1 and not made:
                raise
        else:
            made.append((slab, layout))
            if layout.streams_on:  # no layout is less work: it computes nothing twice
                break
        if slab == 1:
            break
        slab = max(1, slab // FEWER_PLANES)
    return min(made, key=lambda option: (option[1].flops, -option[0]))


def _rounded_up(size: float) -> float:
    """A size plus `_SPARE`, rounded up to two digits: no two processes take quite the same."""
    digit = 10.0 ** (math.floor(math.log10(size)) - 1)
    return math.ceil((1 + _SPARE) * size / digit) * digit


def _growth() -> float:
    return _GROWTH_BYTES + _THREAD_BYTES * torch.get_num_threads()


def decoder_flops(network: ImplicitVoxelNetwork) -> float:
    """Floating-point operations per output voxel. (The places' share comes from tables.)"""
    return sum(2.0 * layer.weight.numel() for layer in network.decoder.layers())
