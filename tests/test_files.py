"""Files that are whole or not there, and which files count as images."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from arssr.errors import ArSSRError
from arssr.files import (
    bytes_in_words,
    find_images,
    find_images_below,
    holds_dicom,
    image_suffix,
    is_image,
    json_beside,
    output_suffix,
    replacing,
    replacing_all,
    replacing_folder,
    sha256,
    sidecar,
    stem,
    told_apart,
)

# --- replacing -----------------------------------------------------------------------------------


def test_the_target_appears_whole_and_alone(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "a.nii.gz"
    with replacing(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.name.startswith(".") and temporary.name.endswith(".a.nii.gz")
        temporary.write_text("half")
        assert not target.exists()
        temporary.write_text("whole")
    assert target.read_text() == "whole"
    assert [p.name for p in target.parent.iterdir()] == ["a.nii.gz"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "a") as temporary:
            temporary.write_text("x")
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, ArSSRError])
def test_a_failure_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a"
    target.write_text("old")
    with pytest.raises(error), replacing(target) as temporary:
        temporary.write_text("new")
        raise error
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_is_said_in_words(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    target = tmp_path / "a"
    target.write_text("old")
    with (
        full_disk(1000),
        pytest.raises(ArSSRError, match=r"cannot write .*a: "),
        replacing(target) as temporary,
    ):
        temporary.write_bytes(bytes(5000))
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_cannot_be_made_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ArSSRError, match=r"cannot write .*file"),
        replacing(tmp_path / "file" / "a"),
    ):
        pytest.fail("there is nowhere to write")


def test_killed_at_any_moment_the_target_is_old_or_new(tmp_path: Path) -> None:
    """Two contents written in turn by a process that is killed; what is there is one of them."""
    target = tmp_path / "a"
    target.write_bytes(b"x" * 3_000_000)
    script = (
        "import sys, itertools; from pathlib import Path; from arssr.files import replacing\n"
        "print('ready', flush=True)\n"
        "for letter in itertools.cycle(b'xyz'):\n"
        "    with replacing(Path(sys.argv[1])) as t: t.write_bytes(bytes([letter]) * 3_000_000)\n"
    )
    for wait in (0.0, 0.003, 0.011, 0.028, 0.05):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(target)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)
        process.kill()
        process.communicate()
        content = target.read_bytes()
        assert len(content) == 3_000_000
        assert len(set(content)) == 1


def test_companions_come_before_the_file_that_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    rename = Path.replace

    def note(self: Path, target: Path) -> Path:
        seen.append(target.name)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", note)
    with replacing_all(tmp_path / "new" / "a.mhd") as temporary:
        assert temporary.name == "a.mhd"
        temporary.write_text("header")
        temporary.with_suffix(".zraw").write_text("samples")
        temporary.with_suffix(".abc").write_text("more")
    assert seen == ["a.abc", "a.zraw", "a.mhd"]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(seen)


def test_a_failure_leaves_no_companion(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), replacing_all(tmp_path / "a.mhd") as temporary:
        temporary.with_suffix(".zraw").write_text("samples")
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_replaced_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1").write_text("old")
    rename = Path.rename

    def fail_for_the_new(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new)
    with (
        pytest.raises(ArSSRError, match="Permission denied"),
        replacing_folder(tmp_path / "series", overwrite=True),
    ):
        pass
    assert (tmp_path / "series" / "1").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["series"]


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "series"
    with replacing_folder(target) as temporary:
        (temporary / "1").write_text("one")
        assert not target.exists()
    assert [p.name for p in target.iterdir()] == ["1"]
    with pytest.raises(ZeroDivisionError), replacing_folder(target, overwrite=True) as temporary:
        (temporary / "2").write_text("two")
        raise ZeroDivisionError
    assert [p.name for p in target.iterdir()] == ["1"]
    with pytest.raises(ArSSRError, match=r"cannot write .*series"), replacing_folder(target):
        pass
    with replacing_folder(target, overwrite=True) as temporary:
        (temporary / "2").write_text("two")
    assert [p.name for p in target.iterdir()] == ["2"]
    assert [p.name for p in target.parent.iterdir()] == ["series"]


# --- which files ---------------------------------------------------------------------------------


def test_images_are_told_by_name() -> None:
    for name in ("a.nii", "a.nii.gz", "sub-01_T1w.nii.gz", "a.nii.zst", "A.MGZ", "b.nrrd", "c.mhd"):
        assert is_image(Path(name))
    for name in (".a.nii.gz", "a.nii.bz2", "a.gz", "nii", "a.json", "a.zraw", "a.zip"):
        assert not is_image(Path(name))


def test_stems() -> None:
    names = {"a.nii.gz": "a", "a.b.nii": "a.b", "x.y/c.nii.gz": "c", "d.txt": "d", "e.NII.ZST": "e"}
    names |= {"f.v2.mgz": "f.v2", "g.mhd": "g", "h.zip": "h"}
    assert {name: stem(Path(name)) for name in names} == names


def test_files_and_folders_give_each_image_once(tmp_path: Path) -> None:
    for name in ("b.nii", "a.nii.gz", "c.txt", ".hidden.nii", "deep"):
        (tmp_path / name).write_text("") if name != "deep" else (tmp_path / name).mkdir()
    (tmp_path / "deep" / "d.nii").write_text("")
    named = tmp_path / "b.nii"
    assert find_images([named, tmp_path]) == [named, tmp_path / "a.nii.gz"]
    assert find_images([tmp_path]) == [tmp_path / "a.nii.gz", named]
    assert find_images([]) == []


def test_subfolders_are_searched_where_that_is_asked_for(tmp_path: Path) -> None:
    names = ("a.nii", "sub-02/T1.nii.gz", "sub-01/ses-1/T1.nii.gz", ".cache/x.nii", "sub-01/.y.nii")
    for name in (*names, "notes/z.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "dicom" / "series").mkdir(parents=True)
    (tmp_path / "dicom" / "series" / "IM1").write_bytes(bytes(128) + b"DICM")
    found = ["a.nii", "dicom/series", "sub-01/ses-1/T1.nii.gz", "sub-02/T1.nii.gz"]
    assert find_images_below([tmp_path]) == [tmp_path / name for name in found]
    first = tmp_path / "sub-02" / "T1.nii.gz"
    assert find_images_below([first, tmp_path])[0] == first
    for nowhere, reason in (("notes", "no images"), ("gone", "no such file or folder")):
        with pytest.raises(ArSSRError, match=reason):
            find_images_below([tmp_path, tmp_path / nowhere])


def test_linked_folders_are_searched_once(tmp_path: Path) -> None:
    (tmp_path / "data" / "anat").mkdir(parents=True)
    (tmp_path / "data" / "anat" / "T1.nii").touch()
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "sub-01").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "back").symlink_to(tmp_path / "study")
    found = [tmp_path / "study" / "sub-01" / "anat" / "T1.nii"]
    assert find_images_below([tmp_path / "study"]) == found


def test_images_of_one_name_are_told_apart_by_their_folders() -> None:
    def told(*names: str) -> list[str]:
        return told_apart([Path(name) for name in names])

    assert told("x/a.nii", "y/b.nii") == ["a.nii", "b.nii"]
    assert told("s1/v/T1.nii", "s2/v/T1.nii.gz", "s2/v/T2.nii") == [
        *("s1/v/T1.nii", "s2/v/T1.nii.gz"),
        "T2.nii",
    ]
    assert told("s/T1.nii", "s/T1.nrrd", "r/T1.nii") == ["s/T1.nii", "s/T1.nrrd", "r/T1.nii"]
    assert told("T1.nii", "T1.mgz") == ["T1.nii", "T1.mgz"]
    assert told() == []


def test_missing_and_empty_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArSSRError, match="no such file or folder"):
        find_images([tmp_path / "nothing.nii"])
    with pytest.raises(ArSSRError, match="no images"):
        find_images([tmp_path])


def test_a_folder_of_dicom_files_is_one_scan(tmp_path: Path) -> None:
    series = tmp_path / "study.v2" / "series"
    series.mkdir(parents=True)
    (series / "notes").write_text("short")
    assert not holds_dicom(tmp_path)
    (series / "IM0001").write_bytes(bytes(128) + b"DICM and so on")
    assert find_images([tmp_path / "study.v2"]) == [tmp_path / "study.v2"]
    assert stem(tmp_path / "study.v2") == "study.v2"
    (tmp_path / "study.v2" / "a.mgz").write_text("")
    assert find_images([tmp_path / "study.v2"]) == [tmp_path / "study.v2" / "a.mgz"]


def test_results_of_what_cannot_be_written_are_nifti_or_nrrd() -> None:
    suffixes = {"a.nii.zst": ".nii.zst", "a.nhdr": ".nrrd", "a.zip": ".nii.gz", "b": ".nii.gz"}
    assert {name: output_suffix(Path(name)) for name in suffixes} == suffixes


def test_unknown_suffixes_are_refused_with_the_known_ones() -> None:
    assert image_suffix(Path("a.b.MHA")) == ".mha"
    with pytest.raises(ArSSRError, match=r"a\.png: .* must end in \.nii\.gz, .* or \.mhd$"):
        image_suffix(Path("a.png"))


def test_images_of_one_name_have_a_sidecar_each(tmp_path: Path) -> None:
    names = ("T1.nii.gz", "T1.nrrd", "T1.mgz", "T1.dicom")
    places = [sidecar(tmp_path / name) for name in names]
    assert places[0] == tmp_path / "T1.json" and len(set(places)) == 4
    (tmp_path / "T1.dicom").mkdir()  # its name does not depend on whether it is there
    assert sidecar(tmp_path / "T1.dicom") == places[3]


def test_what_describes_an_image_may_have_its_name_without_suffix(tmp_path: Path) -> None:
    """dcm2niix writes T1.json beside T1.nrrd; beside T1.nii.gz it is that one's."""
    nrrd, plain = tmp_path / "T1.nrrd", tmp_path / "T1.json"
    assert json_beside(nrrd) is None
    plain.touch()
    assert json_beside(nrrd) == plain == json_beside(tmp_path / "T1.nii")
    (tmp_path / "T1.nii.gz").touch()
    assert json_beside(nrrd) is None and json_beside(tmp_path / "T1.nii.gz") == plain
    sidecar(nrrd).touch()
    assert json_beside(nrrd) == tmp_path / "T1.nrrd.json"


def test_the_sum_of_a_folder_is_that_of_names_and_contents(tmp_path: Path) -> None:
    for folder, names in (("a", "12"), ("b", "12"), ("c", "13"), ("d", "1")):
        (tmp_path / folder / "deep").mkdir(parents=True)
        for name in names:
            (tmp_path / folder / "deep" / name).write_text("x")
    a, b, c, d = (sha256(tmp_path / folder) for folder in "abcd")
    assert a == b and len({a, c, d}) == 3


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"arssr" * 100_000)
    assert sha256(tmp_path / "a") == hashlib.sha256(b"arssr" * 100_000).hexdigest()


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (64e6, "64 MB"),
        (5.6e13, "56 TB"),
        (1e300, "1e+288 TB"),
    ],
)
def test_a_number_of_bytes_in_words(count: float, words: str) -> None:
    assert bytes_in_words(count) == words
