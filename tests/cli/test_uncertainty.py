"""`--uncertainty` as a person calls it."""

import json
from pathlib import Path

import pytest
from tests.phantoms import smooth, volume
from tests.telling import telling_weights

from .conftest import Arssr


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Intensities that no label map has."""
    return volume(400 + 900 * smooth((8, 7, 6), sigma=1)).write(tmp_path / "T1.nii.gz")


def test_two_files_one_sidecar_and_a_line(arssr: Arssr, scan: Path, tmp_path: Path) -> None:
    weights, out = telling_weights(tmp_path), tmp_path / "out"
    words = ("upsample", scan, "-o", f"{out}/", "--scale", 2, "-m", weights, "--uncertainty")
    dry = arssr(*words, "--dry-run", "--json")
    assert dry.code == 0 and not out.exists()
    assert json.loads(dry.out)[0]["disk_bytes"] == 2 * 4 * 16 * 14 * 12
    done = arssr(*words)
    assert done.code == 0, done.err
    names = {path.name for path in out.iterdir()}
    assert names == {"T1_SR.nii.gz", "T1_SR_uncertainty.nii.gz", "T1_SR.json"}
    assert "with a probability of 90 % the truth lies within ±H" in " ".join(done.err.split())
    again = arssr(*words)
    assert again.code == 1 and "exists already" in again.err
    assert "1 of 1 done, 0 failed" not in arssr(*words, "--skip-existing").err


def test_weights_that_cannot_tell_it_say_so_and_nothing_is_written(
    arssr: Arssr, scan: Path, tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "sr.nii"
    done = arssr("upsample", scan, "-o", out, "--scale", 2, "-m", tiny, "--uncertainty")
    assert done.code == 1
    assert "was not taught to tell its uncertainty; leave --uncertainty out" in done.err
    assert not list(out.parent.glob("*")) if out.parent.exists() else True
    labels = arssr("upsample", scan, "-o", out, "--scale", 2, "--labels", "--uncertainty")
    assert labels.code == 2 and "labels need no network" in labels.err
