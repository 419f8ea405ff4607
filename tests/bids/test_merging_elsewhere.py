"""Merges of a data set by worker processes and on clusters: the same files, whole or not at all."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from tests.phantoms import stack
from tests.slurm import put_on_path

from arssr.bids.derivatives import Derivatives
from arssr.bids.groups import grouped
from arssr.bids.participants import super_resolve
from arssr.files import sha256
from arssr.formats.bids import read_json
from arssr.jobs.batch import ModelRef, Place
from arssr.jobs.cluster import Dask, Slurm
from arssr.jobs.local import Local
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target

from .test_merging import in_another_contrast, larger

pytestmark = pytest.mark.slow


@pytest.fixture
def scans(root: Path) -> list[Path]:
    """Two of subjects 01 to 04, those of the third in two contrasts, and one of subject 05."""
    paths = []
    for subject in range(1, 6):
        for run, axis in ((1, 2), (2, 0))[: 1 if subject == 5 else 2]:
            name = f"sub-0{subject}_run-{run}_T2w.nii.gz"
            scan = stack(axis, seed=subject)
            paths.append(scan.write(root / f"sub-0{subject}" / "anat" / name))
    larger(paths[4])
    in_another_contrast(larger(paths[5]))
    return paths


def made(out: Derivatives) -> dict[str, str]:
    """What lies below the folders of subjects, hidden files too: images with their sums, and of
    what sidecars say that it was made.
    """
    files = [path for path in out.root.rglob("*") if path.is_file() and path.parent.name == "anat"]
    return {
        path.name: str(read_json(path).get("Sources")) if path.suffix == ".json" else sha256(path)
        for path in files
    }


def outcome(
    out: Derivatives, network: ModelRef, place: Place, after_first: object = lambda: None
) -> dict[str, str]:
    """Subject → made, left or the reason why it failed."""
    told: dict[str, str] = {}
    scans = grouped(out.source.scans({"T2w"}))
    given = (out, scans, Request(Target()), network, place)
    for each in super_resolve(*given, report=False):
        told[each.scan.subject] = each.error or ("made" if each.facts else "left")
        if len(told) == 1:
            after_first()  # type: ignore[operator]
    return told


def test_a_dask_cluster_merges_to_the_same_bytes_though_a_worker_dies(
    derivatives: Derivatives, network: ModelRef, scans: list[Path], tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    there = Derivatives(tmp_path / "there", derivatives.source)
    expected = outcome(derivatives, network, Local())
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=":0"
    ) as cluster:

        def kill() -> None:
            """The worker, and wait until that in its place has done all others: before them it
            would do again what the first had done.
            """
            os.kill(cluster.workers[0].process.pid, signal.SIGKILL)
            ends = time.monotonic() + 120
            while len(list(there.root.rglob("sub-*.nii.gz"))) < 4 and time.monotonic() < ends:
                time.sleep(0.2)

        place = Dask(cluster.scheduler_address)
        assert outcome(there, network, place, kill) == expected
        assert made(there) == made(derivatives)
        told = outcome(there, network, place)
    assert [told[subject] for subject in ("01", "02", "04", "05")] == ["left"] * 4
    assert str(scans[5]) in told["03"] and "another contrast" in told["03"]
    assert "the first scan is sub-03_run-1_T2w.nii.gz, --bids-filter-file" in told["03"]
    assert not any(name.startswith((".", "sub-03")) for name in made(there))
    assert len(made(there)) == 8


def test_slurm_jobs_merge_to_the_same_bytes(
    derivatives: Derivatives,
    network: ModelRef,
    scans: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("dask_jobqueue")
    put_on_path(tmp_path, monkeypatch)
    for path in scans[2:4] + scans[6:8]:
        path.unlink()
    there = Derivatives(tmp_path / "there", derivatives.source)
    expected = outcome(derivatives, network, Local())
    place = Slurm(1, {"cores": 1, "memory": "2GB", "python": sys.executable})
    assert outcome(there, network, place) == expected
    assert made(there) == made(derivatives) and len(made(there)) == 4
