"""Jobs on this machine: in this process, or in several beside it."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from arssr.field import ReportProgress
from arssr.jobs.batch import ModelRef, do, prepare, start
from arssr.jobs.merging import AnyJob
from arssr.jobs.pipeline import run_each
from arssr.upsampling.facts import Facts
from arssr.workers import in_workers

Numbered = tuple[int, Facts | BaseException]


@dataclass(frozen=True)
class Local:
    """processes: 1 computes in this process, and reads and writes meanwhile; more share the
    processor, each with a scan in memory.

    When a worker dies, the scans that were under way are tried once more, each alone.
    """

    processes: int = 1

    def compute(
        self, network: ModelRef | None, jobs: Sequence[AnyJob], progress: ReportProgress
    ) -> Iterator[Numbered]:
        """See `arssr.jobs.batch.Place`."""
        if self.processes == 1:
            begin = partial(start, network, progress=progress)
            outcomes = run_each(partial(prepare, network), begin, jobs)
            for number, (_, outcome) in enumerate(outcomes):
                yield number, outcome
            return
        work = partial(_do, network)
        for (number, _), result in in_workers(work, deque(enumerate(jobs)), self.processes):
            yield number, result


def _do(network: ModelRef | None, numbered: tuple[int, AnyJob]) -> Facts:
    return do(network, numbered[1])
