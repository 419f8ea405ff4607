"""`arssr merge` as a person calls it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from scipy import ndimage
from tests.formats.series import write_series
from tests.phantoms import anatomy

from arssr.grid import Grid
from arssr.volume import Volume

from .conftest import Arssr


def stack(path: Path, axis: int, seed: int = 0, shift_mm: float = 0.0, mm: float = 1.0) -> Path:
    """A head in slices of four voxels of so many mm along an axis, moved along x."""
    data = 200 * ndimage.gaussian_filter(np.pad(anatomy((24, 32, 28), seed), 4), 0.7)
    data = ndimage.shift(data, (shift_mm, 0, 0), order=1)
    parts = list(data.shape)
    parts[axis : axis + 1] = [data.shape[axis] // 4, 4]
    thick = data.reshape(parts).mean(axis + 1)
    fine = Grid(data.shape, np.diag([mm, mm, mm, 1]))
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


def test_whether_slices_moved_within_a_scan_is_told(arssr: Arssr, tmp_path: Path) -> None:
    scans = [stack(tmp_path / f"s{axis}.nii.gz", axis) for axis in (2, 1)]
    done = arssr("merge", *scans, "-o", tmp_path / "one.nii.gz", "--interleaves", "auto")
    assert done.code == 0, done.err
    assert "no slices were found to have moved against others" in " ".join(done.err.split())
    told = json.loads((tmp_path / "one.json").read_text())
    assert told["options"]["interleaves"] == "auto"
    assert all(len(each["interleaves"]) == 1 for each in told["merged"]["scans"])


def test_a_scan_of_somebody_else_is_refused_and_nothing_is_left(
    arssr: Arssr, tmp_path: Path
) -> None:
    one = stack(tmp_path / "a.nii.gz", 2, mm=3)
    two = stack(tmp_path / "b.nii.gz", 1, seed=5, mm=3)
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
    told = [json.loads((tmp_path / "both" / f"{each}_SR.json").read_text()) for each in "ab"]
    assert "along k" in told[0]["target"] and "target" not in told[1]  # whose slices are along i
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


@pytest.fixture
def folder(scans: list[str], tmp_path: Path) -> Path:
    """One folder with a head's three stacks as DICOM series, as hospitals have it."""
    for number, (words, path) in enumerate(zip(("ax", "sag", "cor"), scans, strict=True), start=4):
        scan = Volume.read(path)
        order = ALONG_SLICES[words]  # DICOM has slices along k
        grid = Grid(
            tuple(scan.grid.shape[axis] for axis in order),
            scan.grid.affine[:, [*order, 3]],
        )
        stored = np.rint(scan.data.transpose(order)).astype(np.uint16)
        write_series(tmp_path / "dicom", stored, grid, number, f"t2 tse {words}")
    return tmp_path / "dicom"


ALONG_SLICES = {"ax": (0, 1, 2), "sag": (1, 2, 0), "cor": (0, 2, 1)}
THREE = ("--series", "t2 tse ax", "--series", "t2 tse sag", "--series", "t2 tse cor")


def test_the_series_of_one_folder_are_merged_into_one_series(
    arssr: Arssr, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "one.dicom"
    done = arssr("merge", folder, *THREE, "-o", out, "--report")
    assert done.code == 0, done.err
    told = json.loads((tmp_path / "one.dicom.json").read_text())
    words = ["t2 tse ax", "t2 tse sag", "t2 tse cor"]
    assert [each["series"] for each in told["inputs"]] == words == told["options"]["series"]
    assert [each["series"] for each in told["merged"]["scans"]] == words
    header = pydicom.dcmread(next(out.iterdir()))
    of = [pydicom.dcmread(path, stop_before_pixels=True) for path in folder.iterdir()]
    named = {item.ReferencedSOPInstanceUID for item in header.SourceImageSequence}
    assert named == {each.SOPInstanceUID for each in of}
    assert ": merged from 3 scans; " in header.DerivationDescription
    assert header.SeriesDescription == "t2 tse ax ArSSR"
    page = (tmp_path / "one.dicom.html").read_text()
    assert "What came from where" in page and "dicom t2 tse sag" in page


def test_series_kept_apart_get_names_of_their_own(
    arssr: Arssr, folder: Path, tmp_path: Path
) -> None:
    done = arssr("merge", folder, *THREE[:4], "-o", tmp_path / "apart", "--separate")
    assert done.code == 0, done.err
    names = {path.name for path in (tmp_path / "apart").iterdir() if path.suffix == ".gz"}
    assert names == {"dicom_t2-tse-ax_SR.nii.gz", "dicom_t2-tse-sag_SR.nii.gz"}


def test_no_result_replaces_that_of_another_series(
    arssr: Arssr, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "again" / "dicom")
    words = ("--separate", "--series", "t2 tse ax", "--series", "t2 tse ax")
    done = arssr("merge", folder, tmp_path / "again" / "dicom", *words, "-o", tmp_path / "apart")
    assert done.code == 2 and "two scans would both be written" in done.err
    assert not (tmp_path / "apart").exists()


def test_a_series_goes_with_each_scan_that_is_named(
    arssr: Arssr, folder: Path, scans: list[str], tmp_path: Path
) -> None:
    words = ("merge", folder, scans[1], "-o", tmp_path / "one.nii.gz", "--dry-run")
    assert arssr(*words, "--series", "cor", "--series", "").code == 0
    refused = arssr(*words, "--series", "cor")
    said = " ".join(refused.err.replace("│", " ").split())
    assert refused.code == 2 and "as many --series as scans" in said
    refused = arssr(*words, "--series", "cor", "--series", "ax")
    assert refused.code == 1 and "only DICOM has series" in refused.err


def test_one_image_under_two_names_is_not_merged_with_itself(
    arssr: Arssr, folder: Path, tmp_path: Path
) -> None:
    words = ("merge", folder, "--series", "4", "--series", "ax", "-o", tmp_path / "one.nii.gz")
    done = arssr(*words)
    assert done.code == 1
    assert "(series 4) and" in done.err and "are one and the same image" in done.err


def test_slices_of_a_scan_are_evened_and_it_is_told(
    arssr: Arssr, tmp_path: Path, scans: list[str]
) -> None:
    scan = Volume.read(scans[1])
    bands = np.exp(0.06 * (-1.0) ** np.arange(scan.grid.shape[0]))
    banded = tmp_path / "banded.nii.gz"
    scan.with_data(scan.data * bands[:, None, None], scan.grid).write(banded)
    words = ("merge", scans[0], banded, scans[2], "-o", tmp_path / "one.nii.gz", "--even-slices")
    done = arssr(*words, "--report")
    assert done.code == 0, done.err
    assert "scan 2: slices along i were evened" in done.err
    told = json.loads((tmp_path / "one.json").read_text())
    even = [each["even_slices"]["factors"] for each in told["merged"]["scans"]]
    inner = slice(2, -2)
    assert np.corrcoef(np.log(even[1])[inner], np.log(bands)[inner])[0, 1] > 0.8
    assert told["options"]["even_slices"] is True
    assert "evened before" in told["methods"]
    assert "slices evened" in (tmp_path / "one.html").read_text()


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ((), "two scans or more"),
        (("s2", "s2"), "one scan is named twice"),
        (("s0", "--separate", "--report"), "--report shows one result"),
        (("s0", "--separate", "--interleaves", "2"), "do not go with --separate"),
        (("s0", "--interleaves", "1"), "2 or more, or auto, not 1"),
        (("s0", "--interleaves", "two"), "takes a whole number or auto"),
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


@pytest.mark.parametrize("name", ["new/", "there", "there/"])
def test_a_folder_is_no_name_for_one_image(
    arssr: Arssr, scans: list[str], tmp_path: Path, name: str
) -> None:
    (tmp_path / "there").mkdir()
    done = arssr("merge", *scans, "-o", f"{tmp_path}/{name}")
    said = " ".join(done.err.replace("│", " ").split())
    assert done.code == 2 and "name a file to write, such as" in said


def test_what_is_there_is_not_replaced(arssr: Arssr, scans: list[str], tmp_path: Path) -> None:
    done = arssr("merge", *scans[:2], "-o", scans[2])
    assert done.code == 1 and "exists already" in done.err
    done = arssr("merge", *scans, "-o", scans[2], "--overwrite")
    assert done.code == 1 and "is a scan itself" in done.err
