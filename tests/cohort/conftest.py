"""A BIDS data set of small phantoms, and weights to work on them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.phantoms import smooth, tiny_network, volume

from arssr.cohort.dataset import Dataset
from arssr.cohort.derivatives import Derivatives
from arssr.files import sha256
from arssr.jobs.batch import Network
from arssr.jobs.job import Job
from arssr.upsampling.target import Target
from arssr.weights.files import save_weights

AddScan = Callable[..., Path]


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """Tiny random weights."""
    path = tmp_path / "weights" / "tiny.safetensors"
    save_weights(path, tiny_network(), {})
    return Network.find(path, "cpu", "float32")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set without scans."""
    folder = tmp_path / "raw data"
    folder.mkdir()
    description = {"Name": "phantoms", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    return folder


@pytest.fixture
def add(root: Path) -> AddScan:
    """Adds a scan to the data set, `add("sub-01/anat/sub-01_T1w.nii.gz")`; returns its path."""

    def add(name: str, seed: int = 0) -> Path:
        return volume(smooth((6, 5, 4), seed=seed, sigma=1)).write(root / name)

    return add


@pytest.fixture
def derivatives(root: Path, tmp_path: Path) -> Derivatives:
    """The folder of results; empty."""
    return Derivatives(tmp_path / "out", Dataset(root))


@pytest.fixture
def jobs(tmp_path: Path) -> Callable[[str], list[Job]]:
    """Six jobs that write to a folder."""
    scans = [
        volume(smooth((9, 8, 7), seed=seed)).write(tmp_path / "scans" / f"{seed}.nii.gz")
        for seed in range(6)
    ]

    def jobs(folder: str) -> list[Job]:
        return [Job(scan, tmp_path / folder / scan.name, Target(scale=2.0)) for scan in scans]

    return jobs


def hashes(jobs: list[Job]) -> list[str]:
    """Those of the images that were written."""
    return [sha256(job.destination) for job in jobs]
