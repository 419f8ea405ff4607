"""`arssr merge` as a person calls it."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from tests.phantoms import anatomy

from arssr.grid import Grid
from arssr.volume import Volume

from .conftest import Arssr


def stack(path: Path, axis: int, seed: int = 0, shift_mm: float = 0.0) -> Path:
    """A head in slices of 4 mm along an axis, moved along x."""
    data = 200 * ndimage.gaussian_filter(np.pad(anatomy((24, 32, 28), seed), 4), 0.7)
    data = ndimage.shift(data, (shift_mm, 0, 0), order=1)
    parts = list(data.shape)
    parts[axis : axis + 1] = [data.shape[axis] // 4, 4]
    thick = data.reshape(parts).mean(axis + 1)
    fine = Grid(data.shape, np.eye(4))
    scale = np.ones(3)
    scale[axis] = 1 / 4
    noise = np.random.default_rng(axis).standard_normal(thick.shape)
    Volume(np.abs(thick + noise), fine.scaled(scale)).write(path)
    return path


@pytest.fixture
def scans(tmp_path: Path) -> list[str]:
    """Three orthogonal stacks of one head."""
    return [str(stack(tmp_path / f"s{axis}.nii.gz", axis)) for axis in (2, 0, 1)]


def test_scans_become_one_with_a_sidecar_and_a_page(
    arssr: Arssr, scans: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "one.nii.gz"
    done = arssr("merge", *scans, "-o", str(out), "--report", "--json")
    assert done.code == 0, done.err
    assert Volume.read(out).grid == Grid((32, 40, 36), np.eye(4))
    told = json.loads((tmp_path / "one.json").read_text())
    assert [each["file"] for each in told["inputs"]] == [Path(scan).name for scan in scans]
    assert len(told["merged"]["scans"]) == 3 and told["not_for"]
    assert all(each["motion"]["mm"] < 1 for each in told["merged"]["scans"])
    assert "scan 3" in (tmp_path / "one.html").read_text()
    [result] = json.loads(done.out)
    assert result["result"] == str(out)


def test_a_motion_is_told(arssr: Arssr, tmp_path: Path) -> None:
    one = stack(tmp_path / "a.nii.gz", 2)
    two = stack(tmp_path / "b.nii.gz", 1, shift_mm=3)
    done = arssr("merge", str(one), str(two), "-o", str(tmp_path / "c.nii.gz"))
    assert done.code == 0, done.err
    assert "scan 2 by 3.0 mm" in done.err
    words = ("merge", str(one), str(two), "-o", str(tmp_path / "d.nii.gz"), "--no-register")
    still = arssr(*words)
    assert "scan 2 by 0.0 mm" in still.err or "does not fit" in still.err


def test_a_scan_of_somebody_else_is_refused_and_nothing_is_left(
    arssr: Arssr, tmp_path: Path
) -> None:
    one = stack(tmp_path / "a.nii.gz", 2)
    two = stack(tmp_path / "b.nii.gz", 1, seed=5)
    done = arssr("merge", str(one), str(two), "-o", str(tmp_path / "c.nii.gz"))
    assert done.code == 1
    assert "b.nii.gz: does not fit the first scan" in done.err
    assert {path.name for path in tmp_path.iterdir()} == {"a.nii.gz", "b.nii.gz"}


def test_contrasts_are_kept_apart_on_one_grid(arssr: Arssr, tmp_path: Path) -> None:
    one, two = stack(tmp_path / "a.nii.gz", 2), stack(tmp_path / "b.nii.gz", 1)

    def made(name: str) -> list[Volume]:
        done = arssr("merge", one, two, "-o", tmp_path / name, "--separate")
        assert done.code == 0, done.err
        return [Volume.read(tmp_path / name / f"{each}_SR.nii.gz") for each in "ab"]

    first, second = made("both")
    assert first.grid.matches(second.grid)
    contrast = Volume.read(two)
    contrast.with_data(300 - contrast.data, contrast.grid).write(two, overwrite=True)
    again, other = made("again")
    assert np.array_equal(again.data, first.data)  # nothing of the second is in it
    assert not np.array_equal(other.data, second.data)


def test_a_dry_run_writes_nothing(arssr: Arssr, scans: list[str], tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    done = arssr("merge", *scans, "-o", str(tmp_path / "one.nii.gz"), "--dry-run")
    assert done.code == 0, done.err
    assert "of memory" in done.err
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ((), "two scans or more"),
        (("s2", "s2"), "one scan is named twice"),
        (("s0", "--separate", "--report"), "--report shows one result"),
    ],
)
def test_wrong_usage_is_told_in_one_sentence(
    arssr: Arssr, scans: list[str], tmp_path: Path, extra: tuple[str, ...], said: str
) -> None:
    words = [str(tmp_path / f"{word}.nii.gz") if word[0] == "s" else word for word in extra]
    out = "apart" if "--separate" in extra else "one.nii.gz"
    done = arssr("merge", scans[0], *words, "-o", str(tmp_path / out))
    assert done.code == 2
    assert said in " ".join(done.err.replace("│", " ").split())


def test_what_is_there_is_not_replaced(arssr: Arssr, scans: list[str], tmp_path: Path) -> None:
    done = arssr("merge", *scans[:2], "-o", scans[2])
    assert done.code == 1 and "exists already" in done.err
    done = arssr("merge", *scans, "-o", scans[2], "--overwrite")
    assert done.code == 1 and "is a scan itself" in done.err
