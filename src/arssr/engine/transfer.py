"""Between the host and a GPU without either waiting for the other.

Copies that neither side waits for need host memory that stays where it is (pinned). PyTorch keeps
what has been pinned and gives it out again once the copies from or to it are done, so slabs that
leave one after the other alternate between two buffers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch
from torch import Tensor


def host_tensor(array: np.ndarray) -> Tensor:
    """A host array as a tensor in C's order, which shares its memory where it can.

    Along an axis of length 1 NumPy does not mind a negative stride, as flipping leaves it, and
    calls the array contiguous; torch refuses it.
    """
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array.copy() if min(array.strides, default=0) < 0 else array)


def to_device(array: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """A host array on a device: itself on a CPU, on a GPU a copy that is under way.

    A tensor may be anywhere; where it is there already it is itself.
    """
    tensor = torch.as_tensor(array)
    if device.type != "cuda":
        return tensor.to(device)
    if tensor.device.type == "cuda":  # perhaps made `beside` what is done now
        tensor.record_stream(torch.cuda.current_stream(device))
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def to_host(values: Tensor) -> Callable[[], np.ndarray]:
    """Starts a copy to the host; what is returned waits for it and gives the array.

    On a stream of its own, so that what the GPU is given to do next goes on meanwhile. The array
    lies in memory as the tensor does.
    """
    if values.device.type != "cuda":
        return values.cpu().numpy
    host = torch.empty_like(values, device="cpu", pin_memory=True)
    stream = _copies(values.device)
    stream.wait_stream(torch.cuda.current_stream(values.device))
    with torch.cuda.stream(stream):
        host.copy_(values, non_blocking=True)
    values.record_stream(stream)
    arrival = stream.record_event()

    def arrived() -> np.ndarray:
        arrival.synchronize()
        return host.numpy()

    return arrived


@contextmanager
def beside(device: torch.device) -> Iterator[None]:
    """What a GPU is given here does not wait for what other threads have given it.

    At the end it is done.
    """
    if device.type != "cuda":
        yield
        return
    stream = _aside(device)
    with torch.cuda.stream(stream):
        yield
        stream.synchronize()


@cache
def _aside(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


@cache
def _copies(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
