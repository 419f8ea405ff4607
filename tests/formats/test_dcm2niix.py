"""What dcm2niix makes of DICOM is right: here it reads what only it can, and judges the rest."""

import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from scipy.spatial.transform import Rotation
from tests.formats.enhanced import frames_of, write_enhanced
from tests.formats.mosaic import write_mosaic
from tests.formats.series import write_series

from arssr.errors import ArSSRError
from arssr.formats import dcm2niix
from arssr.grid import Grid
from arssr.volume import Volume, open_frames

REAL = Path(__file__).parents[3] / "shared" / "data" / "dicom"
SHAPE = (8, 10, 7)
STORED = np.random.default_rng(0).integers(0, 4096, SHAPE).astype(np.int16)
AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", (10, -20, 30), degrees=True).as_matrix()
AFFINE[:3, :3] *= (-2, -2, 3)
AFFINE[:3, 3] = (-90, 80, 30)
GRID = Grid(SHAPE, AFFINE)

needed = pytest.mark.skipif(dcm2niix.find_program() is None, reason="dcm2niix is not there")


def converted(source: Path, out: Path) -> list[Path]:
    out.mkdir()
    program = str(dcm2niix.find_program())
    subprocess.run(
        [program, "-b", "n", "-z", "n", "-f", "%s_%e_%p", "-o", str(out), str(source)],
        check=True,
        capture_output=True,
    )
    return sorted(out.glob("*.nii"))


def same(ours: Volume, theirs: Volume) -> bool:
    """Whether the samples of two volumes and their places agree, in whichever order of axes."""
    assert sorted(ours.grid.shape) == sorted(theirs.grid.shape)
    index = np.moveaxis(np.indices(theirs.grid.shape), 0, -1)
    there = ours.grid.to_index(theirs.grid.to_world(index.reshape(-1, 3)))
    nearest = np.rint(there).astype(int)
    np.testing.assert_allclose(there, nearest, atol=1e-3)
    values = ours.data[tuple(nearest.T)].reshape(theirs.data.shape)
    return np.allclose(values, theirs.data, rtol=1e-6, atol=1e-3)


# --- as dcm2niix reads it ------------------------------------------------------------------------


@needed
@pytest.mark.skipif(not REAL.exists(), reason="shared data are not there")
@pytest.mark.parametrize(
    ("folder", "wanted"),
    [("xa30-t1", [None]), ("xa30-asl", [None]), ("xa30-fieldmap", ["echo 1", "echo 2"])],
)
def test_scans_of_today(tmp_path: Path, folder: str, wanted: list[str | None]) -> None:
    theirs = converted(REAL / folder, tmp_path / "out")
    assert len(theirs) == len(wanted)
    for path, series in zip(theirs, wanted, strict=True):
        assert same(Volume.read(REAL / folder, series), Volume.read(path))


@needed
def test_frames_of_an_enhanced_file(tmp_path: Path) -> None:
    frames = [f for n in range(3) for f in frames_of(STORED + n, GRID, time=n + 1)]
    path = write_enhanced(tmp_path / "in" / "1.dcm", frames)
    [theirs] = converted(path.parent, tmp_path / "out")
    with open_frames(path) as ours, open_frames(theirs) as right:
        assert len(ours) == len(right) == 3
        assert ours.repetition_s == pytest.approx(right.repetition_s)
        assert all(same(*pair) for pair in zip(ours, right, strict=True))


@needed
def test_classic_echoes_and_repetitions(tmp_path: Path) -> None:
    """One series with two echoes of three repetitions each, in files in no order."""
    for n in range(6):
        repetition, echo = divmod(n, 2)
        said = {"EchoTime": 5 * echo + 5, "EchoNumbers": echo + 1, "AcquisitionNumber": repetition}
        for k, path in enumerate(write_series(tmp_path / "a" / str(5 - n), STORED + n, GRID)):
            image = pydicom.dcmread(path)
            image.SOPInstanceUID += f".{n}"
            image.InstanceNumber = n * SHAPE[2] + k + 1
            image.AcquisitionTime = f"10150{2 * repetition}"
            for keyword, value in said.items():
                setattr(image, keyword, value)
            image.save_as(path)
    with pytest.raises(ArSSRError, match=r"5\.1 .*echo 1, TE 5 ms \(21 images in 3 frames\)"):
        Volume.read(tmp_path / "a")
    theirs = converted(tmp_path / "a", tmp_path / "out")
    for path, wanted in zip(theirs, ("TE 5 ms", "TE 10 ms"), strict=True):
        with open_frames(tmp_path / "a", wanted) as ours, open_frames(path) as right:
            assert len(ours) == len(right) == 3 and ours.repetition_s == 2
            assert all(same(*pair) for pair in zip(ours, right, strict=True))


# --- read by dcm2niix ----------------------------------------------------------------------------


@needed
def test_a_mosaic_is_read_where_its_slices_lie(tmp_path: Path) -> None:
    path = write_mosaic(tmp_path / "in" / "1.dcm", STORED, GRID)
    for source in (path, path.parent):
        scan = Volume.read(source)
        assert same(scan, Volume(STORED, GRID)) and scan.storage.dtype == np.int16
        assert scan.slices is not None and scan.slices.distance_mm == pytest.approx(3)
    folder = scan.write(tmp_path / "out.dicom", made_from=path)
    assert same(Volume.read(folder), Volume(STORED, GRID))


def fake(folder: Path, lines: str) -> Path:
    program = folder / "dcm2niix"
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (None, "pip install 'arssr[dicom]'"),
        ("echo chatter; echo Error: no idea; exit 1", "makes no image of it (Error: no idea)"),
    ],
)
def test_where_it_is_missing_or_fails_a_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str | None, words: str
) -> None:
    path = write_mosaic(tmp_path / "in" / "1.dcm", STORED, GRID)
    program = lines and str(fake(tmp_path, lines))
    monkeypatch.setattr(dcm2niix, "find_program", lambda: program)
    with pytest.raises(ArSSRError) as caught:
        Volume.read(path.parent)
    assert words in str(caught.value) and "a mosaic" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_images_that_it_makes_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_mosaic(tmp_path / "in" / "1.dcm", STORED, GRID)
    lines = 'while [ "$1" != "-o" ]; do shift; done; touch "$2/one.nii" "$2/two.nii"'
    program = str(fake(tmp_path, lines))
    monkeypatch.setattr(dcm2niix, "find_program", lambda: program)
    with pytest.raises(ArSSRError, match=r"makes 2 images of it \(one, two\)"):
        Volume.read(path)


@needed
def test_a_picture_is_never_taken_for_a_slice(tmp_path: Path) -> None:
    """Where the maker's header is gone, nobody knows how many tiles there are."""
    path = write_mosaic(tmp_path / "in" / "1.dcm", STORED, GRID)
    image = pydicom.dcmread(path)
    image.remove_private_tags()
    image.save_as(path)
    with pytest.raises(ArSSRError, match="does not say how many"):
        Volume.read(path)
