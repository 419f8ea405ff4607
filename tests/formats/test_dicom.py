"""DICOM series are read where and as they are, refused in words, and written as derived series."""

import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from scipy.spatial.transform import Rotation
from tests.formats.series import write_series

from arssr.errors import ArSSRError
from arssr.files import find_images, output_suffix
from arssr.formats.dicom import series_in
from arssr.formats.registry import open_writer
from arssr.formats.writing import Origin
from arssr.grid import Grid
from arssr.volume import Storage, Volume, grid_of, open_frames

SHAPE = (6, 5, 4)
STORED = np.arange(120, dtype=np.int16).reshape(SHAPE)


def oblique(shape: tuple[int, int, int] = SHAPE) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (10, -20, 30), degrees=True).as_matrix()
    affine[:3, :3] *= (0.7, 0.8, 3)
    affine[:3, 3] = (-90, 80, 30)
    return Grid(shape, affine)


GRID = oblique()


@contextmanager
def refusal(*parts: object) -> Iterator[None]:
    with pytest.raises(ArSSRError) as caught:
        yield
    message = str(caught.value)
    assert all(str(part) in message for part in parts), message
    assert "\n" not in message


# --- reading -------------------------------------------------------------------------------------


@given(
    st.tuples(*[st.floats(-180, 180)] * 3),
    st.tuples(*[st.floats(0.2, 8)] * 3),
    st.tuples(*[st.floats(-300, 300)] * 3),
    st.sampled_from((-1, 1)),
    st.sampled_from((0.0, 0.2)),
)
@settings(max_examples=25)
def test_samples_lie_where_the_headers_say(
    tmp_path_factory: pytest.TempPathFactory,
    turns: tuple,
    spacing: tuple,
    origin: tuple,
    side: int,
    tilt: float,
) -> None:
    """Whichever way slices are stacked (side) and leant (a tilted gantry)."""
    folder = tmp_path_factory.mktemp("series")
    axes = Rotation.from_euler("xyz", turns, degrees=True).as_matrix()
    axes[:, 2] = side * axes[:, 2] + tilt * axes[:, 1]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes * spacing, origin
    grid = Grid(SHAPE, affine)
    write_series(folder, STORED, grid)
    scan = Volume.read(folder)
    for index in ((0, 0, 0), (5, 4, 3), (2, 3, 1)):
        there = scan.grid.to_index(grid.to_world(index))
        np.testing.assert_allclose(there, np.rint(there), atol=1e-4)
        assert scan.data[tuple(np.rint(there).astype(int))] == STORED[index]


def test_simpleitk_sees_the_same_place(tmp_path: Path) -> None:
    write_series(tmp_path / "a", STORED, GRID)
    scan = Volume.read(tmp_path / "a")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "a")))
    image = reader.Execute()
    index = (5, 2, 3)
    place = np.multiply(image.TransformIndexToPhysicalPoint(index), (-1, -1, 1))
    np.testing.assert_allclose(place, scan.grid.to_world(index), atol=1e-5)
    assert image.GetPixel(*index) == scan.data[index]


def test_it_is_the_same_scan_as_nifti(tmp_path: Path) -> None:
    write_series(tmp_path / "dicom", STORED, GRID)
    scan = Volume.read(tmp_path / "dicom")
    back = Volume.read(scan.write(tmp_path / "a.nii.gz"))
    assert back.grid.matches(scan.grid) and scan.grid.matches(GRID)
    np.testing.assert_array_equal(back.data, STORED)
    assert (back.storage.dtype, scan.name) == (np.int16, "dicom")


@pytest.mark.parametrize("dtype", ["i2", "u2", "u1"])
@pytest.mark.parametrize(("slope", "inter"), [(None, 0), (1, -1024), (0.25, 3.5)])
def test_rescaled_units(tmp_path: Path, dtype: str, slope: float | None, inter: float) -> None:
    stored = STORED.astype(dtype)
    write_series(tmp_path / "a", stored, GRID, slope=slope, inter=inter)
    scan = Volume.read(tmp_path / "a")
    expected = stored * float(slope or 1) + inter
    np.testing.assert_allclose(scan.data, expected, rtol=1e-6)
    assert scan.storage == Storage(dtype, slope or 1, inter)


def test_slices_each_with_a_slope_of_their_own(tmp_path: Path) -> None:
    """As in PET: the units are right, and the result is stored in floating point."""
    paths = write_series(tmp_path / "a", STORED, GRID, slope=1)
    for k, path in enumerate(paths):
        header = pydicom.dcmread(path)
        header.RescaleSlope = str(k + 0.5)
        header.save_as(path)
    scan = Volume.read(tmp_path / "a")
    np.testing.assert_allclose(scan.data, STORED * (np.arange(4) + 0.5), rtol=1e-6)
    assert scan.storage.dtype is None


@pytest.mark.parametrize("name", ["MR_small_RLE", "MR_small_jp2klossless", "MR_small_bigendian"])
def test_compressed_pixels(tmp_path: Path, name: str) -> None:
    expected = pydicom.dcmread(get_testdata_file("MR_small.dcm")).pixel_array.T
    shutil.copy(get_testdata_file(f"{name}.dcm"), tmp_path / "a")
    np.testing.assert_array_equal(Volume.read(tmp_path).data[..., 0], expected)


def test_a_zip_is_a_folder(tmp_path: Path) -> None:
    write_series(tmp_path / "a", STORED, GRID)
    archive = tmp_path / "Über scan.ZIP"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in (tmp_path / "a").iterdir():
            file.write(path, f"../../deep/{path.name}")  # names that lead astray do not
        file.writestr("readme.txt", "not an image")
    scan = Volume.read(archive)
    np.testing.assert_array_equal(scan.data, STORED)
    assert scan.name == "Über scan"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "Über scan.ZIP"]
    with open_frames(archive) as frames:
        assert len(frames) == 1


# --- several series ------------------------------------------------------------------------------


def test_one_of_several_series(tmp_path: Path) -> None:
    write_series(tmp_path / "a", STORED, GRID, 3, "t1_mprage sag")
    write_series(tmp_path / "a" / "deeper", STORED + 1, GRID, 12, "t2_tse tra")
    write_series(tmp_path / "a", STORED + 2, GRID, 13, "t2_tse cor")
    with refusal("--series", "3 't1_mprage sag' (4 images", "12 't2_tse tra'", "13 't2_tse cor'"):
        Volume.read(tmp_path / "a")
    for wanted, added in (("3", 0), ("12", 1), ("T2_TSE COR", 2), (" mprage ", 0)):
        np.testing.assert_array_equal(Volume.read(tmp_path / "a", wanted).data, STORED + added)
    third = series_in(tmp_path / "a")[2]
    np.testing.assert_array_equal(Volume.read(tmp_path / "a", third.uid).data, STORED + 2)
    with refusal("2 series match 't2'"):
        Volume.read(tmp_path / "a", "t2")
    with refusal("no series match 'flair'"):
        Volume.read(tmp_path / "a", "flair")


def test_only_dicom_has_series(tmp_path: Path) -> None:
    path = Volume(STORED, GRID).write(tmp_path / "a.nii")
    with refusal(path, "only DICOM has series"):
        Volume.read(path, "3")


def test_what_is_no_image_is_passed_over(tmp_path: Path) -> None:
    write_series(tmp_path / "a", STORED, GRID)
    (tmp_path / "a" / "notes.txt").write_text("short")
    (tmp_path / "a" / "DICOMDIR.html").write_bytes(bytes(500))
    shutil.copy(get_testdata_file("test-SR.dcm"), tmp_path / "a" / "report.dcm")
    shutil.copy(get_testdata_file("rtstruct.dcm"), tmp_path / "a" / "contours.dcm")
    np.testing.assert_array_equal(Volume.read(tmp_path / "a").data, STORED)


# --- refused -------------------------------------------------------------------------------------


def test_missing_slices_are_counted(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "a", np.zeros((6, 5, 9), np.int16), oblique((6, 5, 9)))
    for k in (3, 4, 6):
        paths[k].unlink()
    with refusal(tmp_path / "a", "3 slices are missing, the first of them after slice 3"):
        Volume.read(tmp_path / "a")


def _edit(path: Path, **tags: object) -> None:
    header = pydicom.dcmread(path)
    for keyword, value in tags.items():
        if value is None:
            delattr(header, keyword)
        else:
            setattr(header, keyword, value)
    header.save_as(path)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"ImagePositionPatient": None}, "without a place (1 images)"),
        ({"ImageOrientationPatient": None}, "without a place (1 images)"),
        ({"PixelSpacing": None}, "without a place (1 images)"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "sagittal (1 images)"),
        ({"PixelSpacing": [1, 1]}, "stack 2, transverse (1 images)"),
        ({"SamplesPerPixel": 3}, "in colour"),
        ({"ImageOrientationPatient": [0] * 6}, "damaged"),
    ],
)
def test_series_that_are_no_volume(tmp_path: Path, tags: dict, words: str) -> None:
    path = write_series(tmp_path / "a", STORED, GRID)[2]
    _edit(path, **tags)
    with refusal(tmp_path / "a", words):
        Volume.read(tmp_path / "a")


def test_a_series_in_colour_has_a_grid(tmp_path: Path) -> None:
    for path in write_series(tmp_path / "a", STORED, GRID):
        _edit(path, SamplesPerPixel=3)
    assert grid_of(tmp_path / "a").matches(GRID)


def test_unequal_slices(tmp_path: Path) -> None:
    path = write_series(tmp_path / "a", STORED, Grid(SHAPE, np.diag([1, 1, 3, 1])))[2]
    _edit(path, ImagePositionPatient=[0, 0, 6.4])
    with refusal(tmp_path / "a", "not equally spaced, from 2.6 to 3.4 mm"):
        Volume.read(tmp_path / "a")


def test_positions_with_few_decimals_are_equally_spaced(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "a", STORED, Grid(SHAPE, np.diag([1, 1, 1 / 3, 1])))
    for k, path in enumerate(paths):
        _edit(path, ImagePositionPatient=[0, 0, round(k / 3, 3)])
    np.testing.assert_allclose(Volume.read(tmp_path / "a").grid.spacing_mm, [1, 1, 1 / 3], 1e-3)


def test_several_times_in_one_series(tmp_path: Path) -> None:
    write_series(tmp_path / "a" / "1", STORED, GRID)
    for number, path in enumerate(write_series(tmp_path / "a" / "2", STORED + 1, GRID)):
        _edit(path, SOPInstanceUID=f"1.2.{number}")
    with refusal(tmp_path / "a", "4D", "--frames", "'frame 1'"):
        Volume.read(tmp_path / "a")
    with open_frames(tmp_path / "a") as frames:
        assert [volume.data[0, 0, 0] for volume in frames] == [0, 1]
        assert "nothing says in which order" in frames.frame(0).warnings[0]


def test_folders_without_dicom_and_single_files(tmp_path: Path) -> None:
    with refusal(tmp_path, "a folder without DICOM images"):
        Volume.read(tmp_path)
    path = write_series(tmp_path, STORED, GRID)[0]
    with refusal(path, "one DICOM file; name the folder"):
        Volume.read(path)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.txt", "nothing")
    with refusal(tmp_path / "a.zip", "an archive without DICOM images"):
        Volume.read(tmp_path / "a.zip")


def test_a_truncated_slice(tmp_path: Path) -> None:
    path = write_series(tmp_path / "a", STORED, GRID)[1]
    path.write_bytes(path.read_bytes()[:-100])
    with refusal(tmp_path / "a", "cut short or damaged"):
        Volume.read(tmp_path / "a")


def test_archives_that_cannot_or_should_not_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and then nothing")
    with refusal(tmp_path / "a.zip", "cannot be unpacked"):
        Volume.read(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.dcm", bytes(10**8))
    with refusal(tmp_path / "bomb.zip", "would grow to 100 MB"):
        Volume.read(tmp_path / "bomb.zip")


# --- among other files ---------------------------------------------------------------------------


def test_a_folder_of_dicom_files_is_one_scan(tmp_path: Path) -> None:
    write_series(tmp_path / "study" / "t1", STORED, GRID)
    assert find_images([tmp_path / "study"]) == [tmp_path / "study"]
    assert output_suffix(tmp_path / "study") == ".nii.gz"
    nifti = Volume(STORED, GRID).write(tmp_path / "study" / "a.nii")
    assert find_images([tmp_path / "study"]) == [nifti]


# --- writing -------------------------------------------------------------------------------------


@given(
    st.tuples(*[st.floats(-180, 180)] * 3),
    st.tuples(*[st.floats(0.2, 8)] * 3),
    st.sampled_from((-1, 1)),
)
@settings(max_examples=15)
def test_a_derived_series_lies_where_the_volume_does(
    tmp_path_factory: pytest.TempPathFactory, turns: tuple, spacing: tuple, side: int
) -> None:
    folder = tmp_path_factory.mktemp("derived")
    write_series(folder / "in", STORED[..., :1], oblique((6, 5, 1)))
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turns, degrees=True).as_matrix() * spacing
    affine[:3, 2] *= side
    grid = Grid((3, 4, 5), affine)
    data = np.random.default_rng(0).normal(0, 1000, grid.shape)
    Volume(data, grid).write(folder / "out.dicom", made_from=folder / "in")
    back = Volume.read(folder / "out.dicom")
    step = (data.max() - data.min()) / 65535
    for index in ((0, 0, 0), (2, 3, 4), (1, 0, 3)):
        there = back.grid.to_index(grid.to_world(index))
        np.testing.assert_allclose(there, np.rint(there), atol=1e-4)
        assert abs(back.data[tuple(np.rint(there).astype(int))] - data[index]) < 0.6 * step


def test_a_derived_series_names_all_that_it_was_made_from(tmp_path: Path) -> None:
    files = [
        write_series(tmp_path / "in", STORED, GRID, number=number, description=words)
        for number, words in ((5, "t2 ax"), (6, "t2 sag"), (7, "t1"))
    ]
    scan = Volume.read(tmp_path / "in", "t2 ax")
    scan.write(tmp_path / "beside.nii")
    others = [Origin(tmp_path / "in", "t2 sag"), Origin(tmp_path / "beside.nii")]
    origin = Origin(tmp_path / "in", "t2 ax", "merged from 3 scans", others=others)
    with open_writer(tmp_path / "out.dicom", scan, scan.grid, origin=origin) as writer:
        writer.put(scan.data)
    new = pydicom.dcmread(next((tmp_path / "out.dicom").iterdir()))
    of = [[pydicom.dcmread(path) for path in series] for series in files]
    named = {item.ReferencedSOPInstanceUID for item in new.SourceImageSequence}
    assert named == {each.SOPInstanceUID for series in of[:2] for each in series}
    uids = [series[0].SeriesInstanceUID for series in of]
    assert f"from series {uids[0]}, {uids[1]}" in new.DerivationDescription
    assert uids[2] not in new.DerivationDescription
    assert new.SeriesDescription == "t2 ax ArSSR"


def test_what_a_derived_series_says(tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", STORED, GRID, slope=0.5, inter=-10)[0]
    scan = Volume.read(tmp_path / "in")
    fine = scan.grid.scaled((1, 1, 3))
    result = scan.with_data(np.repeat(scan.data, 3, axis=2), fine)
    assert result.write(tmp_path / "out.dicom", made_from=tmp_path / "in") == tmp_path / "out.dicom"
    back = Volume.read(tmp_path / "out.dicom")
    np.testing.assert_array_equal(back.data, result.data)
    assert back.grid.matches(fine)
    assert back.storage == Storage("int16", 0.5, -10)

    old = pydicom.dcmread(source)
    headers = [pydicom.dcmread(p) for p in sorted((tmp_path / "out.dicom").iterdir())]
    assert len({h.SOPInstanceUID for h in headers} | {old.SOPInstanceUID}) == 13
    assert [h.InstanceNumber for h in headers] == list(range(1, 13))
    new = headers[0]
    for kept in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientName", "PatientID", "Modality"):
        assert new[kept].value == old[kept].value
    assert new.SeriesInstanceUID != old.SeriesInstanceUID
    assert new.ImageType == ["DERIVED", "SECONDARY", "OTHER"]
    assert "ArSSR" in new.DerivationDescription and old.SeriesInstanceUID in (
        new.DerivationDescription
    )
    assert new.SeriesNumber != old.SeriesNumber
    assert new.SeriesDescription == "t1_mprage ArSSR"
    assert float(new.SliceThickness) == pytest.approx(1)
    assert "SmallestImagePixelValue" not in new
    assert not any(element.tag.is_private for element in new)


def test_a_derived_series_is_there_whole_or_not(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    write_series(tmp_path / "in", STORED, GRID)
    grid = Grid((100, 100, 2), np.eye(4))
    noise = Volume(np.random.default_rng(0).random(grid.shape), grid)
    with full_disk(10_000), refusal(tmp_path / "out.dicom"):
        noise.write(tmp_path / "out.dicom", made_from=tmp_path / "in")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    noise.write(tmp_path / "out.dicom", made_from=tmp_path / "in")
    with refusal(tmp_path / "out.dicom", "--overwrite"):
        noise.write(tmp_path / "out.dicom", made_from=tmp_path / "in")
    (tmp_path / "out.dicom" / "stale").write_text("")
    noise.write(tmp_path / "out.dicom", overwrite=True, made_from=tmp_path / "in")
    assert sorted(p.name for p in (tmp_path / "out.dicom").iterdir()) == ["00001.dcm", "00002.dcm"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out.dicom"]


def test_grids_and_samples_that_dicom_cannot_hold(tmp_path: Path) -> None:
    write_series(tmp_path / "in", STORED, GRID)
    askew = np.eye(4)
    askew[0, 1] = 0.3
    with refusal("askew"):
        Volume(STORED, Grid(SHAPE, askew)).write(tmp_path / "out.dicom", made_from=tmp_path / "in")
    with refusal("NaN"):
        Volume(np.full(SHAPE, np.nan), GRID).write(
            tmp_path / "out.dicom", made_from=tmp_path / "in"
        )
    with refusal("patient and study", "made_from"):
        Volume(STORED, GRID).write(tmp_path / "out.dicom")
    image = Volume(STORED, GRID).write(tmp_path / "a.nii")
    with refusal("a.nii", "is not a DICOM series"):
        Volume(STORED, GRID).write(tmp_path / "out.dicom", made_from=image)
    with refusal("is a file"):
        (tmp_path / "file.dicom").write_text("")
        Volume(STORED, GRID).write(tmp_path / "file.dicom", made_from=tmp_path / "in")
    assert not (tmp_path / "out.dicom").exists()
