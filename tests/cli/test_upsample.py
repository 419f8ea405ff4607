"""`arssr upsample` as a person calls it: files, folders, targets, and every way it can go wrong."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from tests.phantoms import anatomy, smooth, tiny_network, volume, zero_filled

from arssr import api
from arssr.cli import console
from arssr.engine.encoding.encode import encode_box
from arssr.field import VoxelField
from arssr.files import sha256
from arssr.grid import Grid
from arssr.identity import samples_sha256
from arssr.upsampling import room
from arssr.volume import Storage, Volume
from arssr.weights.files import load_weights, save_reference, save_weights
from arssr.weights.registry import Weights

from .conftest import Arssr

Nibabel = nib.spatialimages.SpatialImage


def files(folder: Path) -> set[str]:
    """Everything in a folder, hidden and temporary files included."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder for results; empty."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


# --- what is made --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("--scale 2", lambda g: g.scaled(2)),
        ("--scale 1 1 5", lambda g: g.scaled((1, 1, 5))),
        ("--scale 1x1x5", lambda g: g.scaled((1, 1, 5))),
        ("--scale=1,1,2.5", lambda g: g.scaled((1, 1, 2.5))),
        ("--spacing 0.7", lambda g: g.with_spacing(0.7)),
        ("--spacing 0.7 .8 1", lambda g: g.with_spacing((0.7, 0.8, 1))),
        ("--shape 7 8 9", lambda g: g.with_shape((7, 8, 9))),
    ],
)
def test_every_target_on_exactly_the_file_named(
    arssr: Arssr,
    scan: Path,
    tiny: Path,
    out: Path,
    target: str,
    expected: Callable[[Grid], Grid],
) -> None:
    result = arssr("upsample", scan, *target.split(), "-o", out / "new" / "sharp.nii", "-m", tiny)
    assert result.code == 0, result.err
    assert files(out) == {"new/sharp.nii", "new/sharp.json"}
    written = Volume.read(out / "new" / "sharp.nii")
    assert written.grid.matches(expected(Volume.read(scan).grid))
    assert result.out == "" and str(out / "new" / "sharp.nii") in result.err


def test_like_a_reference_in_another_orientation(
    arssr: Arssr, scan: Path, tiny: Path, out: Path, tmp_path: Path
) -> None:
    grid = Volume.read(scan).grid
    index_map = np.array([[0, 0, -0.5, 4], [0.5, 0, 0, 0], [0, 0.25, 0, 0], [0, 0, 0, 1.0]])
    reference = volume(np.zeros((12, 16, 10)), grid.affine @ index_map)
    path = reference.write(tmp_path / "reference.nii")
    result = arssr("upsample", scan, "--like", path, "-o", out / "a.nii", "-m", tiny)
    assert result.code == 0, result.err
    assert Volume.read(out / "a.nii").grid.matches(reference.grid)


def test_a_feature_keeps_its_millimetres_in_the_files(
    arssr: Arssr, tiny: Path, out: Path, tmp_path: Path
) -> None:
    """Read by nibabel alone, oblique and flipped: the qform, the sform, the bright spot."""
    affine = nib.affines.from_matvec(
        nib.eulerangles.euler2mat(0.3, -0.2, 0.5) * [-1, 1, 3], [10, -20, 30]
    )
    index = np.moveaxis(np.indices((15, 16, 13)), 0, -1)
    spot = np.array([7.4, 6.8, 6.3])
    blob = np.exp(-0.5 * ((index - spot) ** 2).sum(axis=-1) / 1.4**2)
    scan = nib.Nifti1Image(np.rint(1000 * blob).astype(np.int16), affine)
    nib.save(scan, tmp_path / "spot.nii.gz")
    sharp = out / "spot.nii.gz"
    words = ("upsample", tmp_path / "spot.nii.gz", "-o", sharp, "-m", tiny, "--noise", "unknown")
    assert arssr(*words, "--scale", 1.3, 1, 3).code == 0
    result = nib.load(sharp)
    assert result.get_data_dtype() == np.int16 and result.shape == (20, 16, 39)
    np.testing.assert_allclose(result.get_qform(), result.get_sform(), atol=1e-4)
    weight = np.clip(result.get_fdata() - 100, 0, None)
    centre = [(weight * np.indices(result.shape)[a]).sum() / weight.sum() for a in range(3)]
    found = nib.affines.apply_affine(result.affine, centre)
    place = nib.affines.apply_affine(np.linalg.inv(affine), found)
    np.testing.assert_allclose(place, spot, atol=0.08)


def test_units_and_integers_survive(arssr: Arssr, tiny: Path, out: Path, tmp_path: Path) -> None:
    """Hounsfield-like: int16, slope 2, intercept -1024, most of it negative."""
    data = (1500 * smooth((8, 8, 8), sigma=1) - 1200).astype(np.float32)
    grid = volume(data).grid
    scan = Volume(data, grid, storage=Storage("int16", 2, -1024))
    path = scan.write(tmp_path / "ct.nii")
    assert arssr("upsample", path, "-o", out / "ct.nii", "--scale", 2, "-m", tiny).code == 0
    result = Volume.read(out / "ct.nii")
    stored = result.storage
    assert (stored.dtype, stored.slope, stored.inter) == (np.int16, 2, -1024)
    assert abs(result.data.mean() - data.mean()) < 60
    assert result.data.min() < -1000 and result.data.max() > 100


def test_the_sidecar_says_how_it_was_made(arssr: Arssr, scan: Path, tiny: Path, out: Path) -> None:
    words = ("upsample", scan, "-o", out / "a.nii.gz", "-m", tiny, "--scale", 1, 1, 2)
    assert arssr(*words, "--noise", 0.02, "--acquisition", "slice", "--device", "cpu").code == 0
    facts = json.loads((out / "a.json").read_text())
    assert facts["options"] == {"scale": [1, 1, 2], "acquisition": "slice", "noise": 0.02}
    assert facts["input"]["file"] == "head.nii.gz" and facts["input"]["sha256"] == sha256(scan)
    assert facts["model"]["sha256"] == sha256(tiny) and facts["model"]["name"] == "tiny"
    assert facts["output"]["shape"] == [5, 6, 8] and facts["device"] == "cpu"
    assert facts["seconds"] > 0


def test_json_alone_on_standard_output(
    arssr: Arssr, scan: Path, tiny: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a progress bar on standard error, as on a terminal."""
    monkeypatch.setattr(console.stderr, "_force_terminal", True)
    result = arssr("upsample", scan, "-o", out / "a.nii", "--scale", 2, "-m", tiny, "--json")
    assert result.code == 0 and "head.nii.gz: " in result.err
    [facts] = json.loads(result.out)
    assert (facts["scan"], facts["result"]) == (str(scan), str(out / "a.nii"))
    assert facts["output"]["shape"] == [10, 12, 8]
    assert facts["input"]["shape"] == [5, 6, 4]


def test_no_bar_where_nobody_watches(arssr: Arssr, scan: Path, tiny: Path, out: Path) -> None:
    result = arssr("upsample", scan, "-o", out / "a.nii", "--scale", 2, "-m", tiny)
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    "name", ["my scan.nii.gz", "Schädel Ω 頭.nii", "a [bold] [ b.nii", "-.nii"]
)
def test_names_with_spaces_brackets_and_unicode(
    arssr: Arssr, tiny: Path, out: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.stderr, "_force_terminal", True)
    scan = volume(smooth((4, 4, 4))).write(tmp_path / "scans of mine" / name)
    result = arssr("upsample", scan, "-o", out, "--scale", 2, "-m", tiny)
    assert result.code == 0, result.err
    assert f"{name}: " in result.err
    stem, suffix = name.split(".", 1)
    assert files(out) == {f"{stem}_SR.{suffix}", f"{stem}_SR.json"}
    assert json.loads((out / f"{stem}_SR.json").read_text())["input"]["file"] == name


def test_a_folder_gives_a_folder(arssr: Arssr, tiny: Path, out: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    for name in ("b.nii", "a.nii.gz", ".hidden.nii", "C.NII.GZ"):
        volume(smooth((4, 4, 4))).write(folder / name)
    (folder / "notes.txt").write_text("no scan")
    result = arssr("upsample", folder, "-o", out / "new", "--spacing", 0.5, "-m", tiny, "--json")
    assert result.code == 0, result.err
    images = {"new/a_SR.nii.gz", "new/b_SR.nii", "new/C_SR.NII.GZ"}
    assert files(out) == images | {"new/a_SR.json", "new/b_SR.json", "new/C_SR.json"}
    assert len(json.loads(result.out)) == 3


def test_several_scans_and_the_model_loaded_once(
    arssr: Arssr, tiny: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = [volume(smooth((4, 4, 4))).write(tmp_path / f"{n}.nii") for n in range(3)]
    counts = {"load": 0, "encode": 0}
    load = api.load

    def counted_load(*args: object) -> object:
        counts["load"] += 1
        return load(*args)  # type: ignore[arg-type]

    def counted_encode(*args: object) -> object:
        counts["encode"] += 1
        return encode_box(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(api, "load", counted_load)
    monkeypatch.setattr("arssr.engine.features.encode_box", counted_encode)
    assert arssr("upsample", *scans, "-o", out, "--scale", 2, "-m", tiny).code == 0
    assert len(files(out)) == 6 and counts == {"load": 1, "encode": 3}


def test_a_folder_gives_what_its_scans_give_one_by_one(
    arssr: Arssr, tiny: Path, out: Path, tmp_path: Path
) -> None:
    names = [f"{n}.nii" for n in range(3)]
    for n, name in enumerate(names):
        volume(100 * smooth((5, 6, 4 + n), seed=n, sigma=1)).write(tmp_path / "scans" / name)
    words = ("--scale", 2, "-m", tiny)
    assert arssr("upsample", tmp_path / "scans", "-o", out / "all", *words).code == 0
    for name in names:
        assert arssr("upsample", tmp_path / "scans" / name, "-o", out / name, *words).code == 0
        together = out / "all" / name.replace(".nii", "_SR.nii")
        assert together.read_bytes() == (out / name).read_bytes()


def test_a_dry_run_says_what_it_would_take_and_makes_nothing(
    arssr: Arssr, scan: Path, tiny: Path, out: Path
) -> None:
    words = ("upsample", scan, "-o", out / "a.nii", "--scale", 2, "-m", tiny, "--dry-run")
    result = arssr(*words)
    assert result.code == 0 and result.out == ""
    [line] = result.err.splitlines()
    assert re.search(
        r"a\.nii  10×12×8 voxels of 0\.5×0\.5×0\.5 mm  \d.* of memory  up to 3\.84 KB of disk  "
        r"about \S+ s",
        line,
    )
    [facts] = json.loads(arssr(*words, "--json", "--memory", "2GB").out)
    assert facts["output"]["shape"] == [10, 12, 8] and facts["disk_bytes"] == 3840
    memory = facts["memory_bytes"]
    assert memory["budget"] == 2e9 and memory["resident_now"] < memory["peak"] < 2e9
    assert facts["seconds"] > 0 and facts["encode_flops"] > facts["decode_flops"] > 0
    assert not files(out)


def test_an_ensemble_is_another_result_and_its_sidecar_says_so(
    arssr: Arssr, scan: Path, tiny: Path, out: Path
) -> None:
    words = ("upsample", scan, "--scale", 2, "-m", tiny)
    made, taken = {}, {}
    for members in (1, 4, 8):
        path = out / f"{members}.nii"
        asked = (*words, "-o", path, "--ensemble", members)
        [taken[members]] = json.loads(arssr(*asked, "--dry-run", "--json").out)
        assert arssr(*asked).code == 0
        made[members] = Volume.read(path)
        options = json.loads(path.with_suffix(".json").read_text())["options"]
        assert options.get("ensemble", 1) == members
    assert arssr(*words, "-o", out / "plain.nii").code == 0
    assert (out / "plain.nii").read_bytes() == (out / "1.nii").read_bytes()
    assert np.abs(made[4].data - made[1].data).max() > 0
    assert np.abs(made[8].data - made[4].data).max() > 0
    for members in (4, 8):
        for name in ("encode_flops", "decode_flops"):
            assert taken[members][name] == members * taken[1][name]
        assert taken[members]["seconds"] > taken[1]["seconds"]
        assert (
            taken[members]["memory_bytes"]["held"]
            == taken[1]["memory_bytes"]["held"] + 4 * 8 * 120 + 5 * 120 + 50e6
        )


def test_an_ensemble_frame_by_frame_and_made_to_agree(
    arssr: Arssr, tiny: Path, out: Path, tmp_path: Path
) -> None:
    frames = np.stack([100 * smooth((5, 6, 4), seed=n, sigma=1) for n in range(2)], axis=-1)
    nib.save(nib.Nifti1Image(frames, np.eye(4)), tmp_path / "bold.nii")
    words = ("--scale", 2, "-m", tiny, "--ensemble", 4, "--noise", 0, "--consistent")
    result = arssr("upsample", tmp_path / "bold.nii", "-o", out / "a.nii", "--frames", *words)
    assert result.code == 0, result.err
    assert nib.load(out / "a.nii").shape == (10, 12, 8, 2)


def test_air_is_skipped_unless_told_otherwise(
    arssr: Arssr, tiny: Path, out: Path, tmp_path: Path
) -> None:
    data = np.zeros((20, 20, 20), np.float32)
    data[8:12, 8:12, 8:12] = 100 * smooth((4, 4, 4), sigma=1)
    path = volume(data).write(tmp_path / "head.nii")
    shares = []
    for name, extra in (("a.nii", ()), ("b.nii", ("--no-skip",))):
        words = ("upsample", path, "-o", out / name, "--scale", 2, "-m", tiny, *extra)
        assert arssr(*words).code == 0
        shares.append(json.loads((out / name).with_suffix(".json").read_text())["air_skipped"])
    assert shares[0] == pytest.approx(1 - 8**3 / 20**3, abs=0.1) and shares[1] == 0


def test_a_report_that_does_not_fit_is_left_out_in_words(
    arssr: Arssr,
    scan: Path,
    tiny: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(room, "available_bytes", lambda: 5000)
    words = ("upsample", scan, "-o", out / "a.nii", "--scale", 2, "-m", tiny, "--report")
    assert arssr(*words).code == 0
    assert files(out) == {"a.nii", "a.json"} and "a.html: no report" in caplog.text


def test_a_report_beside_the_result(arssr: Arssr, scan: Path, tiny: Path, out: Path) -> None:
    words = ("upsample", scan, "-o", out / "a.nii", "--scale", 2, "-m", tiny, "--report")
    assert arssr(*words).code == 0
    assert files(out) == {"a.nii", "a.json", "a.html"}
    page = (out / "a.html").read_text()
    assert f"<title>{scan.name.split('.')[0]} · ArSSR</title>" in page
    assert "2 times finer foot–head (k)" in page.split('id="viewer"')[0]
    assert "Measured again as the scan was" in page
    (out / "a.nii").unlink()
    (out / "a.json").unlink()
    assert "a.html: exists already" in arssr(*words).complaint


# --- once more ------------------------------------------------------------------------------------


def test_skip_existing_goes_on_where_a_run_stopped(
    arssr: Arssr, tiny: Path, out: Path, tmp_path: Path
) -> None:
    for name in ("a.nii.gz", "s/b.nii", "s/c.nrrd"):
        volume(smooth((4, 4, 4))).write(tmp_path / "in" / name)
    words = ("upsample", tmp_path / "in", "-o", out, "--scale", 2, "-m", tiny)
    assert arssr(*words).code == 0
    (out / "s" / "b_SR.nii").unlink()
    (out / "s" / "b_SR.json").unlink()
    kept = {name: (out / name).stat().st_mtime_ns for name in files(out)}
    refused = arssr(*words)
    assert refused.code == 1 and "1 of 3 done, 2 failed" in refused.err
    assert "--skip-existing goes on with the rest" in refused.err
    (out / "s" / "b_SR.nii").unlink()
    (out / "s" / "b_SR.json").unlink()
    again = arssr(*words, "--skip-existing", "--json")
    assert again.code == 0 and "1 of 3 done, 2 were done before, 0 failed" in again.err
    assert [each.get("done") for each in json.loads(again.out)] == ["before", None, "before"]
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == kept
    assert "0 of 3 done, 3 were done before" in arssr(*words, "--skip-existing").err


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (("--scale", 3), "before the options changed; --overwrite makes it again"),
        (("--scale", 2, "--acquisition", "slice"), "before the options changed"),
        (("--scale", 2, "--noise", 0, "--consistent"), "before the options changed"),
        (("--scale", 2, "--no-skip"), "before the options changed"),
        (("--scale", 2, "--labels"), "before the weights and the options changed"),
        (("--scale", 2, "--strict", "--memory", "2GB", "--json"), None),
    ],
)
def test_skip_existing_refuses_what_another_request_made(
    arssr: Arssr, scan: Path, tiny: Path, out: Path, other: tuple[object, ...], reason: str | None
) -> None:
    words = ("upsample", scan, "-o", out / "a.nii", "-m", tiny)
    assert arssr(*words, "--scale", 2).code == 0
    before = (out / "a.nii").read_bytes()
    again = arssr(*words, *other, "--skip-existing")
    if reason is None:
        assert again.code == 0 and "1 were done before" in again.err
    else:
        assert reason in again.complaint
    volume(smooth((5, 6, 4), seed=3)).write(scan, overwrite=True)
    changed = arssr(*words, "--scale", 2, "--skip-existing")
    assert "before the scan changed" in changed.complaint
    assert (out / "a.nii").read_bytes() == before


def test_skip_existing_replaces_nothing_of_which_nothing_is_known(
    arssr: Arssr, scan: Path, tiny: Path, out: Path
) -> None:
    words = ("upsample", scan, "-o", out / "a.nii", "--scale", 2, "-m", tiny, "--skip-existing")
    (out / "a.nii").write_text("precious")
    assert "a.nii: exists already" in arssr(*words).complaint
    (out / "a.json").write_text('{"EchoTime": 0.01}')
    assert "exists already" in arssr(*words).complaint
    assert (out / "a.nii").read_text() == "precious"
    assert arssr(*words, "--overwrite").code == 2


def test_skip_existing_makes_anew_what_was_killed_before_its_sidecar(
    arssr: Arssr, scan: Path, tiny: Path, out: Path
) -> None:
    words = ("upsample", scan, "-o", out / "a.nii", "--scale", 2, "-m", tiny, "--skip-existing")
    (out / "a.nii").write_text("whole, but who knows of what")
    (out / ".arssr-00000000-abcdefgh.a.json").touch()
    assert arssr(*words).code == 0 and Volume.read(out / "a.nii").grid.shape == (10, 12, 8)


def test_skip_existing_makes_a_report_that_is_missing(
    arssr: Arssr, scan: Path, tiny: Path, out: Path, tmp_path: Path
) -> None:
    words = ("upsample", scan, "-o", out / "a.nii", "--scale", 2, "-m", tiny, "--skip-existing")
    assert arssr(*words).code == 0
    assert arssr(*words, "--report").code == 0 and (out / "a.html").exists()
    assert "1 were done before" in arssr(*words, "--report").err


def test_skip_existing_knows_files_by_whichever_path(
    arssr: Arssr, scan: Path, tiny: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scan.parent)
    words = ("upsample", scan.name, "-o", out / "a.nii", "-m", tiny, "--skip-existing")
    assert arssr(*words, "--like", scan.name).code == 0
    assert "1 were done before" in arssr(*words, "--like", scan).err


# --- what is refused -----------------------------------------------------------------------------


def image(data: np.ndarray, affine: np.ndarray | None = None) -> nib.Nifti1Image:
    return nib.Nifti1Image(data, np.eye(4) if affine is None else affine)


def with_nan() -> np.ndarray:
    data = smooth((4, 4, 4))
    data[1, 2, 3] = np.nan
    return data


def singular() -> nib.Nifti1Image:
    flat = image(smooth((4, 4, 4)))
    flat.header["srow_z"] = flat.header["srow_y"]
    flat.header["sform_code"], flat.header["qform_code"] = 1, 0
    return nib.Nifti1Image(flat.dataobj, None, flat.header)


RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
BAD_IMAGES: dict[str, tuple[Callable[[], nib.Nifti1Image], str]] = {
    "2D": (lambda: image(smooth((4, 4, 1))[..., 0]), "2D"),
    "RGB": (lambda: image(np.zeros((4, 4, 4), RGB)), "RGB"),
    "complex": (lambda: image(smooth((4, 4, 4)).astype(np.complex64)), "complex"),
    "4D": (lambda: image(smooth((4, 4, 8)).reshape(4, 4, 4, 2)), "4D .*four_to_three"),
    "NaN": (lambda: image(with_nan()), "NaN"),
    "constant": (lambda: image(np.full((4, 4, 4), 3, np.int16)), "constant"),
    "singular": (singular, "singular"),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_images_that_are_refused(
    arssr: Arssr, tiny: Path, out: Path, tmp_path: Path, kind: str
) -> None:
    make, reason = BAD_IMAGES[kind]
    nib.save(make(), tmp_path / "bad.nii.gz")
    result = arssr(
        "upsample", tmp_path / "bad.nii.gz", "-o", out / "a.nii", "--scale", 2, "-m", tiny
    )
    assert "bad.nii.gz" in result.complaint
    assert not files(out)
    assert re.search(reason, result.complaint)


@pytest.mark.parametrize("damage", ["text", "truncated", "empty", "short", "missing", "folder"])
def test_files_that_are_refused(
    arssr: Arssr, scan: Path, tiny: Path, out: Path, tmp_path: Path, damage: str
) -> None:
    bad = tmp_path / "bad.nii.gz"
    if damage == "text":
        bad.write_text("this is not an image")
    elif damage == "truncated":
        bad.write_bytes(scan.read_bytes()[:-60])
    elif damage == "empty":
        bad.touch()
    elif damage == "short":
        bad = volume(smooth((9, 9, 9))).write(tmp_path / "bad.nii")
        bad.write_bytes(bad.read_bytes()[:-7])
    elif damage == "folder":
        bad.mkdir()
    result = arssr("upsample", bad, "-o", out / "a.nii", "--scale", 2, "-m", tiny)
    assert bad.name in result.complaint
    assert not files(out)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("--scale 0", "greater than 0"),
        ("--scale -2", "greater than 0"),
        ("--scale 1 1 0", "greater than 0"),
        ("--scale 1e400", "finite"),
        ("--scale 1e5", "voxels takes .* TB of disk"),
        ("--spacing 0", "greater than 0"),
        ("--spacing 1e-6", "voxels takes .* TB of disk"),
        ("--shape 0 4 4", "at least 1"),
        ("--shape 99999999", "voxels takes .* TB of disk"),
        ("--like nothing.nii", "no such file"),
        ("--scale 2 --device abacus", "no device 'abacus'"),
        ("--scale 2 --model nothing", "no weights 'nothing'"),
        ("--scale 2 --model nothing.safetensors", "no such weight file"),
    ],
)
def test_targets_and_options_that_cannot_be(
    arssr: Arssr, scan: Path, tiny: Path, out: Path, target: str, reason: str
) -> None:
    words = ("upsample", scan, "-o", out / "a.nii", "-m", tiny)
    complaint = arssr(*words, *target.split()).complaint
    assert re.search(reason, complaint), complaint
    assert not files(out)


def test_a_noise_level_below_nothing_is_wrong_usage(
    arssr: Arssr, scan: Path, tiny: Path, out: Path
) -> None:
    call = arssr("upsample", scan, "-o", out / "a.nii", "-m", tiny, "--scale", 2, "--noise", -1)
    assert call.code == 2 and "noise must be at least 0" in call.err
    assert not files(out)


def test_a_memory_that_is_too_small_is_refused_before_any_work(
    arssr: Arssr, scan: Path, tiny: Path, out: Path
) -> None:
    words = ("upsample", scan, "-o", out / "a.nii", "--scale", 2, "-m", tiny)
    for last in (("--memory", "10MB"), ("--memory", "10MB", "--dry-run")):
        assert "memory budget of 10 MB is too small" in arssr(*words, *last).complaint
    assert not files(out)


def test_a_result_beyond_the_disk_is_refused_with_its_size(
    arssr: Arssr, scan: Path, tiny: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: SimpleNamespace(free=3000))
    result = arssr("upsample", scan, "-o", out / "a.nii", "--scale", 2, "-m", tiny)
    assert "10×12×8 voxels takes 3.84 KB of disk and 3 KB are free" in result.complaint


def test_a_disk_that_fills_up_leaves_nothing(
    arssr: Arssr,
    scan: Path,
    tiny: Path,
    out: Path,
    full_disk: Callable[[int], "object"],
) -> None:
    (out / "a.nii").write_text("what was there before")
    words = ("upsample", scan, "-o", out / "a.nii", "--scale", 2, "-m", tiny, "--overwrite")
    with full_disk(2000):  # type: ignore[attr-defined]
        complaint = arssr(*words).complaint
    assert "cannot write" in complaint and "a.nii" in complaint
    assert files(out) == {"a.nii"} and (out / "a.nii").read_text() == "what was there before"


@pytest.mark.parametrize(
    "words",
    [
        "--scale 2 --spacing 1",
        "--shape 4 4 4 --like x.nii",
        "--scale 1 2",
        "--scale two",
        "--scale nan",
        "--shape 4.5 4 4",
        "--scale 2 --acquisition blur",
        "--scale 2 --noise loud",
        "--scale 2 --precision float8",
        "--scale 2 --memory 4",
        "--scale 2 --memory 0GB",
        "--scale 2 --memory -1GB",
        "--scale 2 --ensemble 3",
        "--scale 2 --ensemble 4 --labels",
        "--scale 2 --sharper",
        "--scale",
    ],
)
def test_wrong_usage_is_exit_code_2(
    arssr: Arssr, scan: Path, tiny: Path, out: Path, words: str
) -> None:
    result = arssr("upsample", scan, "-o", out / "a.nii", "-m", tiny, *words.split())
    assert (result.code, result.out) == (2, "") and "Error" in result.err
    assert not files(out)


def test_no_output_named_is_wrong_usage(arssr: Arssr, scan: Path) -> None:
    assert arssr("upsample", scan, "--scale", 2).code == 2


def test_weights_of_another_network_are_refused(
    arssr: Arssr, scan: Path, out: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "odd.pkl"
    save_reference(weights, tiny_network("rescnn", "paper"))
    content = weights.read_bytes()
    words = ("upsample", scan, "-o", out / "a.nii", "--scale", 2, "-m", weights)
    assert arssr(*words).code == 0
    weights.write_bytes(content[: len(content) // 2])
    assert "refused" in arssr(*words, "--overwrite").complaint
    save_reference(weights, tiny_network("light", "paper"))  # no encoder of the reference's
    assert "not those of" in arssr(*words, "--overwrite").complaint


def test_a_folder_that_cannot_be_written(
    arssr: Arssr, scan: Path, tiny: Path, out: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "a.nii"
    complaint = arssr("upsample", scan, "-o", place, "--scale", 2, "-m", tiny).complaint
    assert str(place) in complaint and "not a writable folder" in complaint
    if os.geteuid():  # root may write anywhere
        out.chmod(0o500)
        assert arssr("upsample", scan, "-o", out, "--scale", 2, "-m", tiny).complaint


def test_other_suffixes_are_refused(arssr: Arssr, scan: Path, tiny: Path, out: Path) -> None:
    for name in ("a.png", "a", "a.gz"):
        result = arssr("upsample", scan, "-o", out / name, "--scale", 2, "-m", tiny)
        assert ".nii" in result.complaint
    assert not files(out)


def test_nothing_is_replaced_unless_told_to(
    arssr: Arssr, scan: Path, tiny: Path, out: Path
) -> None:
    words = ("upsample", scan, "-o", out / "a.nii", "--scale", 2, "-m", tiny)
    assert arssr(*words).code == 0
    before = {name: (out / name).read_bytes() for name in files(out)}
    assert "a.nii: exists already" in arssr(*words).complaint
    assert {name: (out / name).read_bytes() for name in files(out)} == before
    (out / "a.nii").unlink()
    assert "a.json: exists already" in arssr(*words).complaint  # may describe something else
    assert files(out) == {"a.json"}
    assert arssr(*words, "--overwrite").code == 0
    assert files(out) == {"a.nii", "a.json"}


def test_a_scan_is_never_its_own_result(
    arssr: Arssr, scan: Path, tiny: Path, tmp_path: Path
) -> None:
    before = scan.read_bytes()
    link = tmp_path / "link.nii.gz"
    link.symlink_to(scan)
    for place in (scan, scan.parent / ".." / scan.parent.name / scan.name, link):
        words = ("upsample", scan, "-o", place, "--scale", 2, "-m", tiny, "--overwrite")
        assert "is the scan itself" in arssr(*words).complaint
    # one scan's result would replace another scan
    volume(smooth((4, 4, 4))).write(scan.parent / "head_SR.nii.gz")
    words = ("upsample", scan.parent, "-o", scan.parent, "--scale", 2, "-m", tiny, "--overwrite")
    assert "head_SR.nii.gz is the scan itself" in arssr(*words).complaint
    assert scan.read_bytes() == before


def test_two_scans_with_one_name(
    arssr: Arssr, scan: Path, tiny: Path, out: Path, tmp_path: Path
) -> None:
    twin = volume(smooth((4, 4, 4))).write(tmp_path / "others" / scan.name)
    kin = volume(smooth((4, 4, 4))).write(tmp_path / "others" / "head.nii")  # shares the sidecar
    for other in (twin, kin):
        result = arssr("upsample", scan, other, "-o", out, "--scale", 2, "-m", tiny)
        assert "two scans would both be written to" in result.complaint
    assert not files(out)


def test_several_scans_need_a_folder(
    arssr: Arssr, scan: Path, tiny: Path, out: Path, tmp_path: Path
) -> None:
    other = volume(smooth((4, 4, 4))).write(tmp_path / "other.nii")
    for place in (out / "one.nii.gz", tiny):
        result = arssr("upsample", scan, other, "-o", place, "--scale", 2, "-m", tiny)
        assert "need a folder" in result.complaint
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no images" in arssr("upsample", empty, "-o", out, "--scale", 2, "-m", tiny).complaint


def test_one_bad_scan_does_not_stop_the_others(
    arssr: Arssr, scan: Path, tiny: Path, out: Path
) -> None:
    (scan.parent / "broken.nii").write_text("no image")
    volume(np.zeros((4, 4, 4))).write(scan.parent / "flat.nii")
    words = ("upsample", scan.parent, "-o", out, "--scale", 2, "-m", tiny, "--json")
    result = arssr(*words)
    assert result.code == 1
    assert files(out) == {"head_SR.nii.gz", "head_SR.json"}
    broken, flat, head = json.loads(result.out)
    assert broken["scan"].endswith("broken.nii") and "cannot be read" in broken["error"]
    assert "constant" in flat["error"]
    assert head["result"] == str(out / "head_SR.nii.gz") and "error" not in head
    assert result.err.count("error: ") == 2 and "1 of 3 done, 2 failed" in result.err


def test_one_result_that_cannot_be_written_does_not_stop_the_others(
    arssr: Arssr, scan: Path, tiny: Path, out: Path, full_disk: Callable[[int], "object"]
) -> None:
    """It is written while the next one is computed."""
    noise = np.random.default_rng(0).random((16, 16, 16), dtype=np.float32)
    volume(noise).write(scan.parent / "large.nrrd")
    volume(smooth((4, 4, 4))).write(scan.parent / "small.nii")
    words = ("upsample", scan.parent, "-o", out, "--scale", 2, "-m", tiny, "--json")
    with full_disk(20_000):  # type: ignore[attr-defined]
        result = arssr(*words)
    assert result.code == 1
    names = ("head_SR.nii.gz", "small_SR.nii")
    assert files(out) == {*names, "head_SR.json", "small_SR.json"}
    head, large, small = json.loads(result.out)
    assert "cannot write" in large["error"] and "large_SR.nrrd" in large["error"]
    assert (head["result"], small["result"]) == tuple(str(out / name) for name in names)
    said = [line for line in result.err.splitlines() if "_SR" in line]
    assert [name in line for name, line in zip(("head", "large", "small"), said, strict=True)]
    assert "2 of 3 done, 1 failed" in result.err


@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "Input/output error", "head.nii.gz")])
def test_the_system_failing_on_one_scan_is_a_sentence(
    arssr: Arssr,
    scan: Path,
    tiny: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(api.Model, "field", fail)
    result = arssr("upsample", scan, "-o", out / "a.nii", "--scale", 2, "-m", tiny)
    assert "head.nii.gz" in result.complaint
    assert not files(out)


def test_interrupting_leaves_nothing_half_written(
    arssr: Arssr, scan: Path, tiny: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: VoxelField, grid: Grid, *_: object) -> Iterator[tuple[np.ndarray]]:
        yield (np.zeros((*grid.shape[:2], 1), np.float32),)
        raise KeyboardInterrupt

    monkeypatch.setattr(VoxelField, "finished", interrupted)
    result = arssr("upsample", scan, "-o", out / "a.nii.gz", "--scale", 2, "-m", tiny)
    assert result.code == 130 and not files(out)


def test_a_zero_filled_scan_is_told_of_and_left_as_stored_on_demand(
    arssr: Arssr, tiny: Path, tmp_path: Path
) -> None:
    scan = volume(zero_filled(anatomy((64, 48, 8)), 0, 0.6)).write(tmp_path / "scan.nii.gz")
    line = ["upsample", scan, "--scale", "1", "1", "2", "-m", tiny]
    ours = arssr(*line, "-o", tmp_path / "ours.nii.gz")
    facts = json.loads((tmp_path / "ours.json").read_text())
    assert "from voxels of 1.5" in ours.err and "--as-stored" in ours.err
    assert facts["cut_to_band"]["shape"][0] < 45 and facts["cut_to_band"]["i"]["ends"] == "sharp"
    assert facts["output"]["shape"] == [64, 48, 16]
    stored = arssr(*line, "-o", tmp_path / "stored.nii.gz", "--as-stored")
    facts = json.loads((tmp_path / "stored.json").read_text())
    assert "measured on" not in stored.err and "cut_to_band" not in facts
    assert facts["options"]["as_stored"] is True


def test_a_scan_that_looks_like_none_of_the_training_is_told_of(
    arssr: Arssr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By upsample, its report, and info, which asks the default weights."""
    card = {"name": "tiny", "data": [{"look": {"roughness": 0.05, "peak": 0.2}}]}
    save_weights(tmp_path / "w.safetensors", tiny_network(), card)
    noise = np.random.default_rng(0).normal(100, 10, (24, 24, 24)).astype(np.float32)
    scan, out = volume(noise).write(tmp_path / "scan.nii"), tmp_path / "out.nii"
    words = ("upsample", scan, "-o", out, "--scale", 1.5, "-m", tmp_path / "w.safetensors")
    refused = arssr(*words, "--strict")
    assert refused.code == 1 and "little but noise" in refused.complaint and not out.exists()
    done = arssr(*words, "--report")
    assert done.code == 0 and done.err.count("warning: neighbouring voxels differ far more") == 1
    page = out.with_suffix(".html").read_text()
    assert page.count("No: neighbouring voxels differ far more") == 1
    assert "<b>Warning:</b> neighbouring" not in page
    known = load_weights(tmp_path / "w.safetensors")
    monkeypatch.setattr("arssr.weights.registry.load", lambda _: Weights("light", *known, tmp_path))
    assert "little but noise" in json.loads(arssr("info", scan, "--json").out)["warnings"][0]


def test_a_scan_that_the_weights_were_trained_on_is_told_of(
    arssr: Arssr, scan: Path, tmp_path: Path
) -> None:
    weights, copy = tmp_path / "w.safetensors", tmp_path / "copy.nrrd"
    data = [{"name": "x", "samples_sha256": samples_sha256(Volume.read(scan).data)}]
    save_weights(weights, tiny_network(), {"name": "tiny", "data": data})
    Volume.read(scan).write(copy)
    words = ("upsample", copy, "-o", tmp_path / "sr.nii", "--scale", 2, "-m", weights)
    done = arssr(*words, "--strict")  # nothing is wrong with the scan, nor with its result
    assert done.code == 0 and done.err.count("note: tiny was trained on this scan") == 1
    facts = json.loads((tmp_path / "sr.json").read_text())
    assert "warnings" not in facts and "trained on this scan" in facts["notes"][0]
