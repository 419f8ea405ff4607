"""Seconds add up over blocks."""

import time

import pytest
import torch

from arssr.engine.clock import Stopwatch


def test_blocks_add_up_and_what_lies_between_does_not_count() -> None:
    stopwatch, started = Stopwatch(), time.perf_counter()
    assert stopwatch.seconds == 0
    for _ in range(2):
        with stopwatch.on(torch.device("cpu")):
            time.sleep(0.01)
    assert 0.02 <= stopwatch.seconds <= time.perf_counter() - started
    before = stopwatch.seconds
    time.sleep(0.01)
    assert stopwatch.seconds == before


def test_a_block_that_fails_raises() -> None:
    with pytest.raises(ValueError, match="oh"), Stopwatch().on(torch.device("cpu")):
        raise ValueError("oh")
