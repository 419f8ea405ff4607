"""Jobs on many machines, through dask (the extra `arssr[cluster]`).

The machines share the file system with the scans, the results and the weights. A worker of our
own does one scan at a time, with all its cores; any other as many as it has threads.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from arssr.errors import ArSSRError
from arssr.extras import require
from arssr.field import ReportProgress
from arssr.jobs.batch import ModelRef, do
from arssr.jobs.merging import AnyJob
from arssr.upsampling.facts import Facts

if TYPE_CHECKING:
    from dask_jobqueue.slurm import SLURMCluster
    from distributed import Client, Future

_RETRIES = 2  # of what may be the machine's fault; a dead worker's scan goes to another anyway
_PATIENCE = "10s"  # for a scheduler that does not answer


@dataclass(frozen=True)
class Dask:
    """A dask cluster that is running already; address: that of its scheduler, tcp://host:port.

    Raises ArSSRError where dask is not installed.
    """

    address: str

    def __post_init__(self) -> None:
        require("cluster", "dask", "distributed")

    def compute(
        self, network: ModelRef | None, jobs: Sequence[AnyJob], progress: ReportProgress
    ) -> Iterator[tuple[int, Facts | BaseException]]:
        """See `arssr.jobs.batch.Place`. Raises ArSSRError where no scheduler answers."""
        if jobs:
            with _client(self.address) as client:
                yield from _compute(client, network, jobs)


@dataclass(frozen=True)
class Slurm:
    """Slurm jobs of our own, one worker each, for as long as the work lasts.

    options: of dask_jobqueue.SLURMCluster (queue, account, cores, memory, walltime, …); what is
        not named here comes from dask's own configuration (~/.config/dask/jobqueue.yaml).

    Raises ArSSRError where dask-jobqueue is not installed.
    """

    workers: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require("cluster", "Slurm")

    def cluster(self) -> "SLURMCluster":
        """The cluster, still without workers. Raises ArSSRError where the options do not do."""
        import dask
        from dask_jobqueue.slurm import SLURMCluster

        known = dask.config.get("jobqueue.slurm")
        arguments = self.options.get("worker_extra_args", known["worker-extra-args"])
        prologue = self.options.get("job_script_prologue", known["job-script-prologue"])
        ours = {
            "processes": 1,
            "worker_extra_args": [*arguments, "--nthreads", "1"],  # the last one holds
            "job_script_prologue": [*prologue, *_EXPORTS],
        }
        try:
            return SLURMCluster(**{**self.options, **ours})
        except (ValueError, TypeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ArSSRError(f"the Slurm options will not do: {reason}") from None

    def compute(
        self, network: ModelRef | None, jobs: Sequence[AnyJob], progress: ReportProgress
    ) -> Iterator[tuple[int, Facts | BaseException]]:
        """See `arssr.jobs.batch.Place`."""
        if jobs:
            with self.cluster() as cluster, _client(cluster) as client:
                workers = min(self.workers, len(jobs))
                # Unlike scale, this replaces a worker whose time is up.
                cluster.adapt(minimum_jobs=workers, maximum_jobs=workers)
                yield from _compute(client, network, jobs)


# A dask worker's own settings are one thread for libraries and memory that goes back to the system
# at once; the latter doubles to quadruples the time of a scan. These are glibc's usual limits.
_EXPORTS = (
    "export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK",
    "export MALLOC_MMAP_THRESHOLD_=33554432",
    "export MALLOC_TRIM_THRESHOLD_=67108864",
)


@contextmanager
def _client(cluster: "str | SLURMCluster") -> "Iterator[Client]":
    from distributed import Client

    try:
        client = Client(cluster, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError):
        raise ArSSRError(f"no dask scheduler answers at {cluster}") from None
    with client:
        yield client


def _compute(
    client: "Client", network: ModelRef | None, jobs: Sequence[AnyJob]
) -> Iterator[tuple[int, Facts | BaseException]]:
    from distributed import as_completed

    futures = {
        client.submit(_do, network, job, pure=False, retries=_RETRIES): number
        for number, job in enumerate(jobs)
    }
    for future in as_completed(futures, loop=client.loop):
        number, answer = futures.pop(future), _answer(future)
        # Else it is computed again where its worker dies later, and overwrites what the caller has
        # made of the result meanwhile.
        future.release()
        yield number, answer


def _answer(future: "Future[Facts | ArSSRError]") -> Facts | BaseException:
    from distributed import KilledWorker

    if future.status == "finished":
        return future.result()
    error = future.exception() if future.status == "error" else None
    if error is None:
        return ArSSRError("the connection to the cluster was lost")
    if isinstance(error, KilledWorker):
        return ArSSRError("its worker died again and again (memory?)")
    return error


def _do(network: ModelRef | None, job: AnyJob) -> Facts | ArSSRError:
    """On a worker. What is the user's to mend is returned, for it would not go better a second
    time; anything else is raised, and tried again.
    """
    try:
        return do(network, job)
    except ArSSRError as error:
        return error
