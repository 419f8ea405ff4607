"""Decoding in large blocks, as a GPU does it: here on a CPU, and the same as plane by plane."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.lattices import (
    NETWORKS,
    Positions,
    cells,
    features_of,
    lattices,
    shapes,
)
from torch import nn

from arssr.engine.decoding import on_gpu
from arssr.engine.decoding.lattice import Lattice, cut, wanted_box
from arssr.engine.decoding.on_cpu import decode_lattice
from arssr.engine.decoding.on_gpu import decode_blocks, decode_plainly
from arssr.engine.decoding.taps import nearest_voxel
from arssr.networks import ImplicitVoxelNetwork, ModelConfig

CPU = torch.device("cpu")


def put_together(
    decoded: Iterator[tuple[tuple[slice, slice, slice], torch.Tensor]], positions: Positions
) -> np.ndarray:
    values = torch.zeros([len(p) for p in positions])
    written = torch.zeros(values.shape)
    for box, block in decoded:
        assert block.dtype == torch.float32
        values[box] = block[..., 0]
        written[box] += 1
    assert (written <= 1).all()
    return values.numpy()


@pytest.mark.parametrize("flavour", NETWORKS)
@settings(max_examples=60)
@given(
    shape=shapes, positions=lattices, cell=cells, voxels=st.integers(1, 99), holes=st.floats(0, 1)
)
def test_blocks_and_planes_agree(
    flavour: str,
    shape: tuple[int, int, int],
    positions: Positions,
    cell: np.ndarray,
    voxels: int,
    holes: float,
) -> None:
    network, features = NETWORKS[flavour], features_of(shape)
    active = np.random.default_rng(0).random(shape) >= holes
    given = network, features, positions, cell, active
    expected = put_together(decode_lattice(*given), positions)
    with patch.object(on_gpu, "_VOXELS", voxels):
        found = put_together(decode_blocks(*given), positions)
    np.testing.assert_allclose(found, expected, atol=3e-5)
    np.testing.assert_array_equal(found == 0, expected == 0)


@given(shape=shapes, positions=lattices, holes=st.floats(0, 1))
def test_the_wanted_box_has_all_that_is_wanted(
    shape: tuple[int, int, int], positions: Positions, holes: float
) -> None:
    active = np.random.default_rng(0).random(shape) >= holes
    nearest = [nearest_voxel(p, n) for p, n in zip(positions, shape, strict=True)]
    wanted = active[np.ix_(*nearest)]
    box = wanted_box(active, positions)
    if box is None:
        assert not wanted.any()
    else:
        assert wanted[box].sum() == wanted.sum()


def test_the_wanted_box_is_the_least() -> None:
    active = np.zeros((4, 5, 6), bool)
    active[1, 2, 3] = active[2, 2, 4] = True
    i, j, k = (np.arange(2 * n) / 2 - 0.25 for n in (4, 5, 6))
    assert wanted_box(active, (i, j, k)) == (slice(2, 6), slice(4, 6), slice(6, 10))


@given(shape=st.tuples(*[st.integers(1, 20)] * 3), most=st.integers(1, 300))
def test_cuts_cover_a_lattice_once(shape: tuple[int, int, int], most: int) -> None:
    times = np.zeros(shape, int)
    for box in cut(shape, most):
        times[box] += 1
        assert np.prod([s.stop - s.start for s in box]) <= most
    assert (times == 1).all()


# --- whether the kernel is used -------------------------------------------------------------------


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    """A GPU that there is not, on which decoding takes so many seconds and the kernel so many."""
    seconds = {"plain": 2.0, "fused": 1.0}

    small = partial(on_gpu.trial, CPU)
    monkeypatch.setattr(on_gpu, "_TRIAL", 4)
    monkeypatch.setattr(on_gpu, "trial", lambda _, *network: small(*network))
    monkeypatch.setattr(on_gpu, "trial_seconds", lambda *_: (seconds["plain"], seconds["fused"]))
    monkeypatch.setattr(on_gpu, "find_spec", lambda _: object())
    monkeypatch.setattr(on_gpu.torch.random, "fork_rng", lambda _: nullcontext())
    monkeypatch.setattr(on_gpu.torch.cuda, "get_device_capability", lambda _: (8, 0))
    monkeypatch.setattr(on_gpu, "_attempt", by_heart)
    on_gpu.fused_is_faster.cache_clear()
    yield seconds
    on_gpu.fused_is_faster.cache_clear()


def by_heart(chain: list[nn.Linear], lattice: Lattice) -> torch.Tensor:
    """What the kernel ought to answer."""
    network = ImplicitVoxelNetwork(ModelConfig("residual", "light", 16, 4, 16))
    network.decoder.hidden, network.decoder.last = nn.ModuleList(chain[:-1]), chain[-1]
    return decode_plainly(network, lattice)


def asked(dtype: torch.dtype = torch.bfloat16, width: int = 16) -> bool:
    return on_gpu.fused_is_faster(torch.device("cuda"), dtype, 4, width)


def test_the_kernel_is_used_where_it_is_faster(trial: dict[str, float]) -> None:
    assert asked()
    trial["fused"] = 3
    assert asked()  # tried once
    on_gpu.fused_is_faster.cache_clear()
    assert not asked()


def test_the_kernel_is_tried_only_where_it_could_win(
    trial: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not asked(torch.float32) and not asked(width=256) and not asked(width=24)
    assert not on_gpu.fused_is_faster(CPU, torch.bfloat16, 4, 16)
    with monkeypatch.context() as without:
        without.setattr(on_gpu, "find_spec", lambda _: None)
        assert not asked()
    on_gpu.fused_is_faster.cache_clear()
    monkeypatch.setattr(on_gpu.torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert not asked()


def test_a_kernel_that_answers_wrongly_is_not_used(
    trial: dict[str, float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for wrong in (1.2, np.nan):
        on_gpu.fused_is_faster.cache_clear()
        monkeypatch.setattr(on_gpu, "_attempt", lambda d, at, w=wrong: w * by_heart(d, at))
        assert not asked() and "which is off by" in caplog.text
        caplog.clear()


@pytest.mark.parametrize("failing", [True, False])
def test_a_kernel_that_fails_is_done_without(
    failing: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Triton that is not there, and that fails, are the same."""
    network, features = NETWORKS["residual"], features_of((3, 4, 5))
    i, j, k = (np.arange(2 * n) / 2 - 0.25 for n in (3, 4, 5))
    given = network, features, (i, j, k), np.full(3, 0.5), np.ones((3, 4, 5), bool)
    expected = put_together(decode_blocks(*given), (i, j, k))
    asked_for: list[object] = []

    def decode_fused(chain: list[nn.Linear], lattice: Lattice) -> torch.Tensor:
        asked_for.append(lattice)
        if failing:
            raise RuntimeError("out of resource: shared memory")
        return decode_plainly(network, lattice)

    fake = SimpleNamespace(decode_fused=decode_fused)
    monkeypatch.setitem(sys.modules, "arssr.engine.decoding.triton_kernel", fake)  # type: ignore[arg-type]
    monkeypatch.setattr(on_gpu, "fused_is_faster", lambda *_: True)
    np.testing.assert_array_equal(put_together(decode_blocks(*given), (i, j, k)), expected)
    assert len(asked_for) == 1 and ("shared memory" in caplog.text) == failing


def test_lack_of_memory_is_no_failure_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode_fused(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError

    fake = SimpleNamespace(decode_fused=decode_fused)
    monkeypatch.setitem(sys.modules, "arssr.engine.decoding.triton_kernel", fake)  # type: ignore[arg-type]
    with pytest.raises(torch.OutOfMemoryError):
        on_gpu._attempt(None, None)  # type: ignore[arg-type]
