"""Layouts: each voxel once, never above the budget, the least work."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.thin import box, lively_network
from tests.phantoms import tiny_config
from torch import nn

from arssr.engine.layout import Layout, plan_features
from arssr.errors import ArSSRError
from arssr.networks import ImplicitVoxelNetwork, ModelConfig

LIGHT = lively_network("light")
NETWORK = ImplicitVoxelNetwork(ModelConfig("paper"))


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
    weights = [m.weight.numel() for m in LIGHT.encoder.modules() if isinstance(m, nn.Conv3d)]
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
