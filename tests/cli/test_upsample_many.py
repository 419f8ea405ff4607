"""`arssr upsample` of many scans elsewhere: the same files, sentences and exit codes as here."""

import json
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tests.formats.series import write_series
from tests.phantoms import smooth, volume

from arssr.files import sha256

from .conftest import Arssr


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three scans, of which the second is none."""
    folder = tmp_path / "my scans"
    for name, seed in (("a.nii.gz", 0), ("c.nii", 1)):
        volume(smooth((6, 5, 4), seed=seed, sigma=1)).write(folder / name)
    (folder / "b.nii").write_text("no image")
    return folder


@pytest.fixture
def dask() -> Iterator[str]:
    """The address of a cluster of one worker, in this process."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp"
    ) as cluster:
        yield cluster.scheduler_address


def made(folder: Path) -> dict[str, str]:
    """The images of a folder and their hashes."""
    return {path.name: sha256(path) for path in folder.glob("*.nii*")}


def test_a_cluster_gives_what_this_process_gives(
    arssr: Arssr, scans: Path, tiny: Path, tmp_path: Path, dask: str
) -> None:
    words = ("upsample", scans, "--scale", 2, "-m", tiny, "--json")
    here = arssr(*words, "-o", tmp_path / "here")
    there = arssr(*words, "-o", tmp_path / "there", "--dask", dask)
    assert here.code == there.code == 1
    assert made(tmp_path / "there") == made(tmp_path / "here")
    a, b, c = json.loads(there.out)
    assert a["result"] == str(tmp_path / "there" / "a_SR.nii.gz") and c["seconds"] > 0
    assert b == json.loads(here.out)[1] and "b.nii: cannot be read" in b["error"]
    assert "2 of 3 done, 1 failed" in there.err and there.err.count("error: ") == 1
    assert "a_SR.nii.gz  12×10×8 voxels of 0.5×0.5×0.5 mm" in there.err
    again = arssr(*words, "-o", tmp_path / "there", "--dask", dask)
    assert again.err.count("exists already") == 2


@pytest.mark.slow
def test_processes_give_what_this_process_gives(
    arssr: Arssr, scans: Path, tiny: Path, tmp_path: Path
) -> None:
    words = ("upsample", scans, "--spacing", 0.7, "-m", tiny)
    assert arssr(*words, "-o", tmp_path / "here").code == 1
    there = arssr(*words, "-o", tmp_path / "there", "--jobs", 2)
    assert there.code == 1 and "2 of 3 done, 1 failed" in there.err
    assert made(tmp_path / "there") == made(tmp_path / "here") and made(tmp_path / "here")


def test_labels_travel_without_a_model_and_files_by_relative_names(
    arssr: Arssr, tmp_path: Path, dask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    labels = np.random.default_rng(0).choice([0, 3, 7], (6, 5, 4)).astype(np.int16)
    nib.save(nib.Nifti1Image(labels, np.eye(4)), "seg.nii")
    np.savetxt("shift.mat", np.eye(4))
    words = ("upsample", "seg.nii", "--labels", "--like", "seg.nii", "--transform", "shift.mat")
    call = arssr(*words, "-o", "there", "--dask", dask, "-m", "nothing", "--slurm")
    assert call.code == 2 and "name one place" in call.err
    call = arssr(*words, "-o", "there.nii", "--dask", dask, "-m", "nothing")
    assert call.code == 0, call.err
    assert np.array_equal(nib.load("there.nii").dataobj, labels)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_every_complaint_names_its_scan(
    arssr: Arssr, scans: Path, tiny: Path, tmp_path: Path, dask: str, elsewhere: bool
) -> None:
    """What is wrong with a target as well, which none of the files is to blame for."""
    words = ("upsample", scans, "-o", tmp_path / "out", "--scale", 0, "-m", tiny)
    call = arssr(*words, *(("--dask", dask) if elsewhere else ()))
    said = call.err.splitlines()
    assert call.code == 1 and len(said) == 4
    for name in ("a.nii.gz", "b.nii", "c.nii"):
        assert sum(f"{scans / name}: " in line for line in said) == 1
    assert said[-1].startswith("0 of 3 done") and call.err.count("must be greater than 0") == 2


def test_a_dry_run_is_about_this_process(
    arssr: Arssr, scan: Path, tiny: Path, tmp_path: Path
) -> None:
    words = ("upsample", scan, "-o", tmp_path / "a.nii", "--scale", 2, "-m", tiny, "--dry-run")
    call = arssr(*words, "--jobs", 2)
    assert call.code == 2 and "this process" in call.err


def test_a_tree_of_dicom_files_and_the_series_that_is_wanted_of_each(
    arssr: Arssr, tiny: Path, tmp_path: Path
) -> None:
    stored = np.arange(120, dtype=np.uint16).reshape(4, 5, 6)
    for number, name in enumerate(("p1/T1", "p1/T2", "p2/T1"), start=1):
        grid = volume(stored.astype(np.float32)).grid
        write_series(tmp_path / "dcm" / name, stored, grid, number, name[3:])
    words = ("upsample", tmp_path / "dcm", "-o", f"{tmp_path}/out/", "--scale", 2, "-m", tiny)
    call = arssr(*words, "--series", "T1", "--skip-existing", "--json")
    assert call.code == 0, call.err
    first, second, left_out = json.loads(call.out)
    assert first["result"] == str(tmp_path / "out" / "p1" / "T1_SR.nii.gz")
    assert second["options"]["series"] == "T1" and "no series match" in left_out["passed_over"]
    assert "passed over: " in call.err
    again = arssr(*words, "--series", "T1", "--skip-existing", "--jobs", 2)
    assert again.code == 0 and "0 of 2 done, 2 were done before, 0 failed" in again.err
