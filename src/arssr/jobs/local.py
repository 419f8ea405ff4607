"""Jobs on this machine: in this process, or in several beside it."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial

from arssr.errors import ArSSRError
from arssr.field import ReportProgress
from arssr.jobs.batch import Facts, ModelRef, do, start
from arssr.jobs.job import Job
from arssr.jobs.pipeline import run_each
from arssr.workers import worker_pool

Numbered = tuple[int, Facts | BaseException]


@dataclass(frozen=True)
class Local:
    """processes: 1 computes in this process, and reads and writes meanwhile; more share the
    processor, each with a scan in memory.

    When a worker dies, the scans that were under way are tried once more, each alone: with all
    the memory to itself, and so that it is known which one was to blame.
    """

    processes: int = 1

    def compute(
        self, network: ModelRef | None, jobs: Sequence[Job], progress: ReportProgress
    ) -> Iterator[Numbered]:
        """See `arssr.jobs.batch.Place`."""
        if self.processes == 1:
            begin = partial(start, network, progress=progress)
            for number, (_, outcome) in enumerate(run_each(begin, jobs)):
                yield number, outcome
            return
        waiting, suspects = deque(enumerate(jobs)), deque[tuple[int, Job]]()
        while waiting or suspects:
            alone = not waiting
            source = suspects if alone else waiting
            for number, result in _in_pool(network, source, 1 if alone else self.processes):
                if not isinstance(result, BrokenProcessPool):
                    yield number, result
                elif alone:
                    killed = f"{jobs[number].source}: its worker process was killed twice (memory?)"
                    yield number, ArSSRError(killed)
                else:
                    suspects.append((number, jobs[number]))


def _in_pool(
    network: ModelRef | None, waiting: deque[tuple[int, Job]], processes: int
) -> Iterator[Numbered]:
    """Take jobs from the left of `waiting` until there are none or a worker dies."""
    with worker_pool(min(processes, len(waiting))) as pool:
        running: dict[Future[Facts], int] = {}
        broken = False
        while running or (waiting and not broken):
            while waiting and not broken and len(running) < processes:
                number, job = waiting[0]
                try:
                    running[pool.submit(do, network, job)] = number
                    waiting.popleft()
                except BrokenProcessPool:
                    broken = True
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                error = future.exception()
                broken = broken or isinstance(error, BrokenProcessPool)
                yield running.pop(future), error or future.result()
