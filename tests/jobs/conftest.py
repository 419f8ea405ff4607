"""Jobs on small phantoms."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.phantoms import smooth, volume

from arssr.files import sha256
from arssr.jobs.job import Job
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target


@pytest.fixture
def jobs(tmp_path: Path) -> Callable[[str], list[Job]]:
    """Six jobs that write to a folder."""
    scans = [
        volume(smooth((9, 8, 7), seed=seed)).write(tmp_path / "scans" / f"{seed}.nii.gz")
        for seed in range(6)
    ]

    def jobs(folder: str) -> list[Job]:
        return [
            Job(scan, tmp_path / folder / scan.name, Request(Target(scale=2.0))) for scan in scans
        ]

    return jobs


def hashes(jobs: list[Job]) -> list[str]:
    """Those of the images that were written."""
    return [sha256(job.destination) for job in jobs]
