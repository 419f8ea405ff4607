"""One thread a process (the workers fill the cores), and property tests that never time out."""

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from tests.phantoms import tiny_network

from arssr.jobs.batch import ModelRef
from arssr.weights.files import save_weights

torch.set_num_threads(1)
settings.register_profile("arssr", deadline=None, derandomize=True)
settings.load_profile("arssr")


@contextmanager
def _full_disk(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """A context in which no file can grow beyond so many bytes: writing fails as on a full disk."""
    return _full_disk


@pytest.fixture
def network(tmp_path: Path) -> ModelRef:
    """Tiny random weights."""
    path = tmp_path / "weights" / "tiny.safetensors"
    save_weights(path, tiny_network(), {})
    return ModelRef.find(path, "cpu", "float32")
