"""`arssr upsample` beyond one scalar 3D scan and a factor: targets, kinds of data, limits."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tests.cli.conftest import Arssr
from tests.formats.series import write_series
from tests.phantoms import anatomy, smooth, tiny_network, volume

from arssr.degradation import degrade, named_degradation
from arssr.field import VoxelField
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.volume import Volume
from arssr.weights.files import save_weights

THICK = np.diag([1.0, 1, 3, 1])


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Untrained weights whose card has a valid range."""
    path = tmp_path / "tiny.safetensors"
    card = {"name": "tiny", "valid": {"scale": [1, 4], "scale_of_one_thick_axis": [1, 6]}}
    save_weights(path, tiny_network(), card)
    return path


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return volume(smooth((8, 9, 5)), THICK).write(tmp_path / "scan.nii.gz")


def test_isotropic_takes_the_finest_spacing(
    arssr: Arssr, tiny: Path, scan: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.nii.gz"
    assert arssr("upsample", scan, "-o", out, "--isotropic", "-m", tiny).code == 0
    assert Volume.read(out).grid == Volume.read(scan).grid.isotropic()


def test_a_coarser_target_is_filtered_and_said_so(
    arssr: Arssr, tiny: Path, scan: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.nii.gz"
    result = arssr("upsample", scan, "-o", out, "--spacing", 3, "-m", tiny, "--json")
    assert json.loads(result.out)[0]["method"] == "resampled, anti-aliased"
    source, found = Volume.read(scan), Volume.read(out)
    assert np.allclose(found.data, resample(source, found.grid).data, atol=1e-4)


def test_no_label_is_invented_and_no_model_needed(arssr: Arssr, scan: Path, tmp_path: Path) -> None:
    labels = np.random.default_rng(0).choice([0, 3, 7], (8, 9, 5)).astype(np.int16)
    nib.save(nib.Nifti1Image(labels, THICK), tmp_path / "seg.nii.gz")
    out = tmp_path / "seg_SR.nii.gz"
    call = arssr("upsample", tmp_path / "seg.nii.gz", "-o", out, "--labels", "--isotropic")
    assert call.code == 0, call.err
    found = nib.load(out)
    assert found.get_data_dtype() == np.int16
    assert set(np.unique(found.dataobj)) == {0, 3, 7}
    assert Volume.read(out).grid == Volume.read(scan).grid.isotropic()


def test_labels_follow_a_warp(arssr: Arssr, tmp_path: Path) -> None:
    """ITK's displacements: LPS millimetres; -1 along x is one voxel to the right in RAS."""
    labels = np.random.default_rng(0).choice([0, 3, 7], (8, 9, 5)).astype(np.int16)
    nib.save(nib.Nifti1Image(labels, THICK), tmp_path / "seg.nii")
    field = np.zeros((8, 9, 5, 1, 3), np.float32)
    field[..., 0] = -1
    image = nib.Nifti1Image(field, THICK)
    image.header.set_intent("vector")
    nib.save(image, tmp_path / "warp.nii.gz")
    call = arssr(
        "upsample", tmp_path / "seg.nii", "-o", tmp_path / "out.nii", "--labels",
        "--like", tmp_path / "seg.nii", "--transform", tmp_path / "warp.nii.gz",
    )  # fmt: skip
    assert call.code == 0, call.err
    found = nib.load(tmp_path / "out.nii")
    assert found.get_data_dtype() == np.int16
    np.testing.assert_array_equal(np.asarray(found.dataobj)[:-1], labels[1:])


def test_every_frame_is_what_it_would_be_alone(arssr: Arssr, tiny: Path, tmp_path: Path) -> None:
    frames = [smooth((6, 5, 4), seed) for seed in range(3)]
    series = nib.Nifti1Image(np.stack(frames, axis=-1), np.eye(4))
    series.header.set_zooms((1, 1, 1, 2.5))
    nib.save(series, tmp_path / "bold.nii.gz")
    out = tmp_path / "bold_SR.nii.gz"
    call = arssr(
        "upsample", tmp_path / "bold.nii.gz", "-o", out, "--frames", "--scale", 2, "-m", tiny
    )
    assert call.code == 0, call.err
    found = nib.load(out)
    assert found.shape == (12, 10, 8, 3)
    assert found.header.get_zooms()[3] == 2.5
    volume(frames[1]).write(tmp_path / "one.nii.gz")
    arssr("upsample", tmp_path / "one.nii.gz", "-o", tmp_path / "o.nii", "--scale", 2, "-m", tiny)
    alone = Volume.read(tmp_path / "o.nii").data
    assert np.array_equal(np.asarray(found.dataobj[..., 1], np.float32), alone)


def test_leaving_the_valid_range_is_a_warning_or_an_error(
    arssr: Arssr, tiny: Path, scan: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.nii.gz"
    target = ("--scale", 1, 1, 9, "-m", tiny)
    call = arssr("upsample", scan, "-o", out, *target, "--strict")
    assert call.code == 1 and "trained for, 1 to 6" in call.err and not out.exists()
    call = arssr("upsample", scan, "-o", out, *target)
    assert call.code == 0 and "warning: a scale of 9 along k" in call.err
    assert json.loads((tmp_path / "out.json").read_text())["warnings"]


def test_a_range_of_intensities_that_hangs_on_few_voxels_is_a_warning_or_an_error(
    arssr: Arssr, tiny: Path, tmp_path: Path
) -> None:
    data = np.zeros((12, 12, 12), np.float32)
    data[6, 6, 6] = 7
    out = tmp_path / "out.nii.gz"
    call = ("upsample", volume(data).write(tmp_path / "scan.nii"), "-o", out, "--scale", 2)
    refused = arssr(*call, "-m", tiny, "--strict")
    assert refused.code == 1 and "fewer than 0.2 % of the voxels" in refused.err
    assert not out.exists()
    done = arssr(*call, "-m", tiny)
    assert done.code == 0 and "warning: fewer than 0.2 % of the voxels" in done.err
    told = json.loads((tmp_path / "out.json").read_text())["warnings"]
    assert told[0].startswith("fewer than 0.2 % of the voxels")


def test_slices_with_gaps_that_the_weights_have_not_seen_are_told(
    arssr: Arssr, tiny: Path, scan: Path, tmp_path: Path
) -> None:
    described = {"SliceThickness": 2, "SpacingBetweenSlices": 3, "MRAcquisitionType": "2D"}
    (tmp_path / "scan.json").write_text(json.dumps(described))
    out = tmp_path / "out.nii.gz"
    call = arssr("upsample", scan, "-o", out, "--isotropic", "-m", tiny, "--strict")
    assert call.code == 1 and "slices of 2 mm every 3 mm along k" in call.err and not out.exists()
    call = arssr("upsample", scan, "-o", out, "--isotropic", "-m", tiny, "--json")
    assert call.code == 0 and "warning: slices of 2 mm every 3 mm along k" in call.err
    [facts] = json.loads(call.out)
    assert facts["told"]["acquisition_ijk"] == ["kspace", "kspace", "unknown"]
    assert facts["told"]["because"] == facts["warnings"][0]
    assert facts["input"]["slices"]["thickness_mm"] == 2
    assert Volume.read(out).slices is None


@pytest.mark.parametrize(
    "way",
    [
        ("-m", "tiny"),
        ("--labels",),
        pytest.param(("-m", "tiny", "--jobs", 2), marks=pytest.mark.slow),
    ],
)
def test_a_file_that_contradicts_itself_is_a_warning_or_an_error(
    arssr: Arssr, tiny: Path, tmp_path: Path, way: tuple
) -> None:
    """Said on the terminal and in the sidecar, whatever is made of the scan and wherever."""
    image = nib.Nifti1Image(np.rint(900 * smooth((8, 9, 5))).astype(np.int16), THICK)
    image.set_qform(np.diag([1.0, 1, 5, 1]), 1)
    image.set_sform(THICK, 1)
    nib.save(image, tmp_path / "scan.nii.gz")
    words = [tiny if word == "tiny" else word for word in way]
    call = ("upsample", tmp_path / "scan.nii.gz", "-o", tmp_path / "out.nii.gz", "--isotropic")
    if "-m" in way and "--jobs" not in way:
        refused = arssr(*call, *words, "--strict")
        assert refused.code == 1 and "the sform is used" in refused.err
        assert not (tmp_path / "out.nii.gz").exists()
        foretold = arssr(*call, *words, "--dry-run", "--json")
        assert "warning: the sform has voxels of 1×1×3 mm" in foretold.err
        assert len(json.loads(foretold.out)[0]["warnings"]) == 2
    done = arssr(*call, *words)
    assert done.code == 0, done.err
    assert done.err.count("warning: the sform has voxels of 1×1×3 mm, but pixdim") == 1
    told = json.loads((tmp_path / "out.json").read_text())["warnings"]
    assert "up to 8 mm apart" in told[1]
    assert json.loads(arssr("info", tmp_path / "scan.nii.gz", "--json").out)["warnings"] == told


def test_what_is_doubtful_about_a_reference_is_told(
    arssr: Arssr, tiny: Path, scan: Path, tmp_path: Path
) -> None:
    like = tmp_path / "like.nii"
    image = nib.Nifti1Image(np.zeros((8, 9, 15), np.float32), np.eye(4))
    image.set_qform(np.diag([2.0, 1, 1, 1]), 1)
    image.set_sform(np.eye(4), 1)
    nib.save(image, like)
    call = ("upsample", scan, "-o", tmp_path / "out.nii", "--like", like, "-m", tiny)
    refused = arssr(*call, "--strict")
    assert refused.code == 1 and "like.nii: the sform has voxels of 1×1×1 mm" in refused.err
    done = arssr(*call)
    assert done.code == 0
    assert done.err.count("like.nii: the sform has voxels of 1×1×1 mm, but pixdim") == 1
    told = json.loads((tmp_path / "out.json").read_text())["warnings"]
    assert all(str(like) in each for each in told) and len(told) == 2


def test_more_frames_than_the_header_tells_of(arssr: Arssr, tiny: Path, tmp_path: Path) -> None:
    """Known only once the last is read."""
    image = nib.Nifti1Image(np.zeros((6, 5, 4, 3), np.float32), THICK)
    image.dataobj[2] = 1
    content = bytearray(image.to_bytes())
    content[48:50] = (2).to_bytes(2, "little")  # dim[4]
    (tmp_path / "bold.nii").write_bytes(content)
    out = tmp_path / "out.nii"
    call = ("upsample", tmp_path / "bold.nii", "-o", out, "--frames", "--scale", 2, "-m", tiny)
    assert arssr(*call, "--strict").code == 1 and not out.exists()
    done = arssr(*call)
    assert done.code == 0 and "lie behind the samples" in done.err
    assert nib.load(out).shape[3] == 2


def test_consistency_is_reported(arssr: Arssr, tiny: Path, scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.nii.gz"
    call = arssr(
        "upsample",
        scan,
        "-o",
        out,
        "--isotropic",
        "-m",
        tiny,
        "--consistent",
        "--noise",
        0,
        "--json",
    )
    facts = json.loads(call.out)[0]["consistency"]
    assert facts["residual_after"] < 1e-4 < facts["residual_before"]
    call = arssr(
        "upsample", scan, "-o", tmp_path / "b.nii", "--isotropic", "-m", tiny, "--consistent",
        "--noise", "unknown",
    )  # fmt: skip
    assert call.code == 1 and "noise level" in call.err


def test_where_nothing_is_refined_a_line_says_that_there_was_nothing_to_make_consistent(
    arssr: Arssr, tiny: Path, scan: Path, tmp_path: Path
) -> None:
    plain, out = tmp_path / "plain.nii", tmp_path / "out.nii"
    arssr("upsample", scan, "-o", plain, "--spacing", 4, "-m", tiny)
    call = arssr("upsample", scan, "-o", out, "--spacing", 4, "-m", tiny, "--consistent")
    assert call.code == 0 and "nothing to make consistent" in call.err
    assert Volume.read(out).data.tobytes() == Volume.read(plain).data.tobytes()


def test_a_scan_that_is_finer_in_its_planes_agrees_along_its_slices(
    arssr: Arssr, tiny: Path, tmp_path: Path
) -> None:
    scan = volume(100 * smooth((14, 15, 6), sigma=1), np.diag([0.72, 0.72, 4, 1]))
    path, out = scan.write(tmp_path / "flair.nii"), tmp_path / "out.nii"
    call = arssr(
        "upsample", path, "-o", out, "--spacing", 1, "-m", tiny, "--consistent", "--noise", 0,
    )  # fmt: skip
    assert call.code == 0 and "of its range, now less than 0.01 %" in call.err
    again = degrade(Volume.read(out), (1, 1, 4), named_degradation("slice"))
    in_plane = resample(scan, again.grid)
    np.testing.assert_allclose(again.data, in_plane.data, atol=1e-2)


@pytest.mark.parametrize("name", ["kspace", "slice"])
@pytest.mark.parametrize("scale", [(2, 2, 2), (1, 1, 3)])
def test_a_consistent_result_degraded_again_is_the_scan(
    arssr: Arssr, tiny: Path, tmp_path: Path, name: str, scale: tuple[int, int, int]
) -> None:
    truth = volume(smooth((12, 10, 18), sigma=1))
    scan = degrade(truth, scale, named_degradation(name))
    path, out = scan.write(tmp_path / "scan.nii.gz"), tmp_path / "out.nii.gz"
    call = arssr(
        "upsample", path, "-o", out, "--scale", *scale, "-m", tiny, "--consistent", "--noise", 0,
        "--acquisition", name, "--report",
    )  # fmt: skip
    assert call.code == 0, call.err
    again = degrade(Volume.read(out), scale, named_degradation(name))
    np.testing.assert_allclose(again.data, scan.data, atol=1e-4)
    residual = json.loads((tmp_path / "out.json").read_text())["consistency"]["residual_after"]
    missed = np.sqrt(np.mean((again.data - scan.data) ** 2)) / np.ptp(scan.data)
    assert missed < residual + 1e-5 < 1e-4
    assert "<dt>residual after</dt>" in (tmp_path / "out.html").read_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--scale 1 1 2 --acquisition unknown", "name its acquisition"),
        ("--scale 2 --noise unknown", "needs the noise level"),
    ],
)
def test_what_cannot_be_consistent_is_refused_before_the_work(
    arssr: Arssr,
    tiny: Path,
    scan: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    sentence: str,
) -> None:
    monkeypatch.setattr(VoxelField, "on", lambda *_: pytest.fail("it was computed"))
    out = tmp_path / "out.nii"
    call = arssr("upsample", scan, "-o", out, "-m", tiny, "--consistent", *words.split())
    assert sentence in call.complaint and not out.exists()


def test_consistency_is_about_the_scan_in_its_place(
    arssr: Arssr, tiny: Path, scan: Path, tmp_path: Path
) -> None:
    words = ("upsample", scan, "-o", tmp_path / "o.nii", "--like", scan, "-m", tiny, "--consistent")
    for more in (("--labels",), ("--transform", scan)):
        call = arssr(*words, *more)
        assert call.code == 2 and "--consistent" in call.err


def test_the_residual_of_frames_is_the_largest(arssr: Arssr, tiny: Path, tmp_path: Path) -> None:
    frames = [smooth((6, 5, 4), seed, sigma=1) for seed in range(2)]
    residuals = []
    for name, chosen in (("0", frames[:1]), ("1", frames[1:]), ("all", frames)):
        path = tmp_path / f"{name}.nii"
        nib.save(nib.Nifti1Image(np.stack(chosen, axis=-1), np.eye(4)), path)
        call = arssr(
            "upsample", path, "-o", tmp_path / f"{name}_SR.nii", "--scale", 2, "-m", tiny,
            "--frames", "--consistent", "--noise", 0,
        )  # fmt: skip
        assert call.code == 0, call.err
        facts = json.loads((tmp_path / f"{name}_SR.json").read_text())["consistency"]
        residuals.append(facts["residual_before"])
    assert residuals[0] != residuals[1] and residuals[2] == max(residuals[:2])


def test_a_transform_moves_the_result(arssr: Arssr, tiny: Path, scan: Path, tmp_path: Path) -> None:
    """FSL's matrices are in scaled voxels; a shift by whole millimetres is the same everywhere."""
    shift = np.eye(4)
    shift[0, 3] = 2
    np.savetxt(tmp_path / "shift.mat", shift)
    reference = volume(np.zeros((8, 9, 5)), THICK).write(tmp_path / "reference.nii")
    plain, moved = tmp_path / "plain.nii", tmp_path / "moved.nii"
    arssr("upsample", scan, "-o", plain, "--like", reference, "-m", tiny)
    call = arssr(
        "upsample", scan, "-o", moved, "--like", reference, "-m", tiny,
        "--transform", tmp_path / "shift.mat",
    )  # fmt: skip
    assert call.code == 0, call.err
    a, b = Volume.read(plain).data, Volume.read(moved).data
    misses = [np.abs(b[2:6] - a[4:]).max(), np.abs(b[2:6] - a[:4]).max()]
    assert min(misses) < 0.05 * np.ptp(a) < max(misses)
    foretold = arssr(
        "upsample", scan, "-o", tmp_path / "dry.nii", "--like", reference, "-m", tiny,
        "--transform", tmp_path / "shift.mat", "--dry-run",
    )  # fmt: skip
    assert foretold.code == 0, foretold.err
    assert "8×9×5 voxels" in foretold.err and " of disk" in foretold.err
    assert "time are not estimated where a transform" in foretold.err
    assert not (tmp_path / "dry.nii").exists()
    call = arssr("upsample", scan, "-o", moved, "--scale", 2, "--transform", tmp_path / "shift.mat")
    assert call.code == 2 and "--like" in call.err


def test_a_transform_that_leads_beside_the_scan_is_refused(
    arssr: Arssr, tiny: Path, scan: Path, tmp_path: Path
) -> None:
    """As one may that leads the other way: nothing but air would come of it."""
    shift = np.eye(4)
    shift[0, 3] = 40
    np.savetxt(tmp_path / "shift.mat", shift)
    field = np.zeros((8, 9, 5, 1, 3), np.float32)
    field[..., 2] = 40
    image = nib.Nifti1Image(field, THICK)
    image.header.set_intent("vector")
    nib.save(image, tmp_path / "warp.nii.gz")
    for name in ("shift.mat", "warp.nii.gz"):
        call = arssr(
            "upsample", scan, "-o", tmp_path / "out.nii", "--like", scan, "-m", tiny,
            "--transform", tmp_path / name,
        )  # fmt: skip
        assert call.code == 1 and "outside the scan's field of view" in call.complaint
        assert "the other way" in call.complaint and not (tmp_path / "out.nii").exists()


def test_a_field_of_places_leads_where_it_says_and_to_air_beyond(
    arssr: Arssr, tiny: Path, scan: Path, tmp_path: Path
) -> None:
    """As SPM's y_*.nii: RAS millimetres in the scan. The reference is longer than the field."""
    here = Volume.read(scan).grid.to_world(np.moveaxis(np.indices((8, 9, 5)), 0, -1))
    image = nib.Nifti1Image((here + np.array([2, 0, 0]))[:, :, :, None].astype("f4"), THICK)
    image.header["descrip"] = "Deformation"
    nib.save(image, tmp_path / "y_scan.nii")
    nib.save(nib.Nifti1Image(np.zeros((8, 15, 5, 2)), THICK), tmp_path / "bold.nii")
    labels = nib.Nifti1Image(np.random.default_rng(0).integers(1, 4, (8, 9, 5)).astype("i2"), THICK)
    nib.save(labels, tmp_path / "seg.nii")
    words = ("--like", tmp_path / "bold.nii", "--transform", tmp_path / "y_scan.nii")
    call = arssr("upsample", tmp_path / "seg.nii", "-o", tmp_path / "l.nii", "--labels", *words)
    assert call.code == 0, call.err
    found = np.asarray(nib.load(tmp_path / "l.nii").dataobj)
    np.testing.assert_array_equal(found[:-2, :9], np.asarray(labels.dataobj)[2:])
    assert not found[:, 9:].any()
    call = arssr("upsample", scan, "-o", tmp_path / "s.nii", "-m", tiny, *words)
    assert call.code == 0, call.err
    made, source = Volume.read(tmp_path / "s.nii").data, Volume.read(scan).data
    assert np.abs(made[:-3, 1:8] - source[2:-1, 1:8]).mean() < 0.1 * np.ptp(source)
    np.testing.assert_allclose(made[:, 12:], made[0, 14, 0], atol=1e-6)


REFERENCES = {
    "4D": np.zeros((10, 9, 8, 3), np.float32),
    "vectors": np.zeros((10, 9, 8, 1, 3), np.float32),
    "NaN": np.full((10, 9, 8), np.nan, np.float32),
    "complex": np.zeros((10, 9, 8), np.complex64),
    "colours": np.zeros((10, 9, 8), [("R", "u1"), ("G", "u1"), ("B", "u1")]),
    "labels": np.ones((10, 9, 8), np.uint8),
}


@pytest.mark.parametrize("kind", REFERENCES)
def test_a_reference_lends_its_grid_whatever_its_samples_are(
    arssr: Arssr, tiny: Path, scan: Path, tmp_path: Path, kind: str
) -> None:
    nib.save(nib.Nifti1Image(REFERENCES[kind], np.eye(4)), tmp_path / "reference.nii.gz")
    words = ("--like", tmp_path / "reference.nii.gz", "-m", tiny)
    call = arssr("upsample", scan, "-o", tmp_path / "out.nii", *words)
    assert call.code == 0, call.err
    assert Volume.read(tmp_path / "out.nii").grid == Grid((10, 9, 8), np.eye(4))


@pytest.mark.parametrize("packed", [False, True])
def test_a_dicom_series_is_a_reference_too(
    arssr: Arssr, tiny: Path, scan: Path, tmp_path: Path, packed: bool
) -> None:
    grid = Grid((10, 9, 8), np.eye(4))
    reference = tmp_path / "series"
    write_series(reference, np.zeros(grid.shape, np.int16), grid)
    if packed:
        reference = Path(shutil.make_archive(str(reference), "zip", reference))
    out = tmp_path / "out.nii"
    call = arssr("upsample", scan, "-o", out, "--like", reference, "-m", tiny)
    assert call.code == 0, call.err
    assert Volume.read(out).grid.matches(grid)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [((), "scan.nii.gz: is not a DICOM series"), (("--frames",), "a DICOM series is one 3D image")],
)
def test_a_series_that_cannot_be_written_is_refused_before_the_work(
    arssr: Arssr, tiny: Path, scan: Path, tmp_path: Path, words: tuple, sentence: str
) -> None:
    out = tmp_path / "out.dicom"
    call = arssr("upsample", scan, "-o", out, "--scale", 2, "-m", tiny, *words)
    assert sentence in call.complaint and not out.exists()


def test_the_report_of_labels_shows_no_interpolation_between_them(
    arssr: Arssr, tmp_path: Path
) -> None:
    labels = np.random.default_rng(0).choice([0, 3, 7], (8, 9, 5)).astype(np.int16)
    nib.save(nib.Nifti1Image(labels, THICK), tmp_path / "seg.nii")
    words = ("upsample", tmp_path / "seg.nii", "-o", tmp_path / "out.nii", "--labels", "--report")
    assert arssr(*words, "--isotropic").code == 0
    assert "cubic" not in (tmp_path / "out.html").read_text().split("<script")[0]


def test_slices_are_evened_on_demand_and_that_is_told(
    arssr: Arssr, tiny: Path, tmp_path: Path
) -> None:
    """Of frames the factors are those of the one that was the least even."""
    clean = 200 * anatomy((80, 88, 48))[..., 2::4]
    gains = 0.06 * (-1.0) ** np.arange(clean.shape[2])
    affine = np.diag([1, 1, 4, 1])
    images = {"one": clean * np.exp(gains), "both": np.stack([clean, clean * np.exp(gains)], -1)}
    evened = {}
    for name, data in images.items():
        nib.save(nib.Nifti1Image(data.astype(np.float32), affine), tmp_path / f"{name}.nii")
        line = ("upsample", tmp_path / f"{name}.nii", "--scale", 1, 1, 2, "-m", tiny)
        frames = ["--frames"] * (name == "both")
        call = arssr(*line, "-o", tmp_path / f"{name}_SR.nii", "--even-slices", *frames)
        assert call.code == 0 and "slices along k were evened" in call.err
        facts = json.loads((tmp_path / f"{name}_SR.json").read_text())
        assert facts["options"]["even_slices"] is True
        evened[name] = facts["even_slices"]
    assert evened["both"].pop("frame") == 2
    assert evened["both"].pop("in_words").startswith("frame 2 of 2, the least even: slices along k")
    assert evened["one"].items() >= evened["both"].items()
    inner = slice(2, -2)
    assert np.std((np.log(evened["one"]["factors"]) - gains)[inner]) < 0.02
    line = ("upsample", tmp_path / "one.nii", "--scale", 1, 1, 2, "-m", tiny, "--report")
    page = arssr(*line, "-o", tmp_path / "page.nii", "--even-slices")
    assert page.code == 0 and "differs from it, evened, by" in (tmp_path / "page.html").read_text()
    refused = arssr(*line[:-1], "-o", tmp_path / "no.nii", "--even-slices", "--labels")
    assert refused.code == 2 and "--even-slices" in refused.err
