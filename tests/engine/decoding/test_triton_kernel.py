"""The Triton kernel, without a GPU: in Triton's interpreter against the plain way, and compiled.

The interpreter forgives what the compiler does not, and the other way about. It cannot multiply
bfloat16 matrices (3.7 multiplies their bits as integers), so there the hidden layers are float32
and only what is read is bfloat16.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import numpy as np
import pytest
import torch
from torch import nn

from arssr.engine.decoding.lattice import Lattice, lattice_on
from arssr.engine.decoding.on_gpu import decode_plainly
from arssr.networks import ImplicitVoxelNetwork, ModelConfig
from arssr.workers import worker_pool

triton = pytest.importorskip("triton")
TOLERANCE = {torch.float32: 1e-6, torch.float16: 3e-3, torch.bfloat16: 1e-2}  # of the largest


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Executor]:
    """A process in which Triton has been interpreting since it was imported."""
    with worker_pool(1) as pool:
        with patch.dict(os.environ, TRITON_INTERPRET="1"):
            pool.submit(os.getpid).result()  # begins it
        yield pool


def network_of(width: int, depth: int) -> ImplicitVoxelNetwork:
    torch.manual_seed(width + depth)
    config = ModelConfig("residual", "light", width, depth, width)
    network = ImplicitVoxelNetwork(config).requires_grad_(False)
    for parameter in network.decoder.parameters():
        nn.init.normal_(parameter, mean=0.05, std=1.5 / parameter.shape[-1] ** 0.5)
    return network


def interpreted(chain: list[nn.Linear], lattice: Lattice) -> torch.Tensor:
    from arssr.engine.decoding.triton_kernel import decode_fused

    return decode_fused(chain, lattice)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(
    ("width", "depth", "shape", "scale", "holes"),
    [
        (16, 4, (3, 4, 5), (2, 2, 2), 0.3),
        (32, 3, (2, 3, 9), (3.2, 1.5, 1), 0.8),
        (64, 4, (5, 2, 2), (1, 1, 5.3), 0),
        (64, 2, (9, 2, 3), (0.7, 2, 2), 0.5),
        (128, 4, (2, 2, 2), (2, 2, 4), 0),
    ],
)
def test_the_kernel_agrees_with_the_plain_way(
    interpreter: Executor,
    dtype: torch.dtype,
    width: int,
    depth: int,
    shape: tuple[int, int, int],
    scale: tuple[float, float, float],
    holes: float,
) -> None:
    network = network_of(width, depth)
    i, j, k = (
        np.arange(round(n * s)) / s + (1 / s - 1) / 2 for n, s in zip(shape, scale, strict=True)
    )
    generator = np.random.default_rng(0)
    active = generator.random(shape) >= holes
    values = torch.from_numpy(generator.standard_normal((shape[2], *shape[:2], width)))
    features = values.float().permute(1, 2, 0, 3)  # not contiguous, as those of a window may be

    def lattice(dtype: torch.dtype) -> Lattice:
        cell = np.minimum(1 / np.array(scale), 1)
        return lattice_on(network.to(dtype), features.to(dtype), (i, j, k), cell, active)

    exact = decode_plainly(network, lattice(torch.float32))
    rounded = lattice(dtype)
    if dtype == torch.bfloat16:
        network.decoder.hidden.float()  # type: ignore[operator, union-attr]
    found = interpreter.submit(interpreted, network.decoder.gelu_chain(), rounded).result()
    assert found.dtype == torch.float32 and found.shape == exact.shape
    assert exact.abs().max() > 0.3
    assert (found - exact).abs().max() <= TOLERANCE[dtype] * exact.abs().max()
    assert torch.equal(found == 0, exact == 0) and (exact == 0).any() == (holes > 0)


class Compiling:
    """In place of a kernel: compiled for what it is called with, and not launched."""

    def __init__(self, kernel: Any) -> None:
        self.kernel, self.compiled = kernel, list[Any]()

    def __getitem__(self, grid: tuple[int]) -> Callable[..., None]:
        def call(*args: Any, **options: Any) -> None:
            self.compiled.append(self.kernel.run(*args, grid=grid, warmup=True, **options))

        return call


@pytest.mark.parametrize(
    ("width", "depth", "dtype", "capability"),
    [
        (64, 4, torch.bfloat16, 80),
        (128, 8, torch.bfloat16, 80),
        (64, 4, torch.float16, 90),
        (128, 4, torch.bfloat16, 90),
    ],
)
def test_the_kernel_compiles_to_tensor_cores_and_registers(
    width: int,
    depth: int,
    dtype: torch.dtype,
    capability: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once for images of all sizes: what the interpreter cannot tell, and no GPU is needed for."""
    from triton.backends.compiler import GPUTarget

    from arssr.engine.decoding import triton_kernel

    driver = Mock()
    driver.get_current_device.return_value = capability  # kernels are kept by device
    driver.get_current_target.return_value = GPUTarget("cuda", capability, 32)
    monkeypatch.setattr(triton.runtime.driver, "_active", driver)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = Compiling(triton_kernel._kernel)
    monkeypatch.setattr(triton_kernel, "_kernel", kernel)
    network = network_of(width, depth).to(dtype)
    for shape in ((4, 4, 16), (3, 1, 1), (5, 6, 7)):
        features = torch.randn(*shape, width, dtype=dtype)
        positions = tuple(np.arange(2 * n) / 2 - 0.25 for n in shape)
        active = np.ones(shape, bool)
        lattice = lattice_on(network, features, positions, np.full(3, 0.5), active)  # type: ignore[arg-type]
        interpreted(network.decoder.gelu_chain(), lattice)
    first, *others = kernel.compiled
    assert all(other is first for other in others)
    assert re.search("wgmma|mma.sync", first.asm["ptx"])
    binary = tmp_path / "kernel.cubin"
    binary.write_bytes(first.asm["cubin"])
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    usage = subprocess.run([tool, "-res-usage", binary], capture_output=True, text=True, check=True)
    assert re.search(r"STACK:0 .*LOCAL:0 ", usage.stdout), usage.stdout  # nothing is spilt
