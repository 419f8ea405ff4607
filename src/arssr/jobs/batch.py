"""Many jobs, one model: each is done wherever there is room, and told of as it finishes.

Where the work is done changes nothing in the files: the same code does every job, and a worker
that dies half-way leaves a job undone, not half-done.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Generic, Protocol

from arssr.api import Model, load_model
from arssr.errors import ArSSRError
from arssr.field import ReportProgress, silent
from arssr.files import sidecar
from arssr.jobs.merging import AnyJob, MergeJob, SomeJob, run_merge
from arssr.jobs.running import Finish, Prepared, begin
from arssr.temporary import sweep, sweep_left
from arssr.transforms.transform import Transform
from arssr.upsampling.facts import Facts
from arssr.upsampling.target import NoTargetError, Target
from arssr.weights.registry import load, shipped

__all__ = ["ModelRef", "Outcome", "Place", "do", "model_of", "run_jobs", "start"]


@dataclass(frozen=True)
class Outcome(Generic[SomeJob]):
    """What became of a job: what `arssr.jobs.running.run` or `arssr.jobs.merging.run_merge` says of
    the result, or why there is none.

    needs_target: the scan is isotropic, and no target was named.
    """

    job: SomeJob
    facts: Facts | None = None
    error: str = ""
    needs_target: bool = False


@dataclass(frozen=True)
class ModelRef:
    """Which model a worker loads: a name or an absolute path, the hash it must have, and how."""

    weights: str
    sha256: str
    device: str = "auto"
    precision: str = "auto"

    @classmethod
    def find(cls, weights: str | Path, device: str = "auto", precision: str = "auto") -> "ModelRef":
        """The weights that go by this name or path here. Raises ArSSRError if there are none."""
        name = str(weights)
        absolute = name if name.lower() in shipped() else str(Path(weights).absolute())
        return cls(absolute, load(weights).sha256, device, precision)

    def load(self) -> Model:
        """The model. Raises ArSSRError where this machine has other weights by that name."""
        model = load_model(self.weights, self.device, self.precision)
        if model.weights.sha256 != self.sha256:
            raise ArSSRError(f"{self.weights} are other weights on the worker than on this machine")
        return model


class Place(Protocol):
    """Somewhere to do jobs: this process, processes beside it, a cluster."""

    def compute(
        self, network: ModelRef | None, jobs: Sequence[AnyJob], progress: ReportProgress
    ) -> Iterator[tuple[int, Facts | BaseException]]:
        """The number of each job and what doing it returned or raised, as it is known."""
        ...


def run_jobs(
    jobs: Iterable[SomeJob],
    network: ModelRef | None,
    where: Place,
    progress: ReportProgress = silent,
) -> Iterator[Outcome[SomeJob]]:
    """Do every job; an outcome for each, in the order in which they finish.

    What cannot be written is known at once. One job's failure is its own: the others go on. What
    killed runs left where results go is swept up.
    network: None will do for labels. progress: told about the job under way, where this process
    itself does it.
    """
    todo = []
    for job in jobs:
        try:
            job.check()
        except ArSSRError as error:
            yield Outcome(job, error=job.in_words(error))
        else:
            todo.append(job)
    sweep_left(job.destination.parent for job in todo)
    for number, result in where.compute(network, [_portable(job) for job in todo], progress):
        job = todo[number]
        if isinstance(result, BaseException):
            needs_target = isinstance(result, NoTargetError)
            said = _as_named(job, job.in_words(result))
            yield Outcome(job, error=said, needs_target=needs_target)
        else:
            for path in (*job.images, sidecar(job.destination), job.page):
                sweep(path)
            facts: Facts = {**result, "scan": str(job.source), "result": str(job.destination)}
            yield Outcome(job, facts)


def do(network: ModelRef | None, job: AnyJob) -> Facts:
    """One job by this process, which keeps the model for the next."""
    return start(network, job)()


def prepare(network: ModelRef | None, job: AnyJob) -> Prepared | None:
    """One job by this process as far as it can be done before its turn: of merging nothing."""
    return None if isinstance(job, MergeJob) else Prepared(_model(network), job)


def start(
    network: ModelRef | None,
    job: AnyJob,
    prepared: Future[Prepared | None] | None = None,
    progress: ReportProgress = silent,
) -> Finish:
    """One job by this process as far as it is computed; see `arssr.jobs.running.begin`.

    A merge is written by then, too.
    """
    model = _model(network)
    if isinstance(job, MergeJob):
        if model is None:
            raise ArSSRError("merging needs a network")
        [facts] = run_merge(model, job, progress)
        return lambda: facts
    return begin(model, job, progress, prepared)


_loaded: dict[ModelRef, Model] = {}
_loading = Lock()  # a dask worker may have several threads


def _model(network: ModelRef | None) -> Model | None:
    return None if network is None else model_of(network)


def model_of(network: ModelRef) -> Model:
    """The model, which this process keeps for the next time."""
    with _loading:
        if network not in _loaded:
            _loaded.clear()
            _loaded[network] = network.load()
        return _loaded[network]


def _as_named(job: AnyJob, sentence: str) -> str:
    """What a worker says of the portable job, with the paths that it was asked for by."""
    request = job.request
    given = [*job.sources, job.destination]
    if isinstance(request.target.like, Path):
        given.append(request.target.like)
    if not isinstance(request.transforms, Transform):
        given.extend(request.transforms)
    for path in given:
        sentence = sentence.replace(str(path.absolute()), str(path))
    return sentence


def _portable(job: AnyJob) -> AnyJob:
    """The job for a process with another working folder, which may be the second to try it: what
    a killed worker had written is replaced.
    """
    request = job.request
    if isinstance(like := request.target.like, Path):
        request = replace(request, target=Target(like=like.absolute()))
    if not isinstance(request.transforms, Transform):
        files = tuple(path.absolute() for path in request.transforms)
        request = replace(request, transforms=files)
    asked = replace(job, request=request, overwrite=True)
    if isinstance(asked, MergeJob):
        sources, results = (
            tuple(path.absolute() for path in paths)
            for paths in (asked.sources, asked.destinations)
        )
        return replace(asked, sources=sources, destinations=results)
    source, result = asked.source.absolute(), asked.destination.absolute()
    return replace(asked, source=source, destination=result)
