"""Worker processes on this machine: how they begin and end, and what follows when one is killed."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from arssr.errors import ArSSRError
from arssr.temporary import discard_unfinished

Task = TypeVar("Task")
Answer = TypeVar("Answer")


def in_workers(
    work: Callable[[Task], Answer], waiting: deque[Task], processes: int
) -> Iterator[tuple[Task, Answer | BaseException]]:
    """What `work` returns or raises for each task, as it is known.

    waiting: tasks are taken from its left as workers have time; it may be changed meanwhile.

    When a worker is killed, the tasks that were under way are tried once more, each alone: with
    all the memory to itself, and so that it is known which one was to blame. That one's answer is
    an ArSSRError.
    """
    suspects = deque[Task]()
    while waiting or suspects:
        alone = not waiting
        source = suspects if alone else waiting
        for task, answer in _in_one_pool(work, source, 1 if alone else processes):
            if not isinstance(answer, BrokenProcessPool):
                yield task, answer
            elif alone:
                yield task, ArSSRError("its worker process was killed twice (memory?)")
            else:
                suspects.append(task)


def _in_one_pool(
    work: Callable[[Task], Answer], waiting: deque[Task], processes: int
) -> Iterator[tuple[Task, Answer | BaseException]]:
    """Take tasks from the left of `waiting` until there are none or a worker dies."""
    with worker_pool(min(processes, len(waiting))) as pool:
        running: dict[Future[Answer], Task] = {}
        broken = False
        while running or (waiting and not broken):
            while waiting and not broken and len(running) < processes:
                task = waiting[0]
                try:
                    running[pool.submit(work, task)] = task
                    waiting.popleft()
                except BrokenProcessPool:
                    broken = True
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                error = future.exception()
                broken = broken or isinstance(error, BrokenProcessPool)
                yield running.pop(future), error or future.result()


@contextmanager
def worker_pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """So many fresh processes that share the processor.

    They end at once, and leave nothing half-written, with Ctrl-C, when they are terminated, with
    their parent, and when it leaves the pool by an exception.
    """
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(count, context, begin_worker, (count,)) as pool:
        try:
            yield pool
        except BaseException:
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise


def begin_worker(count: int) -> None:
    """In a new process: share the processor with the other workers; know when to end."""
    import torch

    threads = max(1, torch.get_num_threads() // count)
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # by which the compressor goes
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
