"""Where a run's batches come from: a thread of its own, or processes on the cores that are left.

The samples are the same, whoever draws them. A worker process holds the images that it has needed
so far, in memory that all processes share, and is told by a few numbers which batch is next. It
leaves what it has drawn in shared memory as well. Only the training process reads files, and only
it turns a rotation.

Workers are forked from a server that has imported what they need and computed nothing (forking
the training process itself would copy torch's threads and CUDA's state, which do not survive it).
They end when the other side of their pipe does, however it ends.
"""

import math
import multiprocessing
import os
import signal
import traceback
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext

import numpy as np
import torch
from torch import Tensor

from arssr.errors import ArSSRError
from arssr.networks import ACQUISITIONS
from arssr.training.config import SamplingConfig
from arssr.training.data import Item
from arssr.training.images import Images
from arssr.training.sampler import Batch, batch, share
from arssr.training.shared import ALIGNED, Shelf

MOST_WORKERS = 16  # ten draw 24³ patches as fast as an H100 learns from them (docs/training.md)
AHEAD = 2  # batches of a worker under way: one is drawn while the other waits to be used


@dataclass(frozen=True)
class Share:
    """What one training process draws of a run."""

    sampling: SamplingConfig
    seed: int
    rank: int = 0
    ranks: int = 1
    known: tuple[str, ...] = ACQUISITIONS  # that the network can be told of

    def batch(self, images: Images, step: int) -> Batch:
        """Its share of batch number `step`."""
        return batch(images, self.sampling, self.seed, step, self.rank, self.ranks, self.known)

    @property
    def samples(self) -> slice:
        """Those of a batch that are its own."""
        return slice(self.rank, None, self.ranks)

    def places(self) -> tuple[dict[str, tuple[int, tuple[int, ...]]], int]:
        """First number and shape of each part of such a batch in a row, and the row's length."""
        count = len(range(self.sampling.batch)[self.samples])
        places, end, apart = {}, 0, ALIGNED // 4
        for name, shape in Batch.shapes(self.sampling, count, self.known).items():
            places[name] = end, shape
            end += -(-math.prod(shape) // apart) * apart
        return places, end

    def view(self, row: Tensor) -> Batch:
        """The batch that lies in a row."""
        places, _ = self.places()
        parts = {n: row[at : at + math.prod(s)].view(s) for n, (at, s) in places.items()}
        return Batch(**parts)


@dataclass(frozen=True)
class _Task:
    """What a worker is told: which batch, of which images, and where to leave it."""

    step: int
    images: list[int]
    row: int
    new: dict[int, Item]  # images that it does not have yet
    gone: set[int]  # and those that it can forget


def default_workers(device: torch.device, devices: int) -> int:
    """As many as there are cores left beside `devices` training processes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    own = torch.get_num_threads() if device.type == "cpu" else 2  # a GPU's: forward and backward
    return max(0, min(MOST_WORKERS, (cores or 1) // devices - own))


def prepare_workers() -> None:
    """Let the server of workers import what they need, in the background."""
    if _context().get_start_method() == "forkserver":
        from multiprocessing.forkserver import ensure_running

        ensure_running()


def batches(
    images: Images, own: Share, steps: range, device: torch.device, workers: int
) -> Generator[Batch, None, None]:
    """The batches of these steps, in order, on the device. Closing it ends its workers.

    With workers, images must be shared (`shared.SharedItem`).
    Raises ArSSRError where a worker has been killed.
    """
    if workers:
        return _from_workers(images, own, steps, device, workers)
    return _from_a_thread(images, own, steps)


def _from_a_thread(images: Images, own: Share, steps: range) -> Generator[Batch, None, None]:
    """Each drawn while the one before is trained on, on the device that holds the images."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        ahead = [pool.submit(own.batch, images, step) for step in steps[:1]]
        for step in steps:
            data = ahead.pop().result()
            if step + 1 in steps:
                ahead.append(pool.submit(own.batch, images, step + 1))
            yield data


def _from_workers(
    images: Images, own: Share, steps: range, device: torch.device, workers: int
) -> Generator[Batch, None, None]:
    context, crew = _context(), list[_Worker]()
    try:
        for _ in range(min(workers, len(steps))):
            crew.append(_Worker(context, images, own))
        todo = iter(steps)
        under_way: deque[_Worker] = deque()
        for worker, step in zip(crew * AHEAD, todo, strict=False):
            worker.begin(step)
            under_way.append(worker)
        while under_way:
            worker = under_way.popleft()
            row = worker.result()
            cuda = device.type == "cuda"
            row = row.pin_memory().to(device, non_blocking=True) if cuda else row.clone()
            for step in islice(todo, 1):
                worker.begin(step)
                under_way.append(worker)
            yield own.view(row)
    finally:
        for worker in crew:
            worker.end()


class _Worker:
    """The training process's side of one worker."""

    def __init__(self, context: BaseContext, images: Images, own: Share) -> None:
        self._images, self._own = images, own
        self._known: set[int] = set()
        _, length = own.places()
        self._shelf = Shelf(AHEAD * length * 4)
        self._rows = _rows(self._shelf, length)
        self._free = deque(range(AHEAD))
        self._used: deque[int] = deque()
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(  # type: ignore[attr-defined]
            target=_work, args=(theirs, self._shelf, own), daemon=True
        )
        self._process.start()
        theirs.close()

    def begin(self, step: int) -> None:
        """Let it draw a batch."""
        items = self._images.for_step(step)[self._own.samples]
        numbers = self._images.order.images(step)[self._own.samples]
        new = {n: item for n, item in zip(numbers, items, strict=True) if n not in self._known}
        gone = self._known - set(self._images.order.needed(step)) if new else set()
        self._known = (self._known | set(new)) - gone
        self._used.append(self._free.popleft())
        try:
            self._pipe.send(_Task(step, numbers, self._used[-1], new, gone))
        except OSError:
            raise self._killed() from None

    def result(self) -> Tensor:
        """The row of the batch that it began first, until the next one begins."""
        try:
            trouble = self._pipe.recv()
        except (EOFError, OSError):
            raise self._killed() from None
        if trouble:
            raise RuntimeError(f"in a worker process:\n{trouble}")
        self._free.append(self._used.popleft())
        return self._rows[self._free[-1]]

    def end(self) -> None:
        """At once."""
        self._pipe.close()
        self._process.kill()
        self._process.join()

    def _killed(self) -> ArSSRError:
        return ArSSRError(
            "a worker process that draws the batches was killed (for want of memory?); "
            "--resume goes on from the last checkpoint, with fewer --workers if need be"
        )


def _work(pipe: Connection, shelf: Shelf, own: Share) -> None:
    """What a worker does until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training process decides
    torch.set_num_threads(1)
    _, length = own.places()
    rows = _rows(shelf, length)
    known: dict[int, Item] = {}
    try:
        while True:
            task: _Task = pipe.recv()
            known |= task.new
            for number in task.gone:
                del known[number]
            try:
                items = [known[number] for number in task.images]
                drawn = share(
                    items, own.sampling, own.seed, task.step, own.rank, own.ranks, own.known
                )
                into = own.view(rows[task.row])
                for part in fields(Batch):
                    getattr(into, part.name).copy_(getattr(drawn, part.name))
            except Exception:
                pipe.send(traceback.format_exc())
            else:
                pipe.send(None)
    except (EOFError, OSError):
        pass


def _rows(shelf: Shelf, length: int) -> Tensor:
    return torch.from_numpy(shelf.array(np.float32, (AHEAD, length)))


def _context() -> BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context
