"""Worker processes on this machine: how they begin, and that they never outlive their parent."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor


def worker_pool(count: int) -> ProcessPoolExecutor:
    """So many fresh processes that share the processor and end at once with Ctrl-C."""
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    return ProcessPoolExecutor(count, context, _begin_worker, (count,))


def _begin_worker(count: int) -> None:
    """Share the processor with the other workers; end at once with Ctrl-C, or with the parent."""
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // count))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: "multiprocessing.process.BaseProcess") -> None:
    parent.join()
    os._exit(1)
