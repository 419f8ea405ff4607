"""Many jobs in a row: one scan is prepared, one computed and one written at a time."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import zip_longest
from typing import TypeVar

from arssr.jobs.merging import MergeJob, SomeJob
from arssr.jobs.running import Finish
from arssr.upsampling.facts import Facts

T = TypeVar("T")


def run_each(
    prepare: Callable[[SomeJob], T],
    start: Callable[[SomeJob, Future[T]], Finish],
    jobs: Sequence[SomeJob],
    tell: Callable[[SomeJob, Facts | Exception], None] = lambda _job, _outcome: None,
) -> Iterator[tuple[SomeJob, Facts | Exception]]:
    """Every job in turn, and what `run` returns for it or raises.

    While one is computed the next is prepared and the one before is written: no more than one
    result is held besides that which is under way.
    prepare, start: what to do before a job's turn, and with what came of that, such as `Prepared`
    and `begin` with a model. tell: hears, in a thread of its own, what became of each as soon as
    that is known; the iterator is one behind, but for merges.
    """

    def end(job: SomeJob, rest: Finish | Exception) -> Facts | Exception:
        outcome = rest if isinstance(rest, Exception) else _caught(rest)
        tell(job, outcome)
        return outcome

    with ThreadPoolExecutor(1, "finish") as thread:
        before: tuple[SomeJob, Future[Facts | Exception]] | None = None
        for job, prepared in doing_ahead(prepare, jobs):
            if job.request.memory and before:
                wait([before[1]])  # its report may take as much again
            ending = thread.submit(end, job, _caught(partial(start, job, prepared)))
            if before:
                yield before[0], before[1].result()
            before = job, ending
            if isinstance(job, MergeJob):  # it is written by now, and the next may take long
                yield job, ending.result()
                before = None
        if before:
            yield before[0], before[1].result()


def _caught(work: Callable[[], T]) -> T | Exception:
    try:
        return work()
    except Exception as error:
        traceback.clear_frames(error.__traceback__)  # which hold the scan, and its features
        return error


def doing_ahead(
    prepare: Callable[[SomeJob], T], jobs: Sequence[SomeJob]
) -> Iterator[tuple[SomeJob, Future[T]]]:
    """Each job and what `prepare` makes of it while the job before it runs.

    The future raises what that raised.
    """
    with ThreadPoolExecutor(1, "prepare") as thread:
        ahead = [thread.submit(prepare, job) for job in jobs[:1]]
        for job, following in zip_longest(jobs, jobs[1:]):
            if following is not None:
                ahead.append(thread.submit(prepare, following))
            yield job, ahead.pop(0)
