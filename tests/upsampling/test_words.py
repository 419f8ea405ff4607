"""What goes into a paper and into a file: made of the facts, and there in every format."""

import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
import yaml
from tests.engine.thin import lively_network
from tests.formats.enhanced import frames_of, write_enhanced
from tests.formats.series import write_series
from tests.phantoms import smooth, volume

from arssr.api import Model
from arssr.files import sidecar
from arssr.formats.streams import open_reading
from arssr.jobs.job import Job
from arssr.jobs.running import run
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target
from arssr.upsampling.words import NOTICE, PAPER, remark, words_on
from arssr.volume import Volume
from arssr.weights.registry import Weights

ROOT = Path(__file__).parents[2]
SCAN = volume(np.rint(100 * smooth((6, 7, 5), sigma=1)), np.diag([1, 1, 3, 1.0]))
NOTE = remark("lively")


@pytest.fixture
def model() -> Model:
    return Model(Weights("lively", lively_network("light"), {}, Path(__file__)), "cpu", "float32")


def facts(**others: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "versions": {"arssr": "9.8.7"},
        "options": {"scale": 2},
        "input": {"spacing_mm": [0.7, 0.7, 4.0], "orientation": "RAS"},
        "output": {"spacing_mm": [0.7, 0.7, 1.0], "orientation": "RAS"},
        "model": {"name": "light", "sha256": "0e7b" * 16},
        "noise": 7.5,
        "told": {"acquisition_ijk": ["kspace", "kspace", "slice"], "noise": 6.9},
    }
    return known | others


def test_a_paragraph_says_all_that_it_takes_to_compute_the_result_again() -> None:
    said = words_on(facts())["methods"]
    for part in (
        *("voxels of 0.7×0.7×4 mm", "to voxels of 0.7×0.7×1 mm", "4 times finer along k"),
        *("version 9.8.7", "0e7b" * 16, "(slice) along k", "(kspace) along i, j"),
        *(
            "noise level 6.9",
            "own of 7.5 exceeds",
            "doi:10.1109/JBHI.2022.3223106",
            "estimated, not measured",
        ),
    ):
        assert part in said
    assert "consistent" not in said and "flips" not in said


def test_a_paragraph_says_what_else_was_done() -> None:
    found = {"residual": 1.0, "share_of_range": 0.012, "times_noise": 0.9}
    told = {"acquisition_ijk": ["unknown"] * 3, "noise": None}
    cut = {"spacing_mm": [1.0, 1.0, 4.0]}
    options = {"ensemble": 4, "transform": ["a.mat"]}
    said = words_on(
        facts(
            agreement=found, told=told, noise=None, consistency={}, cut_to_band=cut, options=options
        )
    )["methods"]
    for part in (
        "1.2 % of their range (within the noise that is left on the voxels that are compared)",
        *("noise level unknown", "made consistent"),
        *("zero-filled voxels of 0.7×0.7×4 mm", "means over 4 flips", "A registration"),
    ):
        assert part in said
    assert "times finer" not in said  # the axes are others


@pytest.mark.parametrize("evened", [True, False])
def test_residuals_of_evened_scans_are_not_said_to_be_those_of_the_scans(evened: bool) -> None:
    found = {"residual": 1.0, "share_of_range": 0.012}
    factors = [0.9, 1.1] if evened else [1.0, 1.0]
    said = words_on(facts(agreement=found, even_slices={"factors": factors}))["methods"]
    assert ("differ from them, evened, by 1.2 %" in said) is evened
    assert ("differ from them by 1.2 %" in said) is not evened


def test_where_no_network_had_a_part_there_are_no_words() -> None:
    without = {name: value for name, value in facts().items() if name != "told"}
    assert words_on(without | {"method": "copied"}) == {}


def test_the_citation_is_that_of_the_citation_file() -> None:
    paper = yaml.safe_load((ROOT / "CITATION.cff").read_text())["preferred-citation"]
    for part in ("title", "journal", "year", "volume", "issue", "start", "end", "doi"):
        assert str(paper[part]) in PAPER
    for author in paper["authors"]:
        assert f"{author['family-names']} {author['given-names'][0]}" in PAPER


def result(model: Model, scan: Path, out: Path, **ask: Any) -> Path:
    run(model, Job(scan, out, Request(Target(scale=(1, 1, 2)), acquisition="slice", **ask)))
    return out


def comment_of(path: Path) -> str:
    """What other programs read."""
    if path.name.endswith((".nii", ".nii.gz")):
        return nib.load(path).header["descrip"].item().decode()
    if path.suffix == ".mgz":
        with open_reading(path) as stream:
            tail = stream.read(284 + 6 * 7 * 10 * 4 + 20 + 200)[284 + 6 * 7 * 10 * 4 + 20 :]
        tag, length = struct.unpack(">iq", tail[:12])
        assert tag == 3 and len(tail) == 12 + length and tail[-1] == 0
        return tail[12:-1].decode()
    if path.suffix == ".nrrd":
        return sitk.ReadImage(str(path)).GetMetaData("Comment")
    lines = path.read_bytes().split(b"ElementDataFile")[0].decode().splitlines()
    return next(line for line in lines if line.startswith("Comment")).partition("= ")[2]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mgz", ".nrrd", ".mha", ".mhd"])
def test_every_format_says_that_detail_was_computed(
    model: Model, suffix: str, tmp_path: Path
) -> None:
    scan = SCAN.write(tmp_path / "scan.nii")
    out = result(model, scan, tmp_path / f"out{suffix}")
    assert comment_of(out) == NOTE[:79] and NOTICE in NOTE[:79].lower()
    again = model.upsample(SCAN, scale=(1, 1, 2), acquisition="slice")
    assert comment_of(again.write(tmp_path / f"python{suffix}")) == NOTE[:79]
    assert Volume.read(tmp_path / f"python{suffix}").grid == Volume.read(out).grid
    assert again.to_nibabel().header["descrip"].item().decode() == NOTE[:79]


def test_frames_say_so_and_what_was_there_stays(model: Model, tmp_path: Path) -> None:
    frames = nib.Nifti1Image(np.stack([0 * SCAN.data, SCAN.data], -1), np.eye(4))
    nib.save(frames, tmp_path / "bold.nii")
    out = result(model, tmp_path / "bold.nii", tmp_path / "out.nii", frames=True)
    assert comment_of(out) == NOTE[:79]
    image = nib.Nifti1Image(SCAN.data, np.eye(4))
    image.header["descrip"] = b"TE=4.9;Time=1"
    nib.save(image, tmp_path / "said.nii")
    out = result(model, tmp_path / "said.nii", tmp_path / "said_out.nii")
    assert comment_of(out) == "TE=4.9;Time=1"


def test_what_no_network_made_says_nothing(model: Model, tmp_path: Path) -> None:
    scan = SCAN.write(tmp_path / "scan.nii")
    for name, ask in (("copied", {"scale": 1}), ("resampled", {"scale": 0.5})):
        out = tmp_path / f"{name}.nii"
        run(model, Job(scan, out, Request(Target(**ask))))  # type: ignore[arg-type]
        assert comment_of(out) == "" and "methods" not in json.loads(sidecar(out).read_text())
    labels = tmp_path / "labels.nii"
    run(None, Job(scan, labels, Request(Target(scale=2), labels=True)))
    assert comment_of(labels) == ""


def errors_in(path: Path) -> set[str]:
    told = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
    return {line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")}


@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
def test_derived_series_name_their_sources_and_how_they_were_derived(
    model: Model, enhanced: bool, tmp_path: Path
) -> None:
    stored = SCAN.data.astype(np.int16)
    folder = tmp_path / "in"
    if enhanced:
        sources = [write_enhanced(folder / "1.dcm", frames_of(stored, SCAN.grid))]
    else:
        sources = write_series(folder, stored, SCAN.grid)
    out = result(model, folder, tmp_path / "out.dicom")
    headers = [pydicom.dcmread(path) for path in sorted(out.iterdir())]
    known = [pydicom.dcmread(path) for path in sources]
    for new in headers:
        [code] = new.DerivationCodeSequence
        assert (code.CodeValue, code.CodingSchemeDesignator) == ("113085", "DCM")
        items = new.SourceImageSequence
        named = [(each.ReferencedSOPClassUID, each.ReferencedSOPInstanceUID) for each in items]
        assert sorted(named) == sorted((each.SOPClassUID, each.SOPInstanceUID) for each in known)
        if enhanced:
            assert list(items[0].ReferencedFrameNumber) == [1, 2, 3, 4, 5]
        else:
            assert "ReferencedFrameNumber" not in items[0]
        assert NOTICE in new.ImageComments.lower() and NOTICE in new.DerivationDescription.lower()
    if shutil.which("dciodvfy"):
        assert errors_in(next(out.iterdir())) <= (set() if enhanced else errors_in(sources[0]))


def test_the_code_is_that_of_the_standard() -> None:
    """As pydicom has PS3.16's context group 7203."""
    from pydicom.sr.codedict import codes

    from arssr.formats import dicom_writing

    derivation = codes.cid7203.SpatialResampling
    assert (derivation.value, derivation.meaning) == dicom_writing._RESAMPLED
