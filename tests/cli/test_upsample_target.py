"""`arssr upsample` and `bids` where no target is named, what is told before the work, estimates."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.phantoms import anatomy, smooth, tiny_network, volume, zero_filled

from arssr.cli import console
from arssr.field import VoxelField
from arssr.grid import Grid
from arssr.jobs.needs import seconds_in_words
from arssr.volume import Volume
from arssr.weights.files import save_weights

from .conftest import Arssr

THICK = np.diag([1.0, 1, 4, 1])


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Weights whose card has a range."""
    path = tmp_path / "weights" / "tiny.safetensors"
    valid = {"scale": [1, 4], "scale_of_one_thick_axis": [1, 6]}
    save_weights(path, tiny_network(), {"name": "tiny", "licence": "none", "valid": valid})
    return path


@pytest.fixture
def thick(tmp_path: Path) -> Path:
    """Slices of 4 mm, 1 mm in the plane."""
    return volume(smooth((8, 9, 5), sigma=1), THICK).write(tmp_path / "scans" / "flair.nii.gz")


def test_without_a_target_thick_slices_alone_are_refined(
    arssr: Arssr, tiny: Path, thick: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.nii.gz"
    call = arssr("upsample", thick, "-o", out, "-m", tiny, "--json")
    assert call.code == 0, call.err
    assert Volume.read(out).grid.matches(Volume.read(thick).grid.scaled((1, 1, 4)))
    chosen = "no target was named: slices of 4 mm along k become 1 mm, as fine as was measured"
    assert chosen in call.err
    [facts] = json.loads(call.out)
    assert chosen in facts["target"] and facts["options"]["target"] == "auto"


def test_slices_become_as_fine_as_the_plane_was_measured_or_stored(
    arssr: Arssr, tiny: Path, tmp_path: Path
) -> None:
    data = zero_filled(zero_filled(anatomy((64, 72, 6)), 0, 0.6), 1, 0.6)
    scan = volume(data, np.diag([1, 1, 6, 1])).write(tmp_path / "scan.nii.gz")
    found = {}
    for name, words in (("measured", ()), ("stored", ("--as-stored",)), ("labels", ("--labels",))):
        path = tmp_path / f"{name}.nii.gz"
        if name == "labels":
            scan.unlink()
            volume((data > 0.5).astype(np.float32), np.diag([1, 1, 6, 1])).write(scan)
        assert arssr("upsample", scan, "-o", path, "-m", tiny, *words).code == 0
        found[name] = Volume.read(path).grid
    for grid in found.values():
        assert grid.shape[:2] == (64, 72) and grid.spacing_mm[:2] == pytest.approx(1)
    assert 1 / 0.7 < found["measured"].spacing_mm[2] < 1 / 0.58  # surely no more than 0.7
    assert found["stored"].spacing_mm[2] == found["labels"].spacing_mm[2] == pytest.approx(1)


@pytest.mark.parametrize(
    "way", [(), ("--dry-run",), pytest.param(("--jobs", 2), marks=pytest.mark.slow)]
)
def test_an_isotropic_scan_wants_a_target(
    arssr: Arssr, tiny: Path, scan: Path, tmp_path: Path, way: tuple
) -> None:
    call = arssr("upsample", scan, "-o", tmp_path / "out.nii.gz", "-m", tiny, *way)
    assert call.code == 2 and not (tmp_path / "out.nii.gz").exists()
    assert "1 mm along all axes already; name a target, such as --scale 2" in call.err


def test_among_others_it_is_a_scan_that_failed(
    arssr: Arssr, tiny: Path, scan: Path, thick: Path, tmp_path: Path
) -> None:
    call = arssr("upsample", scan, thick, "-o", tmp_path / "out", "-m", tiny, "--json")
    assert call.code == 1 and "1 of 2 done, 1 failed" in call.err
    assert [each.get("needs_target") for each in json.loads(call.out)] == [True, None]
    assert f"{thick.name}: no target was named" in call.err


def test_a_data_set_passes_over_what_is_isotropic(arssr: Arssr, tiny: Path, tmp_path: Path) -> None:
    for name, affine in (("01", THICK), ("02", np.eye(4))):
        folder = tmp_path / "bids" / f"sub-{name}" / "anat"
        volume(smooth((8, 9, 5), sigma=1), affine).write(folder / f"sub-{name}_T1w.nii.gz")
    described = {"Name": "two", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (tmp_path / "bids" / "dataset_description.json").write_text(json.dumps(described))
    words = ("participant", "-m", tiny, "--no-report")
    call = arssr("bids", tmp_path / "bids", tmp_path / "out", *words)
    assert call.code == 0, call.err
    assert "1 of 2 done, 0 were done before, 0 failed, 1 passed over" in call.err
    assert re.search("passed over: .*1 mm along all axes already; name a target", call.err)
    call = arssr("bids", tmp_path / "bids", tmp_path / "out", *words, "--participant-label", "02")
    assert call.code == 2


# --- what is told before the work ----------------------------------------------------------------


def test_warnings_come_once_and_before_the_work(
    arssr: Arssr, tiny: Path, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, order = VoxelField.finished, list[str]()

    def finished(self: VoxelField, *args: object) -> Iterator[tuple[np.ndarray, ...]]:
        order.append("work")
        yield from compute(self, *args)  # type: ignore[arg-type]

    say = console.stderr.print

    def said(text: object, **options: object) -> None:
        order.append(str(text))
        say(text, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(VoxelField, "finished", finished)
    monkeypatch.setattr(console.stderr, "print", said)
    call = arssr("upsample", scan, "-o", tmp_path / "o.nii", "-m", tiny, "--scale", 1, 1, 9)
    assert call.code == 0
    warning, work, result = order
    assert warning.startswith("warning: a scale of 9 along k") and work == "work"
    assert "o.nii" in result


def test_an_axis_that_gets_coarser_is_told_and_no_error(
    arssr: Arssr, tiny: Path, tmp_path: Path
) -> None:
    grid = Grid((10, 12, 5), np.diag([0.5, 0.5, 4, 1]))
    scan = Volume(smooth(grid.shape, sigma=1), grid).write(tmp_path / "scan.nii.gz")
    words = ("upsample", scan, "-o", tmp_path / "o.nii.gz", "-m", tiny, "--strict")
    call = arssr(*words, "--spacing", 1)
    assert call.code == 0, call.err
    note = "coarser than the scan along i, j (0.5 mm become 1 mm); a spacing of 0.5×0.5×1 mm"
    assert f"note: {note}" in call.err
    [kept] = json.loads((tmp_path / "o.json").read_text())["notes"]
    assert kept.startswith(note)
    finer = arssr(*words, "--spacing", 0.5, 0.5, 1, "--overwrite")
    assert finer.code == 0 and "note" not in finer.err


# --- estimates -----------------------------------------------------------------------------------


def test_a_dry_run_adds_up_and_tells_of_files_that_exist(
    arssr: Arssr, tiny: Path, thick: Path, tmp_path: Path
) -> None:
    volume(smooth((8, 9, 5), sigma=1), THICK).write(thick.parent / "other.nii.gz")
    words = ("upsample", thick.parent, "-o", tmp_path / "out", "-m", tiny)
    assert arssr(*words).code == 0
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    call = arssr(*words, "--dry-run", "--report", "--json", "--scale", 1, 1, 9)
    assert call.code == 0, call.err
    facts = json.loads(call.out)
    assert [len(each["exists"]) for each in facts] == [2, 2]
    assert call.err.count("exists already: ") == 2 and "flair_SR.json; --overwrite" in call.err
    for name in ("flair.nii.gz", "other.nii.gz"):  # the name says which scan is meant
        assert f"warning: {name}: a scale of 9 along k" in call.err
    assert call.err.count(" for the report") == 3
    *_, last = call.err.splitlines()
    assert last.startswith("together: 2 scans  ")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before
    again = arssr(*words, "--dry-run", "--overwrite", "--json")
    assert [each["exists"] for each in json.loads(again.out)] == [[], []]


def test_a_dry_run_names_a_scan_that_would_be_copied(
    arssr: Arssr, tiny: Path, thick: Path, tmp_path: Path
) -> None:
    volume(smooth((8, 8, 8), sigma=1)).write(thick.parent / "cube.nii.gz")
    words = ("upsample", thick.parent, "-o", tmp_path / "out", "-m", tiny, "--isotropic")
    call = arssr(*words, "--dry-run", "--json")
    assert call.code == 0, call.err
    assert "cube.nii.gz: copied: no network had a part in it" in call.err
    copied, refined = json.loads(call.out)
    assert copied["method"] == "copied" and "memory_bytes" not in copied
    assert call.err.splitlines()[-1].startswith("together: 2 scans  ") and "seconds" in refined
    single = ("upsample", thick.parent / "cube.nii.gz", "-o", tmp_path / "cube_SR.nii.gz")
    alone = arssr(*single, "-m", tiny, "--isotropic", "--dry-run")
    assert alone.code == 0 and " of disk" in alone.err and " of memory" not in alone.err


def test_a_dry_run_of_labels_says_where_they_would_lie(arssr: Arssr, tmp_path: Path) -> None:
    drawn = (smooth((8, 9, 5), sigma=1) > 0.5).astype(np.float32)
    scan = volume(drawn, THICK).write(tmp_path / "drawn.nii")
    call = arssr("upsample", scan, "-o", tmp_path / "o.nii", "--labels", "--dry-run", "--json")
    assert call.code == 0, call.err
    [facts] = json.loads(call.out)
    assert facts["method"] == "shares of labels" and facts["output"]["shape"] == [8, 9, 20]
    assert "become 1 mm, as fine as the plane" in call.err and not (tmp_path / "o.nii").exists()


def test_a_dry_run_tells_of_the_cut(arssr: Arssr, tiny: Path, tmp_path: Path) -> None:
    scan = volume(zero_filled(anatomy((64, 48, 8)), 0, 0.6)).write(tmp_path / "scan.nii.gz")
    words = ("upsample", scan, "-o", tmp_path / "o.nii", "-m", tiny, "--scale", 2, "--dry-run")
    said = arssr(*words).err
    assert re.search(r"about 1\.6\d mm along i: .* from voxels of 1\.5\d+×1×1 mm", said)


def test_seconds_as_a_person_says_them() -> None:
    said = {9.96: "10 s", 59.4: "59 s", 60: "1 min", 3599: "59 min 59 s", 3601: "1 h", 0.5: "0.5 s"}
    assert {seconds: seconds_in_words(seconds) for seconds in said} == said
