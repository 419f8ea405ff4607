"""Readings that go on where memory runs out, without losing or repeating anything."""

import weakref
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.phantoms import tiny_network

from arssr.engine.out_of_memory import Runner, or_on_cpu
from arssr.errors import ArSSRError


class Held:
    """Something that takes memory."""


@given(fails_at=st.dictionaries(st.integers(0, 9), st.integers(1, 2)))
def test_every_item_comes_once_and_in_order(fails_at: dict[int, int]) -> None:
    """However often memory runs out, as long as it is fewer than three times."""
    runner, left, shares = Runner(tiny_network()), dict(fails_at), []
    allowed = 2

    def read(place: int) -> Iterator[tuple[int, int]]:
        nonlocal allowed
        shares.append(runner.memory_share)
        for number in range(place, 10):
            if allowed and left.get(number, 0):
                left[number] -= 1
                allowed -= 1
                raise torch.OutOfMemoryError
            yield number + 1, number

    assert list(runner.resumed(read)) == list(range(10))
    assert shares == [1, 0.5, 0.25][: len(shares)]


def test_where_a_device_has_too_little_memory_the_cpu_computes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def compute(device: torch.device) -> str:
        if device.type == "cuda":
            raise torch.OutOfMemoryError
        return device.type

    assert or_on_cpu(compute, torch.device("cuda")) == "cpu"
    assert caplog.messages == ["out of memory on cuda: going on on the CPU"]


def test_where_the_cpu_has_too_little_it_is_an_error() -> None:
    def compute(_: torch.device) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(ArSSRError, match="out of memory"):
        or_on_cpu(compute, torch.device("cuda"))


def test_what_failed_is_free_before_the_next_try() -> None:
    runner, made = Runner(tiny_network()), list[weakref.ref[Held]]()

    def read(_: int) -> Iterator[tuple[int, int]]:
        assert [each() for each in made] == [None] * len(made)
        held = Held()
        made.append(weakref.ref(held))
        if len(made) < 3:
            raise torch.OutOfMemoryError
        yield 1, 0

    assert list(runner.resumed(read)) == [0]
    assert len(made) == 3


def test_an_item_is_let_go_of_before_the_next_is_computed() -> None:
    made = list[weakref.ref[Held]]()

    def read(_: int) -> Iterator[tuple[int, Held]]:
        for number in range(3):
            assert [each() for each in made] == [None] * len(made)
            held = Held()
            made.append(weakref.ref(held))
            yield number + 1, held
            del held

    for item in Runner(tiny_network()).resumed(read):
        del item
    assert len(made) == 3


def test_the_cpu_is_given_up_after_three_failures_and_may_be_tried_again() -> None:
    runner = Runner(tiny_network())

    def read(_: int) -> Iterator[tuple[int, int]]:
        raise torch.OutOfMemoryError
        yield

    for _ in range(2):
        with pytest.raises(ArSSRError, match="out of memory"):
            list(runner.resumed(read))
        assert runner.memory_share == 1


def test_other_errors_are_not_tried_again() -> None:
    calls = []

    def read(_: int) -> Iterator[tuple[int, int]]:
        calls.append(1)
        raise ValueError("no memory error")
        yield

    with pytest.raises(ValueError, match="no memory error"):
        list(Runner(tiny_network()).resumed(read))
    assert len(calls) == 1


def test_the_network_that_was_given_stays_what_it_is() -> None:
    network = tiny_network().bfloat16()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    runner = Runner(network)
    runner.leave_gpu("not enough memory")
    copied = runner.network
    assert copied is not network and copied.device.type == "cpu"
    for parameter in copied.parameters():
        parameter.data.zero_()
    assert network.precision == "bfloat16"
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_copy_takes_no_memory_of_the_gpu() -> None:
    runner = Runner(tiny_network().to("cuda", torch.bfloat16))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    runner.leave_gpu("not enough memory")
    assert torch.cuda.max_memory_allocated() == before
    assert runner.device.type == "cpu"
