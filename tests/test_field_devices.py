"""Where a field is computed: leaving a GPU slab by slab, running out of memory, going to the CPU.

Without a GPU its ways are gone on a CPU: large blocks, and slabs that are fetched one later.
"""

import gc
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any
from unittest.mock import PropertyMock

import numpy as np
import pytest
import torch
from tests.engine.thin import lively_network
from tests.phantoms import rotated, smooth, volume
from torch.utils._python_dispatch import TorchDispatchMode

from arssr import field as module
from arssr.engine import out_of_memory
from arssr.engine.features import FeatureMap
from arssr.engine.out_of_memory import Runner
from arssr.engine.plan import Plan, make_plan
from arssr.errors import ArSSRError
from arssr.field import VoxelField
from arssr.intensity import Normalisation

IMAGE = volume(300 + 900 * smooth((9, 8, 7)))
CUDA = torch.device("cuda")


def field_of(dtype: torch.dtype = torch.float32) -> VoxelField:
    network = lively_network("light").to(dtype)
    return VoxelField(network, IMAGE, Normalisation(300, 900))


@pytest.fixture
def thin_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slabs of three planes."""

    def thin(*args: Any) -> Plan:
        return replace(make_plan(*args), slab_planes=3)

    monkeypatch.setattr(module, "make_plan", thin)


@pytest.fixture
def as_a_gpu(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A field that takes its CPU for a GPU; returns what happens to slabs, in order."""
    happened: list[str] = []

    def to_host(values: torch.Tensor) -> Callable[[], np.ndarray]:
        happened.append("computed")

        def arrived() -> np.ndarray:
            happened.append("fetched")
            return values.numpy()

        return arrived

    monkeypatch.setattr(Runner, "device", CUDA)
    monkeypatch.setattr(module, "to_device", lambda array, _: torch.as_tensor(array))
    monkeypatch.setattr("arssr.on_device.to_host", to_host)
    monkeypatch.setattr(module.Stopwatch, "on", lambda *_: nullcontext())
    return happened


def test_a_gpu_computes_a_slab_while_the_one_before_leaves_it(
    thin_slabs: object, as_a_gpu: list[str]
) -> None:
    grid = IMAGE.grid.scaled(1.5)
    slabs = list(field_of().slabs(grid))
    assert [slab.shape[2] for slab in slabs] == [3, 3, 3, 1]
    assert as_a_gpu == ["computed", *["computed", "fetched"] * 3, "fetched"]


def test_features_on_a_gpu_go_with_their_field(
    thin_slabs: object, as_a_gpu: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: nothing makes Python look for cycles because a GPU's memory is full of them."""
    made: list[weakref.ref[FeatureMap]] = []

    class Remembered(FeatureMap):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(weakref.ref(self))

    monkeypatch.setattr(module, "FeatureMap", Remembered)
    gc.collect()
    gc.disable()
    try:
        for _ in range(2):
            field = field_of()
            for scale in (1.5, 2.0):
                field.on(IMAGE.grid.scaled(scale))
            assert len(made) == 1 and made[0]() is not None
            held = weakref.ref(made.pop()()._room)  # type: ignore[union-attr]
            del field
            assert held() is None
    finally:
        gc.enable()


class Computed(TorchDispatchMode):
    """The names of all operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_no_slab_needs_what_a_gpu_would_have_to_be_waited_for(
    thin_slabs: object, as_a_gpu: list[str]
) -> None:
    """Neither its numbers nor a list in an index, which is sent there first."""
    with Computed() as computed:
        list(field_of().slabs(IMAGE.grid.scaled(1.5)))
    assert "index_select" in computed.names
    waiting = {"index", "index_put_", "_local_scalar_dense", "nonzero", "masked_select"}
    assert not computed.names & waiting


def test_a_cpu_gives_each_slab_away_before_the_next(
    thin_slabs: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    slabs = field_of().slabs(IMAGE.grid.scaled(1.5))
    next(slabs)
    monkeypatch.setattr(module, "decode_lattice", None)  # so the next is yet to be computed
    with pytest.raises(TypeError):
        next(slabs)


def test_a_gpus_way_leads_to_the_same_field(
    thin_slabs: object, request: pytest.FixtureRequest
) -> None:
    grids = [IMAGE.grid.scaled(1.7), rotated(IMAGE.grid, (0, 10, 20))]
    expected = [field_of().on(grid).data for grid in grids]
    request.getfixturevalue("as_a_gpu")
    for grid, data in zip(grids, expected, strict=True):
        np.testing.assert_allclose(field_of().on(grid).data, data, atol=0.02)


def running_out(monkeypatch: pytest.MonkeyPatch, name: str, times: int) -> list[object]:
    """So many calls of a function that the field uses fail; returns the features they were for."""
    ended: list[object] = []
    real = getattr(module, name)

    def failing(network: Any, features: Any, *args: Any) -> Any:
        if len(ended) < times:
            ended.append(weakref.ref(features))
            taken = features[slice(0, 1), slice(0, 1), slice(0, 1)]
            raise torch.OutOfMemoryError(f"{taken.shape}")
        return real(network, features, *args)

    monkeypatch.setattr(module, name, failing)
    return ended


def test_memory_is_free_again_before_it_is_planned_with(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = running_out(monkeypatch, "decode_lattice", 2)
    alive: list[object] = []

    def plan(*args: Any) -> Plan:
        alive.extend(features() for features in ended)  # type: ignore[operator]
        return make_plan(*args)

    monkeypatch.setattr(module, "make_plan", plan)
    field_of().on(IMAGE.grid.scaled(2))
    assert len(ended) == 2 and alive == [None] * 3  # after one failure, and after two


def test_points_survive_lack_of_memory_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    points = np.random.default_rng(0).uniform(0, 6, (50, 3))
    turned = rotated(IMAGE.grid, (0, 10, 20))
    expected = field_of().at(points), field_of().on(turned).data
    running_out(monkeypatch, "decode_points", 2)
    np.testing.assert_allclose(field_of().at(points), expected[0], atol=0.01)
    assert caplog.text.count("going on in smaller pieces") == 2
    running_out(monkeypatch, "decode_points", 2)
    np.testing.assert_allclose(field_of().on(turned).data, expected[1], atol=0.01)
    assert caplog.text.count("going on in smaller pieces") == 4
    running_out(monkeypatch, "decode_points", 99)
    with pytest.raises(ArSSRError, match="out of memory"):
        field_of().at(points)


@pytest.mark.parametrize(("fast", "expected"), [(False, torch.float32), (True, torch.bfloat16)])
def test_a_gpu_without_memory_is_left_for_the_cpu(
    fast: bool,
    expected: torch.dtype,
    as_a_gpu: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    exact = field_of().on(IMAGE.grid.scaled(2)).data
    monkeypatch.setattr(out_of_memory, "fast_bf16", lambda _: fast)
    field = field_of(torch.bfloat16)
    given = field.network
    running_out(monkeypatch, "decode_blocks", 3)

    def device(self: Runner) -> torch.device:
        return torch.device("cpu") if "on the CPU" in caplog.text else CUDA

    monkeypatch.setattr(Runner, "device", property(device))
    found = field.on(IMAGE.grid.scaled(2)).data
    assert caplog.text.count("out of memory on cuda: going on in smaller pieces") == 2
    assert caplog.text.count("out of memory on cuda: going on on the CPU") == 1
    assert field.network.dtype == expected
    assert given.dtype == torch.bfloat16 and given is not field.network  # others compute with it
    assert np.abs(found - exact).max() < 0.03 * np.ptp(exact)


def test_a_plan_that_fits_on_no_gpu_is_made_for_the_cpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refused: list[object] = []

    def plan(*args: Any) -> Plan:
        if not refused:
            refused.append(args)
            raise ArSSRError("the memory budget leaves nothing")
        return make_plan(*args)

    monkeypatch.setattr(module, "make_plan", plan)
    monkeypatch.setattr(Runner, "device", PropertyMock(return_value=CUDA))
    assert field_of().plan(IMAGE.grid).layout.whole
    assert "not enough memory on cuda: going on on the CPU" in caplog.text


def test_what_fp16_cannot_hold_is_refused_and_never_written() -> None:
    field = field_of(torch.float16)
    field.network.decoder.last.bias.fill_(torch.inf)  # type: ignore[union-attr, operator]
    with pytest.raises(ArSSRError, match="beyond the range of fp16"):
        field.on(IMAGE.grid)
    with pytest.raises(ArSSRError, match="beyond the range of fp16"):
        field.at([3, 3, 3])
