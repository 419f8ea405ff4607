"""Pixels are decoded by pydicom where they are plain, and as GDCM decodes them."""

import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    RLELossless,
    generate_uid,
)

from arssr.formats.dicom_pixels import PixelFile, _decoded_by_gdcm, needs_gdcm, read_pixels

PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
ROWS, COLUMNS = 3, 5


def image(bits: int, stored: int, signed: bool, content: bytes, syntax: str) -> pydicom.Dataset:
    made = pydicom.Dataset()
    made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, generate_uid()
    made.Rows, made.Columns, made.SamplesPerPixel = ROWS, COLUMNS, 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = bits, stored, stored - 1
    made.PixelRepresentation = int(signed)
    if len(content) > ROWS * COLUMNS * bits // 8:
        made.NumberOfFrames = len(content) * 8 // (ROWS * COLUMNS * bits)
    made.PixelData = content + b"\0" * (len(content) % 2)
    made["PixelData"].VR = "OW" if bits > 8 or syntax == ImplicitVRLittleEndian else "OB"
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    return made


def saved(made: pydicom.Dataset, folder: Path) -> Path:
    made.save_as(folder / "a.dcm", enforce_file_format=True)
    return folder / "a.dcm"


@pytest.mark.parametrize(("syntax", "signed"), product(PLAIN, (False, True)))
@given(data=st.data())
def test_plain_pixels_of_8_and_16_bits_are_as_gdcm_decodes_them(
    syntax: str, signed: bool, data: st.DataObject
) -> None:
    """Of 32 bits, it leaves out half of those above 16 where not all are stored."""
    bits = data.draw(st.sampled_from((8, 16)))
    stored = data.draw(st.integers(9, 16)) if bits == 16 else 8
    frames = data.draw(st.integers(1, 3))
    size = frames * ROWS * COLUMNS * bits // 8
    made = image(bits, stored, signed, data.draw(st.binary(min_size=size, max_size=size)), syntax)
    with tempfile.TemporaryDirectory() as folder:
        planes, _ = PixelFile(saved(made, Path(folder))).read(range(frames))
        np.testing.assert_array_equal(planes, _decoded_by_gdcm(made))


@pytest.mark.parametrize("syntax", PLAIN)
@given(data=st.data())
def test_plain_pixels_are_what_was_stored(syntax: str, data: st.DataObject) -> None:
    """Whatever stands in the bits above those stored."""
    bits = data.draw(st.sampled_from((8, 16, 32)))
    stored = data.draw(st.integers(bits // 2, bits))
    signed = data.draw(st.booleans())
    low = -(1 << (stored - 1)) if signed else 0
    values = [data.draw(st.integers(low, low + (1 << stored) - 1)) for _ in range(ROWS * COLUMNS)]
    above = data.draw(st.integers(0, (1 << (bits - stored)) - 1)) << stored
    order = "big" if syntax == ExplicitVRBigEndian else "little"
    content = b"".join(
        ((value & ((1 << stored) - 1)) | above).to_bytes(bits // 8, order) for value in values
    )
    with tempfile.TemporaryDirectory() as folder:
        found, _ = read_pixels(saved(image(bits, stored, signed, content, syntax), Path(folder)))
    np.testing.assert_array_equal(found, np.reshape(values, (ROWS, COLUMNS)))


@pytest.mark.parametrize(
    "keyword", ["BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"]
)
def test_what_is_not_said_of_pixels_is_what_it_usually_is(tmp_path: Path, keyword: str) -> None:
    values = np.arange(ROWS * COLUMNS, dtype="<u2") * 4000
    made = image(16, 16, False, values.tobytes(), ExplicitVRLittleEndian)
    delattr(made, keyword)
    found, _ = read_pixels(saved(made, tmp_path))
    np.testing.assert_array_equal(found.ravel(), values)


def test_only_what_pydicom_does_not_decode_by_itself_needs_gdcm() -> None:
    assert not any(needs_gdcm(syntax, 16) for syntax in (*PLAIN, RLELossless))
    assert needs_gdcm(pydicom.uid.JPEG2000Lossless, 16) and needs_gdcm(ExplicitVRLittleEndian, 12)
