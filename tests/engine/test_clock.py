"""Seconds add up over blocks."""

import time

import pytest
import torch

from arssr.engine.clock import Stopwatch

CPU = torch.device("cpu")


def test_blocks_add_up_and_what_lies_between_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings = iter([10.0, 11.0, 20.0, 22.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(readings))
    stopwatch = Stopwatch()
    assert stopwatch.seconds == 0
    with stopwatch.on(CPU):
        pass
    assert stopwatch.seconds == 1
    with stopwatch.on(CPU):
        pass
    assert stopwatch.seconds == stopwatch.seconds == 3.5


def test_a_block_that_fails_raises() -> None:
    with pytest.raises(ValueError, match="oh"), Stopwatch().on(CPU):
        raise ValueError("oh")
