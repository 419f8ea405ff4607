"""The work and memory of an encoder's `forward`, measured in a run on a small image."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from arssr.networks import ImplicitVoxelNetwork

_SIDE = 8  # voxels of the small image, at least: milliseconds


@dataclass(frozen=True)
class Footprint:
    """Per voxel of `forward`: floating-point operations, and numbers in memory at a time."""

    flops: float
    numbers: float


@torch.no_grad()
def footprint(network: ImplicitVoxelNetwork) -> Footprint:
    """The work and memory of `forward` of a network's encoder, without halos."""
    stride = network.encoder.stride
    side = -(-_SIDE // stride) * stride
    shape = 1, network.config.in_channels, side, side, side
    image = torch.zeros(shape, dtype=network.dtype, device=network.device)
    with FlopCounterMode(display=False) as work, _Alive() as alive:
        network.encoder(image)
    numbers = (image.nbytes + alive.most) / image.element_size()
    return Footprint(work.get_total_flops() / side**3, numbers / side**3)


class _Alive(TorchDispatchMode):
    """Records the most bytes that tensors took at a time while this mode was on.

    Counted are the tensors that are alive, and a copy of each tensor that the operation reads or
    writes, because oneDNN's convolutions make such copies.
    """

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._alive: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        found = func(*args, **(kwargs or {}))
        self._alive = {ref: size for ref, size in self._alive.items() if not ref.expired()}
        read, made = _storages(args), _storages(found)
        self._alive |= made
        copies = sum(made.values()) + sum(self._alive.get(ref, 0) for ref in read)
        self.most = max(self.most, copies + sum(self._alive.values()))
        return found


def _storages(values: object) -> dict[StorageWeakRef, int]:
    found = [t.untyped_storage() for t in tree_leaves(values) if isinstance(t, Tensor)]
    return {StorageWeakRef(storage): storage.nbytes() for storage in found}
