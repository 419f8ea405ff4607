"""How long a device works."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Counts the seconds of blocks: `with stopwatch.on(device): …`.

    A GPU still works when the program has left the block. So the stopwatch records two events on
    the GPU, and only `seconds` waits for these events.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def on(self, device: torch.device) -> Iterator[None]:
        """Count the time that the device works for this block."""
        if device.type != "cuda":
            started = time.perf_counter()
            yield
            self._seconds += time.perf_counter() - started
            return
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        stream = torch.cuda.current_stream(device)
        start.record(stream)
        yield
        end.record(stream)
        self._events.append((start, end))

    @property
    def seconds(self) -> float:
        """The seconds of all blocks so far."""
        for start, end in self._events:
            end.synchronize()
            self._seconds += start.elapsed_time(end) / 1000
        self._events.clear()
        return self._seconds
