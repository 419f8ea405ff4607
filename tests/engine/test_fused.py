"""The Triton kernel, without a GPU: in Triton's interpreter against the plain way, and compiled.

The interpreter forgives what the compiler does not, and the other way about. It cannot multiply
bfloat16 matrices (3.7 multiplies their bits as integers), so there the hidden layers are float32
and only what is read is bfloat16.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import nn

from arssr.engine.blocks import decode_plainly
from arssr.engine.lattice import Lattice, lattice_on
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


def interpreted(decoder: nn.Module, lattice: Lattice) -> torch.Tensor:
    from arssr.engine.fused import decode_fused

    return decode_fused(decoder, lattice)  # type: ignore[arg-type]


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
    found = interpreter.submit(interpreted, network.decoder, rounded).result()
    assert found.dtype == torch.float32 and found.shape == exact.shape
    assert exact.abs().max() > 0.3
    assert (found - exact).abs().max() <= TOLERANCE[dtype] * exact.abs().max()
    assert torch.equal(found == 0, exact == 0) and (exact == 0).any() == (holes > 0)


@pytest.mark.parametrize(
    ("width", "hidden", "dtype", "capability"),
    [(64, 2, "bf16", 80), (128, 6, "bf16", 80), (64, 2, "fp16", 90), (128, 2, "bf16", 90)],
)
def test_the_kernel_compiles_to_tensor_cores_and_registers(
    width: int,
    hidden: int,
    dtype: str,
    capability: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from arssr.engine import fused

    names = fused._kernel.arg_names
    tile = dict(zip(("TILE_I", "TILE_J", "TILE_K"), fused.tile_of(width), strict=True))
    constants = {"WIDTH": width, "HIDDEN": hidden, **tile}
    signature = {name: "i32" for name in names} | dict.fromkeys(constants, "constexpr")
    pointers = {name: f"*{dtype}" for name in names[: names.index("n_i")]}
    pointers |= {"out": "*fp32", "active": "*u8"}
    for name in pointers:
        if name.startswith(("index_", "nearest_", "weight_")):
            pointers[name] = "*fp32" if name.startswith("weight_") else "*i32"
    aligned = [n for n in names if n in pointers or n.startswith("feature_")]
    source = ASTSource(
        fused._kernel,
        signature | pointers,
        {(names.index(name),): value for name, value in constants.items()},
        {(names.index(name),): [["tt.divisibility", 16]] for name in aligned},
    )
    target = GPUTarget("cuda", capability, 32)
    compiled = triton.compile(source, target=target, options={"num_warps": fused._WARPS})
    assert re.search("wgmma|mma.sync", compiled.asm["ptx"])
    binary = tmp_path / "kernel.cubin"
    binary.write_bytes(compiled.asm["cubin"])
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    usage = subprocess.run([tool, "-res-usage", binary], capture_output=True, text=True, check=True)
    assert re.search(r"STACK:0 .*LOCAL:0 ", usage.stdout), usage.stdout  # nothing is spilt
