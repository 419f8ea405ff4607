"""Which scans are meant, where their results go, and what is passed over and why."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from tests.formats.mosaic import write_mosaic
from tests.formats.series import write_series

from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.jobs.places import places

GRID = Grid((4, 5, 6), np.diag([1.0, 1, 2, 1]))
STORED = np.arange(120, dtype=np.uint16).reshape(4, 5, 6)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(root: Path, named: list[str], out: str, series: str | None = None) -> dict[str, str]:
    """Scan → result, as seen from the root."""
    pairs = places([root / name for name in named], f"{root}/{out}", series).pairs
    return {str(s.relative_to(root)): str(d.relative_to(root)) for s, d in pairs}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two patients with a T1 and a T2 each, and a list of all files above."""
    for patient, first in (("p1", 1), ("p2", 3)):
        for number, name in enumerate(("T1", "T2"), start=first):
            write_series(tmp_path / "study" / patient / name, STORED, GRID, number, f"{name}w")
    (tmp_path / "study" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    return tmp_path


def test_a_file_goes_where_the_name_says(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "one/b.nrrd", "there/x")
    assert found(tmp_path, ["a.nii.gz"], "new.nii") == {"a.nii.gz": "new.nii"}
    assert found(tmp_path, ["a.nii.gz"], "new") == {"a.nii.gz": "new"}  # refused by its name, later
    assert found(tmp_path, ["a.nii.gz"], "new/") == {"a.nii.gz": "new/a_SR.nii.gz"}
    assert found(tmp_path, ["a.nii.gz"], "there") == {"a.nii.gz": "there/a_SR.nii.gz"}
    assert found(tmp_path, ["one"], "new.nii") == {"one/b.nrrd": "new.nii"}
    assert found(tmp_path, ["one"], "new") == {"one/b.nrrd": "new/b_SR.nrrd"}


def test_subfolders_are_mirrored(tmp_path: Path) -> None:
    names = ("a.nii", "s1/T1.nii.gz", "s1/ses-a/T1.nii.gz", "s2/T1.nii.gz")
    touch(tmp_path, *(f"in/{name}" for name in names), "in/.hidden/T1.nii", "in/s1/.T1.nii")
    touch(tmp_path, "in/out/old_SR.nii", "in/out/deep/old_SR.nii")
    expected = {f"in/{name}": f"in/out/{name.replace('.nii', '_SR.nii')}" for name in names}
    assert found(tmp_path, ["in"], "in/out") == expected
    assert found(tmp_path, ["in/s1", "in/s2", "in/a.nii"], "out") == {
        "in/s1/T1.nii.gz": "out/s1/T1_SR.nii.gz",
        "in/s1/ses-a/T1.nii.gz": "out/s1/ses-a/T1_SR.nii.gz",
        "in/s2/T1.nii.gz": "out/s2/T1_SR.nii.gz",
        "in/a.nii": "out/a_SR.nii",
    }


def test_two_results_never_share_a_place(tmp_path: Path) -> None:
    touch(tmp_path, "in/T1.nii.gz", "in/T1.nrrd", "in/T1.mgz", "same/T1.nii", "same/T1.nii.gz")
    assert sorted(found(tmp_path, ["in"], "out").values()) == [
        *("out/T1_SR.mgz", "out/T1_SR.nii.gz", "out/T1_SR.nrrd")
    ]
    for named in (["same"], ["in/T1.nii.gz", "same/T1.nii.gz"]):
        with pytest.raises(ArSSRError, match=r"two scans would both be written to .*T1_SR; rename"):
            found(tmp_path, named, "out")


def test_a_folder_goes_to_no_file(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.nii", "in/b.nii", "there", "empty/notes.txt")
    for named, out in ((["in"], "x.nii"), (["in/a.nii", "in/b.nii"], "x.nii"), (["in"], "there")):
        with pytest.raises(ArSSRError, match=r"several scans.* need a folder"):
            found(tmp_path, named, out)
    with pytest.raises(ArSSRError, match="need a folder"):
        found(tmp_path, ["in/a.nii"], "x.nii/")
    with pytest.raises(ArSSRError, match="no images"):
        found(tmp_path, ["empty"], "out")
    with pytest.raises(ArSSRError, match="no such file or folder"):
        found(tmp_path, ["nothing.nii"], "x.nii")


def test_every_folder_of_dicom_files_is_a_scan(study: Path) -> None:
    names = ("p1/T1", "p1/T2", "p2/T1", "p2/T2")
    expected = {f"study/{name}": f"out/{name}_SR.nii.gz" for name in names}
    assert found(study, ["study"], "out") == expected
    for out in ("out", "out/"):
        assert found(study, ["study/p1/T1"], out) == {"study/p1/T1": "out/T1_SR.nii.gz"}


def test_into_a_file_a_folder_of_dicom_files_is_one_scan(study: Path) -> None:
    """Searched with all its subfolders; `series` has its say when it is read."""
    for out in ("x.nii.gz", "x.dicom", "x.dicom/"):
        assert found(study, ["study"], out, "T1") == {"study": out.rstrip("/")}


def test_a_series_applies_to_each_folder(study: Path) -> None:
    named = [study / "study"]
    taken = places(named, f"{study}/out", "t1w")
    assert [source.parent.name for source, _ in taken.pairs] == ["p1", "p2"]
    assert sorted(path.name for path in taken.passed_over) == ["T2", "T2"]
    assert all("no series match 't1w'" in why for why in taken.passed_over.values())
    assert len(places(named, f"{study}/out", "flair").pairs) == 4  # each of them will say so


def test_a_series_is_looked_for_in_headers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mosaic would be converted, which takes long, and again when its turn comes."""
    monkeypatch.setattr("arssr.formats.dcm2niix.open_mosaic", lambda *_: pytest.fail("converted"))
    for name in ("p1", "p2"):
        image = pydicom.dcmread(write_mosaic(tmp_path / "in" / name / "1.dcm", STORED, GRID))
        image.PatientID = name
        image.save_as(tmp_path / "in" / name / "1.dcm")
    assert len(places([tmp_path / "in"], f"{tmp_path}/out", "1").pairs) == 2


def test_a_series_in_several_folders_is_refused(tmp_path: Path) -> None:
    """Each part would be taken for a scan."""
    paths = write_series(tmp_path / "dcm" / "0", STORED, GRID)
    (tmp_path / "dcm" / "1").mkdir()
    for path in paths[3:]:
        path.rename(tmp_path / "dcm" / "1" / path.name)
    with pytest.raises(ArSSRError, match=r"0 and .*1 hold one DICOM series; .*dcm, and a file"):
        found(tmp_path, ["dcm"], "out")
    assert found(tmp_path, ["dcm"], "x.nii.gz") == {"dcm": "x.nii.gz"}
    write_series(tmp_path / "other" / "2", STORED, GRID, PatientID="43")  # its UID proves nothing
    assert len(found(tmp_path, ["dcm/0", "other"], "out/")) == 2


def test_files_above_folders_of_dicom_files_are_told_of(study: Path) -> None:
    write_series(study / "study" / "p1", STORED, GRID, number=9)
    taken = places([study / "study"], f"{study}/out")
    assert len(taken.pairs) == 4
    assert list(taken.passed_over) == [study / "study" / "p1"]
    assert "only those of its subfolders are taken" in next(iter(taken.passed_over.values()))


def test_the_folder_one_stands_in(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study / "study" / "p1" / "T1")
    [(source, destination)] = places([Path()], "../../../out/").pairs
    assert (source, destination.name) == (Path(), "T1_SR.nii.gz")


def test_a_scan_is_never_its_own_result(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.nii", "in/a_SR.nii")
    for named, out in (("in/a.nii", "in/a.nii"), ("in", "in")):
        with pytest.raises(ArSSRError, match="is the scan itself"):
            found(tmp_path, [named], out)
