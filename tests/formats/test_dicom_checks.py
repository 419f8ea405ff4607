"""DICOM headers and pixels that lie: read rightly, told of, or refused."""

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)
from tests.formats.series import write_series

from arssr.errors import ArSSRError
from arssr.formats.dicom_pixels import read_pixels
from arssr.grid import Grid
from arssr.volume import Volume

SHAPE = (6, 5, 4)
GRID = Grid(SHAPE, np.diag([1.0, 1, 3, 1]))
STORED = np.random.default_rng(0).integers(0, 4096, SHAPE).astype(np.int16)


def edit(path: Path, **tags: object) -> None:
    header = pydicom.dcmread(path)
    for keyword, value in tags.items():
        setattr(header, keyword, value)
    header.save_as(path)


def refused(folder: Path) -> str:
    with pytest.raises(ArSSRError) as caught:
        Volume.read(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


# --- cut short -----------------------------------------------------------------------------------


def test_a_slice_cut_at_any_byte_is_noticed(tmp_path: Path) -> None:
    """Also where it ends before it says that it is an image, or even DICOM."""
    path = write_series(tmp_path / "a", STORED, GRID)[3]  # an end: no gap would tell
    content = path.read_bytes()
    for length in [*range(0, 140, 3), *range(140, len(content), 7), len(content) - 1]:
        path.write_bytes(content[:length])
        try:
            scan = Volume.read(tmp_path / "a")
        except ArSSRError as error:
            assert str(error).startswith(str(tmp_path))
        else:
            assert length < 132 and path.name in scan.warnings[0]


def test_a_page_in_the_place_of_a_slice_is_noticed_and_one_of_a_viewer_is_not(
    tmp_path: Path,
) -> None:
    last = write_series(tmp_path / "a", STORED, GRID)[3]  # an end: no gap would tell
    for name in ("index.html", "HELP.HTM"):
        (tmp_path / "a" / name).write_text("\n<!DOCTYPE html><html>404</html>\n" * 9)
    packed = Path(shutil.make_archive(str(tmp_path / "whole"), "zip", tmp_path / "a"))
    for source in (tmp_path / "a", packed):
        scan = Volume.read(source)
        assert scan.grid.shape == SHAPE and scan.warnings == ()
    shutil.copy(tmp_path / "a" / "index.html", last)
    packed = Path(shutil.make_archive(str(tmp_path / "lost"), "zip", tmp_path / "a"))
    for source in (tmp_path / "a", packed):
        [told] = Volume.read(source).warnings
        assert "a page of HTML" in told and "slices may be missing" in told


COMPRESSED = ("MR_small_RLE", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless")


@pytest.mark.parametrize(
    "name", [*COMPRESSED, "JPEG-lossy", "MR_small_bigendian", "MR_small_implicit"]
)
def test_every_transfer_syntax_is_right_or_refused_where_the_file_ends_early(
    tmp_path: Path, name: str
) -> None:
    content = Path(get_testdata_file(f"{name}.dcm")).read_bytes()
    whole, _ = read_pixels(Path(get_testdata_file(f"{name}.dcm")))
    for length in np.linspace(len(content) * 0.3, len(content) - 1, 25).astype(int):
        (tmp_path / "a").write_bytes(content[:length])
        try:
            found, _ = read_pixels(tmp_path / "a")
        except ValueError as error:
            assert str(error).startswith("a: ")
        else:
            np.testing.assert_array_equal(found, whole)  # cut behind the pixels


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed_pixels_that_were_cut_before_they_were_packed(tmp_path: Path, name: str) -> None:
    image = pydicom.dcmread(get_testdata_file(f"{name}.dcm"))
    [frame] = generate_frames(image.PixelData, number_of_frames=1)
    for length in np.linspace(70, len(frame) - 2, 12).astype(int):
        image.PixelData = encapsulate([frame[:length]])
        image.save_as(tmp_path / "a")
        with pytest.raises(ValueError, match="a: "):
            read_pixels(tmp_path / "a")


def test_real_pixels_cut_short_are_refused(tmp_path: Path) -> None:
    shutil.copy(get_testdata_file("MR_truncated.dcm"), tmp_path / "a.dcm")
    assert "8,130 of 8,192 bytes of pixels" in refused(tmp_path)


def test_files_deflated_as_a_whole_are_refused_in_words(tmp_path: Path) -> None:
    path = write_series(tmp_path / "a", STORED, GRID)[0]
    image = pydicom.dcmread(path)
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    image.save_as(path)
    assert "compressed as a whole" in refused(tmp_path / "a")


# --- pixels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2"])
def test_shown_in_negative_the_stored_values_are_the_same(tmp_path: Path, dtype: str) -> None:
    stored = (STORED // 16).astype(dtype)
    write_series(tmp_path / "a", stored, GRID, slope=2, PhotometricInterpretation="MONOCHROME1")
    scan = Volume.read(tmp_path / "a")
    np.testing.assert_array_equal(scan.data, 2.0 * stored)
    out = scan.write(tmp_path / "out.dicom", made_from=tmp_path / "a")
    np.testing.assert_array_equal(Volume.read(out).data, scan.data)
    first = pydicom.dcmread(out / "00001.dcm")
    assert first.PhotometricInterpretation == "MONOCHROME1"  # as dark as the scan


def test_a_palette_is_colour(tmp_path: Path) -> None:
    write_series(tmp_path / "a", STORED, GRID, PhotometricInterpretation="PALETTE COLOR")
    assert "in colour" in refused(tmp_path / "a")


def test_sign_in_the_upper_bits_is_right_and_anything_else_there_is_told(tmp_path: Path) -> None:
    twelve = {"BitsStored": 12, "HighBit": 11}
    signed = STORED - 2048
    write_series(tmp_path / "repeated", signed, GRID, 1, **twelve)
    write_series(tmp_path / "cut off", signed & 0x0FFF, GRID, 2, **twelve)
    for name in ("repeated", "cut off"):
        scan = Volume.read(tmp_path / name)
        np.testing.assert_array_equal(scan.data, signed)
        assert scan.warnings == ()
    write_series(tmp_path / "more", (STORED | 0x4000).astype("u2"), GRID, 3, **twelve)
    scan = Volume.read(tmp_path / "more")
    np.testing.assert_array_equal(scan.data, STORED)
    assert "bits above BitsStored, 12" in scan.warnings[0] and len(scan.warnings) == 1


def test_as_many_pixels_as_the_header_tells_of(tmp_path: Path) -> None:
    write_series(tmp_path / "bits", STORED, GRID, 1, BitsAllocated=8, BitsStored=8, HighBit=7)
    assert "60 bytes of pixels, its header tells of 30" in refused(tmp_path / "bits")
    write_series(tmp_path / "rows", STORED, GRID, 2, Rows=4)
    assert "more pixels than their headers tell of" in Volume.read(tmp_path / "rows").warnings[0]


def test_a_slope_of_zero_is_none(tmp_path: Path) -> None:
    write_series(tmp_path / "a", STORED, GRID, slope=0, inter=5)
    scan = Volume.read(tmp_path / "a")
    np.testing.assert_array_equal(scan.data, STORED + 5.0)
    assert "RescaleSlope is 0" in scan.warnings[0]


# --- the same twice ------------------------------------------------------------------------------


def test_the_same_instance_twice_counts_once(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "a", STORED, GRID)
    for path in paths[1:3]:
        shutil.copy(path, path.with_name(f"{path.name} (1)"))
    image = pydicom.dcmread(paths[2])
    image.PatientName = "another^spelling"  # and compressed: other bytes, the same samples
    image.compress(RLELossless, generate_instance_uid=False)
    image.save_as(tmp_path / "a" / "compressed")
    scan = Volume.read(tmp_path / "a")
    np.testing.assert_array_equal(scan.data, STORED)
    assert scan.warnings == ()


def test_different_images_under_one_name_are_refused(tmp_path: Path) -> None:
    path = write_series(tmp_path / "a", STORED, GRID)[1]
    other = path.with_name("other")
    for tags in (
        {"PixelData": bytes(60)},
        {"RescaleSlope": "2"},
        {"ImagePositionPatient": [0] * 3},
    ):
        shutil.copy(path, other)
        edit(other, **tags)
        message = refused(tmp_path / "a")
        assert "same SOP instance UID but differ" in message
        assert path.name in message and other.name in message
    other.write_bytes(path.read_bytes()[:-20])
    assert "bytes of pixels" in refused(tmp_path / "a")


def test_copies_under_other_names_count_once_and_are_told(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "a", STORED, GRID)
    for path in paths:
        shutil.copy(path, path.with_name(f"{path.name} copy"))
        edit(path.with_name(f"{path.name} copy"), SOPInstanceUID=generate_uid())
    scan = Volume.read(tmp_path / "a")
    np.testing.assert_array_equal(scan.data, STORED)
    assert "4 images are copies" in scan.warnings[0]
    edit(path.with_name(f"{path.name} copy"), PixelData=bytes(60))
    assert "4D" in refused(tmp_path / "a")


# --- no slices -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
def test_mosaics_are_refused(tmp_path: Path, count: int) -> None:
    grid = Grid((6, 5, count), GRID.affine)
    kinds = {
        "type": {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]},
        "uih": {"ImageType": ["ORIGINAL", "PRIMARY", "M", "VFRAME"]},
    }
    for name, tags in kinds.items():
        write_series(tmp_path / name, STORED[..., :count], grid, **tags)
        assert "a mosaic" in refused(tmp_path / name)
    for path in write_series(tmp_path / "tag", STORED[..., :count], grid):
        image = pydicom.dcmread(path)
        block = image.private_block(0x0019, "SIEMENS MR HEADER", create=True)
        block.add_new(0x0A, "US", 36)
        image.save_as(path)
    assert "a mosaic" in refused(tmp_path / "tag")


# --- places --------------------------------------------------------------------------------------


def test_what_is_said_of_places_against_places(tmp_path: Path) -> None:
    write_series(tmp_path / "a", STORED, GRID, 1, SpacingBetweenSlices="1.5")
    assert (
        "lie 3 mm apart, but SpacingBetweenSlices is 1.5 mm"
        in (Volume.read(tmp_path / "a").warnings[0])
    )
    write_series(tmp_path / "b", STORED, GRID, 2, SpacingBetweenSlices="-3.01")  # Philips' sign
    assert Volume.read(tmp_path / "b").warnings == ()
    paths = write_series(tmp_path / "c", STORED, GRID, 3)
    edit(paths[2], FrameOfReferenceUID=generate_uid())
    assert "2 frames of reference" in Volume.read(tmp_path / "c").warnings[0]
    skew = [1, 0, 0, 0.1, 1, 0]
    write_series(tmp_path / "d", STORED, GRID, 4, ImageOrientationPatient=skew)
    assert "unit vectors at right angles" in Volume.read(tmp_path / "d").warnings[0]
    write_series(tmp_path / "e", STORED, GRID, 5, PixelSpacing=[-1, 1])
    assert "PixelSpacing must be positive" in refused(tmp_path / "e")


def test_values_behind_a_table_are_told(tmp_path: Path) -> None:
    write_series(tmp_path / "a", STORED, GRID, ModalityLUTSequence=[pydicom.Dataset()])
    assert "ModalityLUTSequence" in Volume.read(tmp_path / "a").warnings[0]
