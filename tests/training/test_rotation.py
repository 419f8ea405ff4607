"""Images that come by in turn: each as often as the others, and nothing depends on when."""

from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.fabric import Fabric
from tests.phantoms import smooth, tiny_config, volume

from arssr.errors import ArSSRError
from arssr.survey import named
from arssr.training.checkpoint import load_checkpoint
from arssr.training.config import SamplingConfig, TrainConfig
from arssr.training.images import Order, Resident, slots_of
from arssr.training.records import Listener
from arssr.training.rotation import Rotation, training_images
from arssr.training.run import make_fabric, train
from arssr.training.sampler import Batch, batch

SIDE = 20
IMAGE_GB = SIDE**3 * 2 / 1e9
CONFIG = TrainConfig(
    tiny_config(),
    SamplingConfig(batch=2, patch=8, points=20, margin=1, context=2),
    steps=30,
    precision="float32",
    checkpoint_every_seconds=0,
    resident_gb=4.5 * IMAGE_GB,
    visits=3,
)

orders = st.builds(
    Order,
    seed=st.integers(0, 9),
    slots=st.integers(1, 12).map(lambda n: tuple(range(n))),
    batch=st.integers(1, 5),
    window=st.integers(1, 12),
    visits=st.integers(1, 4),
)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Seven images, of which the budget holds four: two to draw from, two to come."""
    folder = tmp_path_factory.mktemp("images")
    return [volume(smooth((SIDE,) * 3, n, sigma=1)).write(folder / f"{n}.nii") for n in range(7)]


# --- the order -----------------------------------------------------------------------------------


@given(orders)
def test_every_image_is_drawn_equally_often_in_a_turn(order: Order) -> None:
    """But for the samples that fill up the last batch."""
    samples = len(order.slots) * order.visits
    steps = -(-samples // order.batch)
    for turn in range(2):
        drawn = [i for s in range(steps) for i in order.images(turn * steps + s)]
        assert len(drawn) == steps * order.batch
        assert Counter(drawn[:samples]) == dict.fromkeys(range(len(order.slots)), order.visits)


@given(orders, st.integers(0, 60))
def test_what_is_drawn_from_has_been_asked_for(order: Order, step: int) -> None:
    """By the step before, so that it can be read in the background."""
    needed = order.needed(step)
    assert set(order.images(step)) <= set(needed)
    assert len(needed) == len(set(needed))
    if order.window * order.visits >= order.batch:
        assert set(order.images(step + 1)) <= set(needed)


@given(orders, st.integers(0, 60))
def test_no_more_than_two_windows_are_needed(order: Order, step: int) -> None:
    """Where visits are a multiple of the batch, as they are in training."""
    whole = replace(order, visits=order.visits * order.batch)
    assert len(whole.needed(step)) <= 2 * order.window


def test_a_single_window_visited_once_is_an_epoch() -> None:
    assert Order.plain(3, range(5), 2) == Order(3, tuple(range(5)), 2, window=5, visits=1)
    drawn = [i for step in range(3) for i in Order.plain(3, range(5), 2).images(step)]
    assert sorted(drawn[:5]) == [0, 1, 2, 3, 4] and drawn[5] == drawn[0]


@given(orders, st.lists(st.integers(1, 3), min_size=12, max_size=12))
def test_an_image_is_drawn_as_often_as_it_weighs(order: Order, weights: list[int]) -> None:
    slots = [n for n in order.slots for _ in range(weights[n])]
    weighted = replace(order, slots=tuple(slots))
    steps = -(-len(slots) * order.visits // order.batch)
    drawn = [image for step in range(steps) for image in weighted.images(step)]
    wanted = {n: weights[n] * order.visits for n in order.slots}
    assert Counter(drawn[: len(slots) * order.visits]) == wanted


def test_the_last_pattern_that_a_name_matches_says_how_much_it_weighs() -> None:
    names = ["a_T1w.nii", "a_T2w.nii", "b_T2w.nii"]
    assert slots_of(names, {}) == [0, 1, 2]
    assert slots_of(names, {"*_T2w*": 3, "b*": 2}) == [0, 1, 1, 1, 2, 2]
    with pytest.raises(ArSSRError, match=r"no image to weight is called '\*_FLAIR\*'"):
        slots_of(names, {"*_FLAIR*": 2})


# --- the images ----------------------------------------------------------------------------------


def test_a_folder_that_fits_stays_in_memory(paths: list[Path]) -> None:
    items = training_images(named(paths), replace(CONFIG, resident_gb=7.5 * IMAGE_GB))
    assert isinstance(items, Resident) and len(items.names) == 7


def test_a_folder_that_does_not_fit_passes_by(paths: list[Path]) -> None:
    items = training_images(named(paths), CONFIG)
    assert isinstance(items, Rotation)
    assert items.order == Order(CONFIG.seed, tuple(range(7)), 2, window=2, visits=4)
    held = []
    for step in range(40):
        names = [item.name for item in items.for_step(step)]
        held.append(len(items.held))
        assert names == [items.names[number] for number in items.order.images(step)]
    assert max(held) == 4


def test_a_rotation_draws_what_memory_would_have_held(paths: list[Path]) -> None:
    """The same batches as with every image at hand, in the same order; at any step, again."""
    passing = training_images(named(paths), CONFIG)
    assert isinstance(passing, Rotation)
    everything = training_images(named(paths), replace(CONFIG, resident_gb=1.0))
    assert isinstance(everything, Resident)
    at_hand = replace(everything, order=passing.order)
    for step in (0, 1, 2, 3, 10, 11, 4):
        one, other = (batch(i, CONFIG.sampling, CONFIG.seed, step) for i in (passing, at_hand))
        for f in fields(Batch):
            assert torch.equal(getattr(one, f.name), getattr(other, f.name)), f.name
    for rank in range(2):
        share = batch(passing, CONFIG.sampling, CONFIG.seed, 12, rank, 2)
        whole = batch(passing, CONFIG.sampling, CONFIG.seed, 12)
        assert torch.equal(share.truth[0], whole.truth[rank])


def test_a_budget_for_less_than_two_images_is_refused(paths: list[Path]) -> None:
    with pytest.raises(
        ArSSRError, match=r"resident_gb of 1e-06 is too little: 1 images take 16 KB"
    ):
        training_images(named(paths), replace(CONFIG, resident_gb=1e-6))


def test_an_image_that_cannot_be_used_is_named_when_it_is_due(
    paths: list[Path], tmp_path: Path
) -> None:
    small = volume(smooth((5, 20, 20))).write(tmp_path / "small.nii")
    items = training_images(named([*paths, small]), CONFIG)
    with pytest.raises(ArSSRError, match=r"small\.nii is too small"):
        for step in range(12):
            batch(items, CONFIG.sampling, CONFIG.seed, step)


# --- a run ---------------------------------------------------------------------------------------


def test_a_run_in_rotation_is_resumed_bit_for_bit(paths: list[Path], tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def stop(progress: object) -> None:
        if progress.step == 14:  # type: ignore[attr-defined]
            raise Killed

    fabric: Fabric = make_fabric("cpu", 1, 1, "float32")
    train(CONFIG, paths, [], tmp_path / "whole", fabric)
    with pytest.raises(Killed):
        train(CONFIG, paths, [], tmp_path / "cut", fabric, listener=Listener(on_step=stop))
    train(CONFIG, paths, [], tmp_path / "cut", fabric, resume=True)
    whole, cut = (load_checkpoint(tmp_path / name) for name in ("whole", "cut"))
    assert whole["items"] == cut["items"] == [path.name for path in paths]
    for name, value in whole["network"].items():
        assert torch.equal(value, cut["network"][name])
