"""How a reading goes on where memory runs out: in smaller pieces, and in the end on the CPU."""

import copy
import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

import torch
from torch import nn

from arssr.engine.features import FeatureMap
from arssr.engine.machine import fast_bf16
from arssr.errors import ArSSRError
from arssr.networks import ImplicitVoxelNetwork

_TRIES = 3  # each with half the memory of the one before; then a device is given up
_CPU = torch.device("cpu")
_OUT_OF_MEMORY = "out of memory; close other programs, or use a smaller model"
_log = logging.getLogger(__name__)
T = TypeVar("T")


def or_on_cpu(compute: Callable[[torch.device], T], device: torch.device) -> T:
    """What is computed on a device; where memory runs out there, on the CPU, which is told.

    Raises ArSSRError where it runs out on the CPU.
    """
    with suppress(torch.OutOfMemoryError):
        return compute(device)
    # The memory is free only here, as in `Runner.resumed`.
    if device == _CPU:
        raise ArSSRError(_OUT_OF_MEMORY)
    gc.collect()
    torch.cuda.empty_cache()
    _log.warning("out of memory on %s: going on on the CPU", device)
    return or_on_cpu(compute, _CPU)


class Runner:
    """A network that one field computes with, and what the field does where memory runs out.

    kept: the features of the whole image, if the field keeps them; they are dropped first.

    The network that is given stays where it is: on the CPU a copy of it computes.
    """

    def __init__(self, network: ImplicitVoxelNetwork) -> None:
        self.network = network
        self.kept: FeatureMap | None = None
        self._failures = 0  # on this device, since it was last given up

    @property
    def device(self) -> torch.device:
        """Where the network computes now."""
        return self.network.device

    @property
    def memory_share(self) -> float:
        """The share of the planned memory that is left to the network after its failures."""
        return 0.5**self._failures

    def resumed(self, read: Callable[[int], Iterator[tuple[int, T]]]) -> Iterator[T]:
        """What `read(0)` yields; where memory runs out, `read` goes on with less of it.

        read: reads from a place on, and yields pairs: the place where the next item begins, and
        the item. Raises ArSSRError where memory runs out on the CPU too.
        """
        place = 0
        while True:
            with suppress(torch.OutOfMemoryError):
                for following, item in read(place):
                    place = following
                    yield item
                    del item  # before memory is taken for the next
                return
            # The memory is free only here: until the error is gone, its traceback holds what
            # `read` had made.
            self._give_way()

    def leave_gpu(self, why: str) -> None:
        """Go on with a copy of the network on the CPU, in a precision that is fast there."""
        _log.warning("%s on %s: going on on the CPU", why, self.device)
        half = self.network.dtype.itemsize == 2 and fast_bf16(_CPU)
        self.network = _on_cpu(self.network, torch.bfloat16 if half else torch.float32)
        self.kept, self._failures = None, 0

    def _give_way(self) -> None:
        """After a failure: take less memory, or leave the GPU."""
        self.kept = None
        self._failures = (self._failures + 1) % _TRIES
        gc.collect()  # a half-computed feature map and its computation hold on to each other
        torch.cuda.empty_cache()
        if self._failures:
            _log.warning("out of memory on %s: going on in smaller pieces", self.device)
        elif self.device != _CPU:
            self.leave_gpu("out of memory")
        else:
            raise ArSSRError(_OUT_OF_MEMORY)


def _on_cpu(network: ImplicitVoxelNetwork, dtype: torch.dtype) -> ImplicitVoxelNetwork:
    """A copy; nothing is copied on the GPU, whose memory is scarce."""
    on_cpu: dict[int, Any] = {
        id(p): nn.Parameter(p.detach().to(_CPU, copy=True), p.requires_grad)
        for p in network.parameters()
    }
    on_cpu |= {id(buffer): buffer.to(_CPU, copy=True) for buffer in network.buffers()}
    return copy.deepcopy(network, on_cpu).to(dtype)
