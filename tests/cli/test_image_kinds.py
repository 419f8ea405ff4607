"""What an image holds decides what a command does with it; the user hears of it."""

import json
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from tests.cli.conftest import Arssr
from tests.formats.series import write_series
from tests.phantoms import anatomy, smooth, volume

from arssr.api import Model
from arssr.errors import ArSSRError
from arssr.field import VoxelField
from arssr.grid import Grid
from arssr.upsampling import room
from arssr.volume import Storage, Volume
from arssr.weights.registry import load

THICK = np.diag([1.0, 1, 3, 1])
LABELS = np.digitize(smooth((8, 9, 5)), [0.4, 0.6]).astype(np.int16) * 17


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A data set without scans."""
    root = tmp_path / "bids"
    (root / "sub-01" / "anat").mkdir(parents=True)
    description = {"Name": "phantoms", "BIDSVersion": "1.10.0", "DatasetType": "derivative"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    return root


def write_frames(path: Path, frames: list[np.ndarray]) -> Path:
    nib.save(nib.Nifti1Image(np.stack(frames, axis=-1).astype(np.float32), THICK), path)
    return path


def values(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def test_labels_are_labels_by_name_and_intent_and_it_is_told(
    arssr: Arssr, tiny: Path, tmp_path: Path
) -> None:
    by_intent = nib.Nifti1Image(LABELS, THICK)
    by_intent.header.set_intent("label")
    nib.save(by_intent, tmp_path / "aseg.nii")
    nib.save(nib.Nifti1Image(LABELS, THICK), tmp_path / "T1_mask.nii")
    nib.save(nib.Nifti1Image(LABELS, THICK), tmp_path / "plain.nii")
    out = {}
    for name, words in (("aseg", ()), ("T1_mask", ()), ("plain", ("--labels",))):
        out[name] = tmp_path / f"{name}_SR.nii"
        call = arssr(
            "upsample", tmp_path / f"{name}.nii", "-o", out[name], "--isotropic", "-m", tiny, *words
        )
        assert call.code == 0, call.err
        assert ("taken for labels, because" in call.err) == (not words)
    assert (values(out["aseg"]) == values(out["plain"])).all()
    assert (values(out["T1_mask"]) == values(out["plain"])).all()
    assert set(np.unique(values(out["aseg"]))) <= {0, 17, 34}
    assert "1002" in json.loads((tmp_path / "aseg_SR.json").read_text())["taken"]


def test_what_looks_like_labels_is_asked_about(arssr: Arssr, tiny: Path, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(LABELS, THICK), tmp_path / "aseg.nii")
    words = ("upsample", tmp_path / "aseg.nii", "-o", tmp_path / "o.nii", "--isotropic", "-m", tiny)
    assert "--labels" in arssr(*words, "--strict").complaint
    call = arssr(*words)
    assert call.code == 0 and "warning: it looks like a label map" in call.err


def test_a_mask_that_is_none_is_refused_with_the_reason(
    arssr: Arssr, tiny: Path, tmp_path: Path
) -> None:
    scan = volume(smooth((8, 9, 5)), THICK).write(tmp_path / "T1_mask.nii")
    words = ("upsample", scan, "-o", tmp_path / "o.nii", "--isotropic", "-m", tiny)
    assert "whole numbers, though its name ends in mask" in arssr(*words).complaint
    assert "though --labels says so" in arssr(*words, "--labels").complaint
    assert not (tmp_path / "o.nii").exists()


def test_an_estimate_says_where_there_is_no_network(
    arssr: Arssr, tiny: Path, tmp_path: Path
) -> None:
    scan = volume(smooth((8, 9, 5)), THICK).write(tmp_path / "scan.nii")
    words = ("upsample", scan, "-o", tmp_path / "o.nii", "--scale", 1, "-m", tiny, "--dry-run")
    said = arssr(*words)
    assert said.code == 0
    assert said.err.endswith("copied: no network had a part in it\n")


@pytest.mark.parametrize(
    ("words", "method"),
    [
        (("--scale", 2), "super-resolved"),
        (("--scale", 1), "copied"),
        (("--scale", 0.5), "resampled, anti-aliased"),
        (("--scale", 2, "--labels"), "shares of labels"),
    ],
)
def test_a_derived_series_says_what_was_done(
    arssr: Arssr, tiny: Path, tmp_path: Path, words: tuple, method: str
) -> None:
    write_series(tmp_path / "in", LABELS, Grid(LABELS.shape, THICK))
    out = tmp_path / "out.dicom"
    call = arssr("upsample", tmp_path / "in", "-o", out, "-m", tiny, *words)
    assert call.code == 0
    assert (f"{method}: no network had a part" in call.err) == (method != "super-resolved")
    header = pydicom.dcmread(next(out.iterdir()), stop_before_pixels=True)
    assert f": {method}; " in header.DerivationDescription


def test_a_derived_series_says_that_slices_were_evened(
    arssr: Arssr, tiny: Path, tmp_path: Path
) -> None:
    bands = np.exp(0.06 * (-1.0) ** np.arange(12))
    stored = (2000 * anatomy((80, 88, 48))[..., 2::4] * bands).astype(np.uint16)
    write_series(tmp_path / "in", stored, Grid(stored.shape, np.diag([1, 1, 4, 1])))
    words = ("upsample", tmp_path / "in", "--scale", 1, 1, 2, "-m", tiny, "--even-slices")
    call = arssr(*words, "-o", tmp_path / "out.dicom")
    assert call.code == 0, call.err
    header = pydicom.dcmread(next((tmp_path / "out.dicom").iterdir()), stop_before_pixels=True)
    assert ": slices evened, super-resolved; " in header.DerivationDescription


def test_an_empty_mask_has_a_result_though_no_report(
    arssr: Arssr, dataset: Path, tiny: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As lesion masks of healthy persons are."""
    mask = Volume(np.zeros((8, 9, 5)), Grid((8, 9, 5), THICK), storage=Storage("uint8"))
    mask.write(dataset / "sub-01" / "anat" / "sub-01_label-lesion_mask.nii.gz")
    words = ("participant", "-s", "mask", "--scale", 2, "-m", tiny)
    call = arssr("bids", dataset, tmp_path / "out", *words)
    assert call.code == 0 and "1 of 1 done" in call.err
    assert "no report, the image is constant" in caplog.text
    [result] = (tmp_path / "out").rglob("*_mask.nii.gz")
    assert not values(result).any()


def test_probabilities_stay_between_0_and_1(arssr: Arssr, tiny: Path, tmp_path: Path) -> None:
    sharp = (smooth((8, 9, 5)) > 0.5).astype(np.float32)
    scan = volume(sharp, THICK).write(tmp_path / "sub-01_label-GM_probseg.nii.gz")
    out = tmp_path / "o.nii"
    call = arssr("upsample", scan, "-o", out, "--isotropic", "-m", tiny)
    assert call.code == 0 and "taken for probabilities" in call.err
    assert values(out).min() >= 0 and values(out).max() <= 1


def test_phase_is_refused(arssr: Arssr, tiny: Path, tmp_path: Path) -> None:
    scan = volume(smooth((8, 9, 5)), THICK).write(tmp_path / "sub-01_part-phase_GRE.nii.gz")
    grid = Grid((8, 9, 5), THICK)
    tags = {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}
    write_series(tmp_path / "dicom", np.zeros(grid.shape, np.int16), grid, **tags)
    for source in (scan, tmp_path / "dicom"):
        out = tmp_path / "o.nii"
        complaint = arssr("upsample", source, "-o", out, "--isotropic", "-m", tiny).complaint
        assert "holds phase" in complaint and not out.exists()


def test_a_data_set_has_each_done_as_what_it_is(
    arssr: Arssr, dataset: Path, tiny: Path, tmp_path: Path
) -> None:
    anat = dataset / "sub-01" / "anat"
    for part in ("mag", "phase"):
        volume(smooth((8, 9, 5)), THICK).write(anat / f"sub-01_part-{part}_T1w.nii.gz")
    nib.save(nib.Nifti1Image(LABELS, THICK), anat / "sub-01_dseg.nii.gz")
    sharp = (smooth((8, 9, 5)) > 0.5).astype(np.float32)
    volume(sharp, THICK).write(anat / "sub-01_label-GM_probseg.nii.gz")
    out = tmp_path / "out"
    words = ("bids", dataset, out, "participant", "--spacing", 1, "-m", tiny, "--no-report")
    for _ in range(2):
        call = arssr(*words, "-s", "T1w", "dseg", "probseg")
        assert call.code == 0, call.err
        assert "passed over: " in call.err and "part-phase" in call.err
        assert "0 failed, 1 passed over" in call.err
    assert len(list(out.rglob("*.nii.gz"))) == 3
    dseg = next(out.rglob("*dseg.nii.gz"))
    assert set(np.unique(values(dseg))) <= {0, 17, 34}
    said = json.loads((dseg.parent / dseg.name.replace(".nii.gz", ".json")).read_text())
    assert said["Resolution"] == "1×1×1 mm, resampled from 1×1×3 mm"
    assert "its name ends in dseg" in said["Description"]
    probseg = values(next(out.rglob("*probseg.nii.gz")))
    assert probseg.min() >= 0 and probseg.max() <= 1
    assert not list((out / "logs").glob("*"))


@pytest.mark.parametrize("target", ["--spacing 1 1 3", "--scale 1", "--shape 8 9 5", "--like"])
def test_a_scan_on_the_target_s_grid_comes_back_sample_for_sample(
    arssr: Arssr, tiny: Path, tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VoxelField, "finished", lambda *_: pytest.fail("it was computed"))
    frames = [900 * smooth((8, 9, 5), seed) for seed in range(2)]
    scan = volume(frames[0], THICK).write(tmp_path / "scan.nii.gz")
    both = write_frames(tmp_path / "both.nii", frames)
    for source, words in ((scan, ()), (scan, ("--consistent",)), (both, ("--frames",))):
        out = tmp_path / "o.nii"
        more = (scan,) if target == "--like" else ()
        call = arssr(
            "upsample", source, "-o", out, *target.split(), *more, "-m", tiny, *words, "--overwrite"
        )
        assert call.code == 0, call.err
        assert (values(out) == values(source)).all()
        assert json.loads((tmp_path / "o.json").read_text())["method"] == "copied"


def test_a_reference_with_reversed_axes_gets_the_samples_in_its_order(
    arssr: Arssr, tiny: Path, tmp_path: Path
) -> None:
    scan = volume(smooth((8, 9, 5)), THICK)
    scan.write(tmp_path / "scan.nii")
    grid = scan.grid.flipped([0, 2])
    Volume(np.zeros(grid.shape), grid).write(tmp_path / "reversed.nii")
    words = ("--like", tmp_path / "reversed.nii", "-m", tiny)
    assert arssr("upsample", tmp_path / "scan.nii", "-o", tmp_path / "o.nii", *words).code == 0
    assert (values(tmp_path / "o.nii") == scan.data[::-1, :, ::-1]).all()


@pytest.mark.parametrize("empty", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_constant_frame_stays_so_and_is_named(
    arssr: Arssr, tiny: Path, tmp_path: Path, empty: tuple
) -> None:
    frames = [smooth((8, 9, 5), seed) for seed in range(3)]
    full = write_frames(tmp_path / "full.nii", frames)
    for number in empty:
        frames[number] = np.full_like(frames[number], 7.5)
    scan, words = write_frames(tmp_path / "scan.nii", frames), ("--isotropic", "--frames", "-m")
    assert arssr("upsample", full, "-o", tmp_path / "full_SR.nii", *words, tiny).code == 0
    call = arssr("upsample", scan, "-o", tmp_path / "o.nii", *words, tiny)
    assert call.code == 0, call.err
    named = ", ".join(f"{number + 1} (every voxel is 7.5)" for number in empty)
    assert f"of 3 frames, constant ones stay so: {named}" in call.err
    made, expected = values(tmp_path / "o.nii"), values(tmp_path / "full_SR.nii")
    for number in range(3):
        is_right = made[..., number] == (7.5 if number in empty else expected[..., number])
        assert is_right.all()
    facts = json.loads((tmp_path / "o.json").read_text())
    assert ("told" in facts) == (len(empty) < 3)
    strict = arssr("upsample", scan, "-o", tmp_path / "s.nii", *words, tiny, "--strict")
    assert f"frame {empty[0] + 1} (every voxel is 7.5) of 3 is constant" in strict.complaint
    assert not (tmp_path / "s.nii").exists()


def test_a_dry_run_is_about_all_frames(arssr: Arssr, tiny: Path, tmp_path: Path) -> None:
    """Also where the first is a dummy, of which there is nothing to estimate."""
    scan = write_frames(tmp_path / "s.nii", [np.zeros((6, 5, 4)), *[smooth((6, 5, 4))] * 2])
    words = ("--scale", 2, "--frames", "-m", tiny, "-o", tmp_path / "o.nii", "--dry-run", "--json")
    [facts] = json.loads(arssr("upsample", scan, *words).out)
    assert facts["disk_bytes"] == 3 * 4 * 12 * 10 * 8 and facts["memory_bytes"]["peak"] > 0


def test_all_frames_must_fit_on_the_disk(
    arssr: Arssr, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before the first is computed."""
    scan = write_frames(tmp_path / "s.nii", [smooth((6, 5, 4), seed) for seed in range(3)])
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: SimpleNamespace(free=9_000))
    words = ("--scale", 2, "--frames", "-m", tiny, "-o", tmp_path / "o.nii")
    assert "takes 11.5 KB of disk" in arssr("upsample", scan, *words).complaint
    assert not (tmp_path / "o.nii").exists()


def test_frames_keep_their_residuals_where_some_are_constant(
    arssr: Arssr, tiny: Path, tmp_path: Path
) -> None:
    scan = write_frames(tmp_path / "s.nii", [np.zeros((6, 5, 4)), smooth((6, 5, 4), sigma=1)])
    words = ("--scale", 2, "--frames", "--consistent", "--noise", 0, "-m", tiny)
    call = arssr("upsample", scan, "-o", tmp_path / "o.nii", *words)
    assert call.code == 0 and "residual against the scan" in call.err


@pytest.mark.parametrize("name", ["s.nii.gz", "s.nrrd", "s.mha", "s.mgz"])
def test_a_frame_that_is_not_finite_is_named(
    arssr: Arssr, tiny: Path, tmp_path: Path, name: str
) -> None:
    frames = [smooth((6, 5, 4)) for _ in range(3)]
    frames[1][2, 2, 2] = np.nan
    data, path = np.stack(frames, axis=-1), tmp_path / name
    if name in ("s.nrrd", "s.mha"):
        sitk.WriteImage(sitk.GetImageFromArray(data.T, isVector=False), str(path))
    else:
        kind = nib.MGHImage if name == "s.mgz" else nib.Nifti1Image
        nib.save(kind(data, np.eye(4)), path)
    words = ("--frames", "--scale", 2, "-m", tiny)
    call = arssr("upsample", path, "-o", tmp_path / "o.nii", *words)
    complaint = call.err.splitlines()[-1]
    assert call.code == 1 and complaint.startswith("error: ")
    assert f"{name}, frame 2 of 3: there are NaN" in complaint


def test_a_model_does_the_same_in_python(tiny: Path, tmp_path: Path) -> None:
    model = Model(load(tiny), "cpu", "float32")
    scan = volume(smooth((8, 9, 5)), THICK)
    assert (model.upsample(scan, scale=1).data == scan.data).all()
    path = tmp_path / "sub-01_dseg.nii"
    nib.save(nib.Nifti1Image(LABELS, THICK), path)
    assert set(np.unique(model.upsample(path, isotropic=True).data)) <= {0, 17, 34}
    with pytest.raises(ArSSRError, match="holds labels"):
        model.field(path)
    phase = scan.write(tmp_path / "sub-01_part-phase_GRE.nii")
    with pytest.raises(ArSSRError, match="holds phase"):
        model.upsample(phase, scale=2)
