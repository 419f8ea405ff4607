"""Clusters: a dask cluster of two processes whose worker is killed, and Slurm with a stand-in."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.slurm import put_on_path

from arssr.errors import ArSSRError
from arssr.jobs.batch import ModelRef, run_jobs
from arssr.jobs.cluster import Dask, Slurm, _answer
from arssr.jobs.job import Job
from arssr.jobs.local import Local
from arssr.jobs.merging import MergeJob

from .conftest import hashes

Jobs = Callable[[str], list[Job]]


@pytest.mark.slow
def test_a_killed_worker_changes_nothing_in_the_files(jobs: Jobs, network: ModelRef) -> None:
    distributed = pytest.importorskip("distributed")
    expected, given = jobs("here"), jobs("there")
    assert not any(outcome.error for outcome in run_jobs(expected, network, Local()))
    bad = replace(given[0], source=given[0].source.with_name("none.nii.gz"))
    bad = replace(bad, destination=bad.destination.with_name("none.nii.gz"))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0"
    ) as cluster:
        outcomes = []
        for outcome in run_jobs([bad, *given], network, Dask(cluster.scheduler_address)):
            outcomes.append(outcome)
            if len(outcomes) == 2:
                os.kill(cluster.workers[0].process.pid, signal.SIGKILL)
    assert [outcome.job for outcome in outcomes if outcome.error] == [bad]
    assert len(outcomes) == 7
    assert hashes(given) == hashes(expected)
    assert {p.name for p in given[0].destination.parent.iterdir()} == {
        f"{n}{suffix}" for n in range(6) for suffix in (".nii.gz", ".json")
    }


@pytest.mark.slow
def test_slurm_jobs_are_workers(
    jobs: Jobs, network: ModelRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dask_jobqueue")
    put_on_path(tmp_path, monkeypatch)
    expected, given = jobs("here")[:2], jobs("there")[:2]
    assert not any(outcome.error for outcome in run_jobs(expected, network, Local()))
    place = Slurm(1, {"cores": 1, "memory": "2GB", "python": sys.executable})
    assert [outcome.error for outcome in run_jobs(given, network, place)] == ["", ""]
    assert hashes(given) == hashes(expected)
    assert "worker" in (tmp_path / "worker.log").read_text().lower()


def test_what_is_the_clusters_fault_is_told_of_the_scan_or_of_what_becomes_of_several(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, network: ModelRef
) -> None:
    distributed = pytest.importorskip("distributed")
    job = jobs("there")[0]
    merged = MergeJob((job.source, job.destination), (Path("m.nii"),), job.request, otherwise="no")
    died = distributed.KilledWorker("a task", None, 3)
    futures = [
        SimpleNamespace(status="error", exception=lambda: died),
        SimpleNamespace(status="cancelled"),
    ]
    answers = [(number, _answer(future)) for number, future in enumerate(futures)]
    monkeypatch.setattr(Local, "compute", lambda *_: iter(answers))
    told = [outcome.error for outcome in run_jobs([job, merged], network, Local())]
    assert told == [
        f"{job.source}: its worker died again and again (memory?)",
        "m.nii: the connection to the cluster was lost",
    ]


def test_options_of_slurm_reach_the_job_script() -> None:
    pytest.importorskip("dask_jobqueue")
    options: dict[str, object] = {
        "cores": 3,
        "memory": "5GB",
        "queue": "night",
        "walltime": "02:00:00",
    }
    options |= {"worker_extra_args": ["--resources", "gpu=1"]}
    options |= {"scheduler_options": {"dashboard_address": ":0"}}
    with Slurm(1, options).cluster() as cluster:
        script = cluster.job_script()
    for line in ("#SBATCH -p night", "#SBATCH --cpus-per-task=3", "#SBATCH -t 02:00:00"):
        assert line in script
    assert "export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK\n" in script
    assert script.rstrip().endswith("--resources gpu=1 --nthreads 1")


@pytest.mark.parametrize("options", [{}, {"cores": 1, "memory": "1GB", "colour": "blue"}])
def test_options_that_slurm_will_not_have_are_one_sentence(options: dict[str, object]) -> None:
    pytest.importorskip("dask_jobqueue")
    with pytest.raises(ArSSRError, match=r"^the Slurm options will not do: .+$"):
        Slurm(1, options).cluster()


def test_a_scheduler_that_does_not_answer_is_named(
    jobs: Jobs, network: ModelRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("arssr.jobs.cluster._PATIENCE", "0.5s")
    with pytest.raises(ArSSRError, match="no dask scheduler answers at tcp://127"):
        list(run_jobs(jobs("there")[:1], network, Dask("tcp://127.0.0.1:9")))


@pytest.mark.parametrize("place", [lambda: Dask("tcp://127.0.0.1:9"), lambda: Slurm(1)])
def test_without_dask_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, place: Callable[[], object]
) -> None:
    for module in ("distributed", "dask_jobqueue"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ArSSRError, match=r"pip install 'arssr\[cluster\]'"):
        place()
