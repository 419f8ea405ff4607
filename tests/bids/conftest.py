"""A BIDS data set of small phantoms."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.phantoms import smooth, volume

from arssr.bids.dataset import Dataset
from arssr.bids.derivatives import Derivatives

AddScan = Callable[..., Path]


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
