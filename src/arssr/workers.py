"""Worker processes on this machine: how they begin, and that they never outlive their parent."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from arssr.temporary import discard_unfinished


@contextmanager
def worker_pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """So many fresh processes that share the processor.

    They end at once, and leave nothing half-written, with Ctrl-C, when they are terminated, with
    their parent, and when it leaves the pool by an exception.
    """
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(count, context, _begin_worker, (count,)) as pool:
        try:
            yield pool
        except BaseException:
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise


def _begin_worker(count: int) -> None:
    """Share the processor with the other workers; know when to end."""
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // count))
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda number, _: _end(128 + number))
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: "multiprocessing.process.BaseProcess") -> None:
    parent.join()
    _end(1)


def _end(code: int) -> None:
    discard_unfinished()
    os._exit(code)
