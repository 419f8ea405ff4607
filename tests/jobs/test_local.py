"""Worker processes beside this one: the same files, also when one of them dies."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from arssr.jobs.batch import ModelRef, run_jobs
from arssr.jobs.job import Job
from arssr.jobs.local import Local
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target

from .conftest import hashes


class Deadly(float):
    """A number that ends the process which unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


@pytest.mark.slow
def test_a_scan_that_kills_its_worker_fails_alone(
    jobs: Callable[[str], list[Job]], network: ModelRef
) -> None:
    expected, given = jobs("here"), jobs("beside")
    assert not any(outcome.error for outcome in run_jobs(expected, network, Local()))
    given[2] = replace(given[2], request=Request(Target(scale=Deadly(2))))
    outcomes = {o.job.source.name: o for o in run_jobs(given, network, Local(2))}
    assert len(outcomes) == 6
    failed = outcomes.pop("2.nii.gz")
    assert "its worker process was killed twice" in failed.error
    assert not failed.job.destination.exists()
    assert not [outcome.error for outcome in outcomes.values() if outcome.error]
    del expected[2], given[2]
    assert hashes(given) == hashes(expected)


def test_nothing_to_do_starts_no_worker(network: ModelRef) -> None:
    assert list(run_jobs([], network, Local(2))) == []
