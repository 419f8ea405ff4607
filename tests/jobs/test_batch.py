"""Jobs as they are handed out and come back, without any worker."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.phantoms import tiny_network

from arssr.errors import ArSSRError
from arssr.field import ReportProgress
from arssr.jobs.batch import Facts, ModelRef, run_jobs
from arssr.jobs.job import Job
from arssr.jobs.local import Local
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target
from arssr.weights.files import save_weights

Jobs = Callable[[str], list[Job]]


class Backwards:
    """A place that remembers what it was given, and raises for every other job, last job first."""

    def __init__(self) -> None:
        self.given: list[Job] = []

    def compute(
        self, network: ModelRef, jobs: Sequence[Job], progress: ReportProgress
    ) -> Iterator[tuple[int, Facts | BaseException]]:
        self.given = list(jobs)
        for number in reversed(range(len(jobs))):
            yield number, MemoryError() if number % 2 else {"number": number}


def test_outcomes_are_told_in_the_order_in_which_they_are_known(
    jobs: Jobs, network: ModelRef
) -> None:
    some = jobs("out")[:3]
    outcomes = list(run_jobs(some, network, Backwards()))
    assert [outcome.job for outcome in outcomes] == some[::-1]
    assert [outcome.error for outcome in outcomes] == ["", f"{some[1].source}: out of memory", ""]
    assert outcomes[0].facts == {
        "number": 2,
        "scan": str(some[2].source),
        "result": str(some[2].destination),
    }


class Refusing:
    """A place that refuses every job, naming all of its paths as a worker knows them."""

    def compute(
        self, network: ModelRef | None, jobs: Sequence[Job], progress: ReportProgress
    ) -> Iterator[tuple[int, Facts | BaseException]]:
        for number, job in enumerate(jobs):
            paths = job.source, job.destination, job.request.target.like, *job.request.transforms
            yield number, ArSSRError(", ".join(map(str, paths)))


def test_a_refusal_by_a_worker_names_paths_as_they_were_given(
    jobs: Jobs, network: ModelRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    jobs("out")
    paths = ("scans/0.nii.gz", "out/0.nii.gz", "scans/1.nii.gz", "to.h5")
    source, destination, like, transform = map(Path, paths)
    request = Request(Target(like=like), transforms=(transform,))
    [outcome] = run_jobs([Job(source, destination, request)], network, Refusing())
    assert outcome.error == ", ".join(paths)


def test_workers_get_absolute_paths_and_the_caller_its_own(
    jobs: Jobs, network: ModelRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = Job(
        Path("scans/0.nii.gz"), Path("out/0.nii.gz"), Request(Target(like=Path("scans/1.nii.gz")))
    )
    jobs("out")
    place = Backwards()
    [outcome] = run_jobs([job], network, place)
    [given] = place.given
    assert given.source == tmp_path / "scans" / "0.nii.gz"
    assert given.destination == tmp_path / "out" / "0.nii.gz"
    assert given.request.target == Target(like=tmp_path / "scans" / "1.nii.gz")
    assert outcome.job is job and outcome.facts is not None
    assert outcome.facts["result"] == str(job.destination)


def test_what_exists_is_refused_before_it_is_handed_out(jobs: Jobs, network: ModelRef) -> None:
    some = jobs("out")[:2]
    some[0].destination.parent.mkdir()
    some[0].destination.write_bytes(b"precious")
    place = Backwards()
    outcomes = list(run_jobs(some, network, place))
    assert "exists already" in outcomes[0].error and outcomes[1].facts
    assert len(place.given) == 1 and some[0].destination.read_bytes() == b"precious"
    [again] = run_jobs([replace(some[0], overwrite=True)], network, place)
    assert not again.error


def test_other_weights_of_the_same_name_are_refused(network: ModelRef) -> None:
    save_weights(Path(network.weights), tiny_network(seed=1), {})
    with pytest.raises(ArSSRError, match="other weights"):
        network.load()


def test_one_bad_scan_does_not_stop_the_others(jobs: Jobs, network: ModelRef) -> None:
    some = jobs("out")[:3]
    some[1].source.write_bytes(b"no image")
    told: list[str] = []
    outcomes = list(run_jobs(some, network, Local(), lambda what, share: told.append(what)))
    assert [bool(outcome.error) for outcome in outcomes] == [False, True, False]
    assert "cannot be read" in outcomes[1].error
    assert not some[1].destination.exists() and some[2].destination.exists()
    assert "writing" in told
