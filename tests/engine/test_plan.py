"""Layouts: each voxel once, never above the budget, the least work."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.thin import lively_network
from tests.phantoms import tiny_config

from arssr.engine.layout import Layout, grown, parts, plan_features
from arssr.engine.plan import Plan, budget_of, make_plan, reading_of
from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.networks import ImplicitVoxelNetwork, ModelConfig

LIGHT = lively_network("light")
NETWORK = ImplicitVoxelNetwork(ModelConfig("paper"))


def box(*ends: tuple[int, int]) -> tuple[slice, slice, slice]:
    i, j, k = (slice(*pair) for pair in ends)
    return i, j, k


@given(st.integers(0, 20), st.integers(1, 50), st.data())
def test_parts_are_the_whole_and_nearly_equal(start: int, size: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, size))
    cut = parts(slice(start, start + size), count)
    assert [n for part in cut for n in range(part.start, part.stop)] == [
        *range(start, start + size)
    ]
    sizes = [part.stop - part.start for part in cut]
    assert len(cut) == count and max(sizes) - min(sizes) <= 1


def test_a_range_grows_up_to_the_faces() -> None:
    assert grown(slice(3, 5), 2, 10) == slice(1, 7)
    assert grown(slice(3, 5), 9, 10) == slice(0, 10)


@given(
    shape=st.tuples(*[st.integers(1, 60)] * 3),
    share=st.floats(0, 1.5),
    reads=st.one_of(st.none(), st.tuples(st.integers(0, 2), st.booleans())),
    needed=st.integers(1, 9),
)
def test_every_voxel_once_within_the_budget(
    shape: tuple[int, int, int], share: float, reads: tuple[int, bool] | None, needed: int
) -> None:
    core = tuple(slice(n // 5, n) for n in shape)
    whole = plan_features(LIGHT, shape, core, 1e15, reads, needed)  # type: ignore[arg-type]
    budget = share * (whole.features + whole.activations)
    try:
        layout = plan_features(LIGHT, shape, core, budget, reads, needed)  # type: ignore[arg-type]
    except ArSSRError:
        return
    assert layout.features + layout.activations <= budget
    assert layout.flops >= whole.flops * (1 - 1e-9)
    owned = np.zeros(shape, int)
    along = core[layout.axis]
    for start in range(along.start, along.stop, layout.pass_planes):
        for tile in layout.tiles(start, min(start + layout.pass_planes, along.stop)):
            owned[tile] += 1
    assert (owned[core] == 1).all() and owned.sum() == math.prod(s.stop - s.start for s in core)


def test_work_is_what_each_layer_computes_of_its_halo() -> None:
    """Two voxels in the middle of a line: layer n of 18 computes 2 + 2 (17 - n) of them."""
    layout = plan_features(LIGHT, (200, 1, 1), box((99, 101), (0, 1), (0, 1)), 1e12)
    weights = [m.weight.numel() for m in LIGHT.encoder.modules() if hasattr(m, "stride")]
    expected = sum(2 * w * (2 + 2 * (17 - n)) for n, w in enumerate(weights))
    assert len(weights) == 18 and layout.flops == expected
    everything = plan_features(LIGHT, (200, 1, 1), box((0, 200), (0, 1), (0, 1)), 1e12)
    assert everything.flops == sum(2 * w * 200 for w in weights)


def head(budget: float, core: tuple[slice, slice, slice] | None = None) -> Layout:
    """The paper's network in single precision on a 1 mm head, read along k."""
    network = ImplicitVoxelNetwork(ModelConfig("paper"))
    everything = box((0, 180), (0, 220), (0, 180))
    return plan_features(network, (180, 220, 180), core or everything, budget, (2, False), 30)


def test_with_less_memory_a_window_moves_and_nothing_is_computed_twice() -> None:
    large, small, tight = head(12e9), head(4.5e9), head(1.5e9)
    assert large.whole and large.columns == (1, 1) and large.passes == 1
    assert not small.whole and small.streams_on and small.axis == 2
    assert small.flops == large.flops and small.features < large.features
    assert not tight.streams_on and tight.flops > 1.5 * large.flops


def test_air_around_the_core_saves_work_and_memory() -> None:
    less = head(12e9, box((40, 140), (50, 170), (40, 140)))
    assert less.flops < 0.45 * head(12e9).flops
    assert less.features == 100 * 120 * 100 * 128 * 4


def test_a_budget_that_nothing_fits_is_refused_with_what_it_takes() -> None:
    network = ImplicitVoxelNetwork(tiny_config())
    everything = box((0, 50), (0, 5), (0, 6))
    with pytest.raises(ArSSRError, match=r"leaves 1 KB .* needs \d.* [KM]B; give it more memory"):
        plan_features(network, (50, 5, 6), everything, 1e3)


def plan_of(memory: float, shape: tuple[int, int, int] = (500, 500, 10)) -> Plan:
    """For a stack with fine pixels, whose slices are to be as far apart as its pixels."""
    scan = Grid(shape, np.diag([0.2, 0.2, 4, 1]))
    everything = box(*((0, n) for n in shape))
    active = np.ones(shape, bool)
    reading = reading_of(scan.scaled((1, 1, 20)), scan, active)
    return make_plan(NETWORK, shape, everything, reading, memory)


def test_what_is_named_as_enough_is_enough() -> None:
    refused = 0
    for memory in (1e6, 0.8e9, 1.1e9):
        try:
            plan_of(memory)
        except ArSSRError as error:
            refused += 1
            number, unit = re.search(r"([\d.]+) ([MG]B) are enough", str(error)).groups()  # type: ignore[union-attr]
            enough = float(number) * {"MB": 1e6, "GB": 1e9}[unit]
            assert memory < enough
            assert plan_of(enough).memory <= enough
    assert refused > 1


def test_more_memory_is_never_refused_and_never_more_work() -> None:
    work = math.inf
    resident = budget_of(None)[1]
    for spare in (0.8e9, 1.2e9, 1.6e9, 4e9):
        try:
            plan = plan_of(resident + spare)
        except ArSSRError:
            assert work == math.inf
            continue
        assert plan.layout.flops <= work
        work = plan.layout.flops
    assert work < math.inf
