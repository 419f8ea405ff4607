"""Scans and folders whose names are no UTF-8, as archives from before it leave them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.phantoms import smooth, volume

from arssr.errors import ArSSRError
from arssr.files import sha256, write_text
from arssr.training.config import TrainConfig
from arssr.training.diary import Diary
from arssr.transforms.registration import load_transform
from arssr.volume import Volume

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
NAME = os.fsdecode(b"M\xfcller")  # Latin-1


@pytest.fixture
def folder(scan: Path, tmp_path: Path) -> Path:
    """A folder of such a name, with a scan of such a name."""
    there = tmp_path / NAME
    there.mkdir()
    shutil.copy(scan, there / f"{NAME}.nii.gz")
    return there


def arssr(*words: str | Path) -> str:
    """What a command says in a process of its own: workers of pytest cannot tell of such names."""
    command = [sys.executable, "-m", "arssr", *words]
    return subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout


def test_a_result_has_its_report_and_its_log(folder: Path, tiny: Path) -> None:
    words = ("upsample", folder / f"{NAME}.nii.gz", "-o", folder / "o.nii.gz", "--scale", "2")
    arssr(*words, "-m", tiny, "--report", "--log-file", folder / "a.log")
    assert r"M\udcfcller" in (folder / "o.html").read_text()
    assert r"M\udcfcller" in (folder / "a.log").read_text()
    assert json.loads((folder / "o.json").read_text())["input"]["file"] == f"{NAME}.nii.gz"


def test_patches_have_their_manifest(tmp_path: Path) -> None:
    for seed in range(2):
        volume(smooth((9, 9, 9), seed)).write(tmp_path / "hr" / f"{NAME}{seed}.nii")
    said = arssr("prepare", tmp_path / "hr", "-o", tmp_path / "data", "--patch", "5", "--json")
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    assert manifest == json.loads(said)
    assert sorted(each["file"] for each in manifest["sources"]) == [f"{NAME}{n}.nii" for n in "01"]


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
def test_simpleitk_is_not_given_a_name_that_ends_the_process(folder: Path, suffix: str) -> None:
    scan, named = volume(smooth((5, 6, 4))), folder / f"a{suffix}"
    with pytest.raises(ArSSRError, match="only names that are UTF-8"):
        scan.write(named)
    assert not named.exists()
    shutil.copy(scan.write(folder.parent / f"a{suffix}"), named)
    if suffix == ".nrrd":  # MetaImage is read without it
        with pytest.raises(ArSSRError, match="only names that are UTF-8"):
            Volume.read(named)
    (folder / "t.tfm").write_text("#Insight Transform File V1.0\n")
    with pytest.raises(ArSSRError, match="only names that are UTF-8"):
        load_transform(folder / "t.tfm", scan.grid, scan.grid)


def test_nor_is_tensorboard(folder: Path) -> None:
    with pytest.raises(ArSSRError, match="only names that are UTF-8"):
        Diary(folder, TrainConfig.read("light"), 0)


def test_folders_have_a_sum_and_texts_their_escapes(folder: Path) -> None:
    before = sha256(folder)
    (folder / f"{NAME}.nii.gz").rename(folder / "other.nii.gz")
    assert sha256(folder) != before
    write_text(folder / "a.txt", NAME)
    assert (folder / "a.txt").read_bytes() == rb"M\udcfcller"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_standard_output_spells_what_it_has_no_letters_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    assert r"M\udcfcller" in arssr("info", folder / f"{NAME}.nii.gz")
    assert "kspace 2" in arssr("info", "light")
