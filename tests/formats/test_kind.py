"""What images hold is what headers, names and sidecars say, each where it may be believed."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from tests.formats.series import write_series
from tests.phantoms import smooth, volume

from arssr.errors import ArSSRError
from arssr.formats.kind import (
    INTENSITIES,
    LABELS,
    PHASE,
    PROBABILITIES,
    kind_described,
    kind_of,
    unlike_intensities,
)
from arssr.grid import Grid
from arssr.volume import Volume, open_frames

SHAPE = (6, 5, 4)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("sub-01_dseg.nii.gz", LABELS),
        ("sub-01_desc-brain_mask.nii", LABELS),
        ("T1_brain_mask.nii.gz", LABELS),
        ("head.seg.nrrd", LABELS),
        ("sub-01_label-GM_probseg.nii.gz", PROBABILITIES),
        ("sub-01_part-phase_T1w.nii.gz", PHASE),
        ("sub-01_part-phase_mask.nii.gz", LABELS),
        ("sub-01_phasediff.nii.gz", PHASE),
        ("sub-01_phase1.nii.gz", PHASE),
        ("brainmask.mgz", INTENSITIES),
        ("liver_venous_phase.nii.gz", INTENSITIES),
        ("sub-01_part-real_T1w.nii.gz", INTENSITIES),
        ("sub-01_fieldmap.nii.gz", INTENSITIES),
        ("sub-01_T1w.nii.gz", INTENSITIES),
    ],
)
def test_names_say_what_an_image_holds(name: str, what: str, tmp_path: Path) -> None:
    assert kind_of(tmp_path / name).what == what


@pytest.mark.parametrize(
    ("intent", "what"), [(0, INTENSITIES), (1002, LABELS), (1003, LABELS), (5, INTENSITIES)]
)
def test_so_do_the_intents_of_nifti(intent: int, what: str, tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.ones(SHAPE, np.int16), np.eye(4))
    image.header["intent_code"] = intent
    nib.save(image, tmp_path / "image.nii.gz")
    assert Volume.read(tmp_path / "image.nii.gz").kind.what == what
    assert Volume.from_nibabel(image).kind.what == what
    assert Volume.from_nibabel(nib.load(tmp_path / "image.nii.gz")).kind.what == what
    with open_frames(tmp_path / "image.nii.gz") as frames:
        assert frames.frame(0).kind.what == what


@pytest.mark.parametrize(
    "described",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "phase map", "P", "FFE"]},
        {"ImageType": ["DERIVED", "PRIMARY", "OTHER", "PHASE"]},
        {"ComplexImageComponent": "PHASE"},
        {"Units": "rad"},
    ],
)
def test_phase_is_known_by_the_sidecar_of_dcm2niix(described: dict, tmp_path: Path) -> None:
    path = volume(smooth(SHAPE)).write(tmp_path / "swi_ph.nii.gz")
    (tmp_path / "swi_ph.json").write_text(json.dumps(described))
    assert Volume.read(path).kind.what == PHASE
    assert kind_of(path).what == PHASE


@pytest.mark.parametrize(
    "described",
    [
        {},
        {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "NORM"]},
        {"ImageType": "PHASED"},
        {"ImageType": 3, "Units": 4, "ComplexImageComponent": None},
        {"Units": "rad/s"},
        {"Units": "arbitrary"},
    ],
)
def test_anything_else_that_is_said_leaves_them_intensities(described: dict) -> None:
    assert kind_described(described).what == INTENSITIES


def test_a_sidecar_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    path = volume(smooth(SHAPE)).write(tmp_path / "scan.nii.gz")
    (tmp_path / "scan.json").write_text("{")
    assert Volume.read(path).kind.what == INTENSITIES


@pytest.mark.parametrize(
    ("tags", "what"),
    [
        ({}, INTENSITIES),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, PHASE),
        ({"ComplexImageComponent": "PHASE"}, PHASE),
        ({"ComplexImageComponent": "MAGNITUDE"}, INTENSITIES),
    ],
)
def test_headers_of_dicom_tell_phase(tags: dict, what: str, tmp_path: Path) -> None:
    write_series(tmp_path, np.zeros(SHAPE, np.int16), Grid(SHAPE, np.eye(4)), **tags)
    assert Volume.read(tmp_path).kind.what == what


@pytest.mark.parametrize(("number", "what"), [(0, INTENSITIES), (1, PHASE), (2, INTENSITIES)])
def test_ge_says_so_in_a_private_element(number: int, what: str, tmp_path: Path) -> None:
    import pydicom

    for path in write_series(tmp_path, np.zeros(SHAPE, np.int16), Grid(SHAPE, np.eye(4))):
        header = pydicom.dcmread(path)
        header.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", number)
        header.save_as(path)
    assert Volume.read(tmp_path).kind.what == what


def test_a_segmentation_of_slicer_is_known_under_any_name(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros(SHAPE, np.uint8))
    image.SetMetaData("Segment0_ID", "tumour")
    sitk.WriteImage(image, str(tmp_path / "tumour.nrrd"))
    assert Volume.read(tmp_path / "tumour.nrrd").kind.what == LABELS


def test_labels_and_phase_that_nobody_names_are_doubted_and_scans_are_not() -> None:
    image = smooth((24, 24, 12))
    scan = np.rint(255 * image + np.random.default_rng(0).normal(0, 3, image.shape))
    assert not unlike_intensities(scan.astype(np.float32)) and not unlike_intensities(image)
    labels = np.digitize(image, [0.4, 0.6]).astype(np.float32)
    [doubt] = unlike_intensities(labels)
    assert "--labels" in doubt
    turns = np.cumsum(np.full((2000, 2, 2), 0.3), axis=0)
    for phase in (np.angle(np.exp(1j * turns)), turns % (2 * np.pi)):
        [doubt] = unlike_intensities(phase.astype(np.float32))
        assert "phase" in doubt


def test_what_is_said_to_be_magnitude_is_no_phase_whatever_its_values() -> None:
    """Differences of label and control go all round Siemens' range of phase."""
    data = np.linspace(-4096, 4095, 600, dtype=np.float32).reshape(10, 10, 6)
    data[::2] = data[::2, ::-1]
    assert unlike_intensities(data)
    for said in (
        {"ImageType": ["ORIGINAL", "PRIMARY", "M"]},
        {"ComplexImageComponent": "MAGNITUDE"},
    ):
        kind = kind_described(said)
        assert kind.what == INTENSITIES
        assert not unlike_intensities(data, kind)
    labels = np.digitize(smooth((24, 24, 12)), [0.4, 0.6]).astype(np.float32)
    assert unlike_intensities(labels, kind)  # a map of labels may keep the header of its scan


def test_what_a_network_is_not_for_is_refused_with_the_reason() -> None:
    kind = kind_of(Path("sub-01_dseg.nii.gz"))
    with pytest.raises(ArSSRError, match=r"here: holds labels, .*its name ends in dseg"):
        kind.require_intensities("here")
    kind.require_interpolable("here")
    with pytest.raises(ArSSRError, match=r"here: holds phase \(its name has part-phase\)"):
        kind_of(Path("sub-01_part-phase_T1w.nii.gz")).require_interpolable("here")
