"""Features kept, in a window, in columns, forwards and backwards: always the same ones."""

import gc
import itertools
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.thin import at_once, condition_for, lively_network

from arssr.engine.encoding.stream import LONGER
from arssr.engine.features import FeatureMap
from arssr.engine.layout import Layout

# In double precision, so that what differs is the layout and not the rounding.
NETWORKS = {flavour: lively_network("light", flavour).double() for flavour in ("paper", "residual")}
TOLERANCE = 1e-12
SHAPE = (31, 4, 5)

layouts = st.builds(
    Layout,
    shape=st.just(SHAPE),
    core=st.sampled_from(
        [(slice(0, 31), slice(0, 4), slice(0, 5)), (slice(3, 29), slice(1, 4), slice(0, 4))]
    ),
    axis=st.integers(0, 2),
    backwards=st.booleans(),
    columns=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    passes=st.integers(1, 4),
    whole=st.booleans(),
    planes=st.integers(1, 9),
    features=st.just(0.0),
    activations=st.just(0.0),
    flops=st.just(0.0),
).filter(lambda plan: not plan.whole or (plan.passes == 1 and not plan.backwards))


@pytest.mark.parametrize("flavour", NETWORKS)
@settings(max_examples=25)
@given(layout=layouts, needed=st.integers(1, 7))
def test_every_layout_gives_the_same_features(flavour: str, layout: Layout, needed: int) -> None:
    network = NETWORKS[flavour]
    torch.manual_seed(1)
    image, condition = torch.rand(SHAPE, dtype=torch.float64), condition_for(network)
    with torch.inference_mode():
        truth = torch.zeros(*SHAPE, 8, dtype=torch.float64)
        truth[layout.core] = at_once(network, image, condition)[layout.core]
    features = FeatureMap(network, image, condition, layout)
    n = SHAPE[layout.axis]
    steps = range(0, n, needed)
    for low in reversed(steps) if layout.backwards else steps:
        high = min(low + needed, n)
        features.require(low, high)
        box = [slice(0, 4), slice(1, 3), slice(0, 5)]
        box[layout.axis] = slice(low, high)
        found = features[box[0], box[1], box[2]]
        torch.testing.assert_close(found, truth[tuple(box)], rtol=0, atol=TOLERANCE)
        inside = [
            slice(max(b.start, c.start), min(b.stop, c.stop))
            for b, c in zip(box, layout.core, strict=True)
        ]
        index = np.array(list(itertools.product(*[range(s.start, s.stop) for s in inside])))
        if len(index):
            rows = features.rows(index)
            torch.testing.assert_close(rows, truth[tuple(index.T)], rtol=0, atol=TOLERANCE)


def layout_for(whole: bool, **changes: object) -> Layout:
    core = slice(0, 31), slice(0, 4), slice(0, 5)
    return replace(
        Layout(SHAPE, core, 0, False, (1, 1), 1, whole, 2, 0.0, 0.0, 0.0),
        **changes,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("flavour", NETWORKS)
def test_a_window_can_go_back_and_jump(flavour: str) -> None:
    network = NETWORKS[flavour]
    image, condition = torch.rand(SHAPE, dtype=torch.float64), condition_for(network)
    with torch.inference_mode():
        truth = at_once(network, image, condition)
    for layout in (layout_for(False), layout_for(False, passes=5), layout_for(True)):
        features = FeatureMap(network, image, condition, layout)
        for low, high in ((20, 23), (2, 4), (28, 60), (-3, 1)):
            features.require(low, high)
            seen = slice(max(low, 0), min(high, 31))
            found = features[seen, slice(0, 4), slice(0, 5)]
            torch.testing.assert_close(found, truth[seen], rtol=0, atol=TOLERANCE)


def test_a_window_holds_no_more_than_it_must() -> None:
    network = NETWORKS["residual"]
    features = FeatureMap(
        network, torch.rand(SHAPE, dtype=torch.float64), condition_for(network), layout_for(False)
    )
    for low in range(28):
        features.require(low, low + 3)
        assert len(features._held) <= 3 + 2 + LONGER
    kept = FeatureMap(
        network, torch.rand(SHAPE, dtype=torch.float64), condition_for(network), layout_for(True)
    )
    kept.require(5, 6)
    assert len(kept._held) == 31


@pytest.mark.parametrize(
    "layout", [layout_for(True), layout_for(False), layout_for(True, columns=(2, 3))]
)
def test_progress_grows_to_one(layout: Layout) -> None:
    shares: list[float] = []
    network = NETWORKS["residual"]
    features = FeatureMap(
        network,
        torch.rand(SHAPE, dtype=torch.float64),
        condition_for(network),
        layout,
        shares.append,
    )
    features.require(0, 31)
    assert shares == sorted(shares) and len(set(shares)) > 5 and shares[-1] == 1


def test_features_that_are_done_are_let_go_of_at_once() -> None:
    core = (slice(0, 31), slice(0, 4), slice(0, 5))
    layout = Layout(SHAPE, core, 0, False, (1, 1), 1, True, 4, 0.0, 0.0, 0.0)
    network = NETWORKS["residual"]
    image = torch.rand(SHAPE, dtype=torch.float64)
    gc.disable()
    try:
        features = FeatureMap(network, image, condition_for(network), layout)
        features.require(0, 1)
        alive = weakref.ref(features)
        del features
        assert alive() is None
    finally:
        gc.enable()
