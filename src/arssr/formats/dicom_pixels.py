"""The pixels of a DICOM image, decoded from a copy of what that needs: by pydicom where they are
plain or RLE, by GDCM, which SimpleITK has, where they are JPEG or its kin.

GDCM believes the length that a file claims for an element, takes up to 4 GB for it, and makes up
what a file cut short lacks. The copy holds nothing but the frames asked for, with lengths that are
true, and only where all of them are there. What stored values mean (rescale slope and intercept)
is left out: GDCM decides by the kind of image whether it minds it.
"""

import os
import struct
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from arssr.formats.itk import name_for_itk
from arssr.formats.opened import reason

_NEEDED = (
    *("SOPClassUID", "SOPInstanceUID", "SamplesPerPixel", "PhotometricInterpretation"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)
_TABLES = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
_END_OF_IMAGE = b"\xff\xd9"  # of JPEG, JPEG-LS and JPEG 2000; inside their data it cannot occur
_PIXELS = {(0x7FE0, 0x0008): "FloatPixelData", (0x7FE0, 0x0009): "DoubleFloatPixelData"}
_OPEN_END = 0xFFFFFFFF  # the length of an element that ends where a delimiter stands


def needs_gdcm(syntax: Any, bits_allocated: int) -> bool:
    """Whether pydicom, without other packages, does not decode pixels of this transfer syntax."""
    from pydicom.uid import RLELossless

    packed = syntax.is_encapsulated and syntax != RLELossless
    return packed or (bits_allocated != 1 and bits_allocated % 8 != 0)


def read_pixels(path: Path) -> tuple[NDArray[Any], list[str]]:
    """(rows, columns) of a single-frame image, see `PixelFile.read`."""
    planes, doubts = PixelFile(path).read([0])
    return planes[0], doubts


class PixelFile:
    """Where the frames of a DICOM file lie in it; of its content nothing is kept.

    Raises ValueError where it has no pixels, or such as are not read.
    """

    def __init__(self, path: Path) -> None:
        import pydicom

        self._path = path
        try:
            with warnings.catch_warnings(), path.open("rb") as file:
                warnings.simplefilter("ignore")
                tags = [*_NEEDED, *_TABLES, "NumberOfFrames"]
                self._image = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags)
                syntax = self._image.file_meta.get("TransferSyntaxUID")
                self._syntax = syntax or pydicom.uid.ImplicitVRLittleEndian
                self._frames = int(self._image.get("NumberOfFrames") or 1)
                self._length = _length(file, self._syntax)
                self._start = file.tell()
        except Exception as error:  # damaged values make pydicom raise anything
            raise ValueError(f"{path.name}: {reason(error)}") from error

    def read(self, frames: Sequence[int]) -> tuple[NDArray[Any], list[str]]:
        """(frames, rows, columns) of grey images as they are stored, neither rescaled nor, where
        they are to be shown in negative (MONOCHROME1), turned over; and sentences about what is
        odd. `frames` are counted from 0.

        Raises ValueError for whatever is wrong, such as pixels that are not all there.
        """
        from pydicom.pixels.utils import pixel_array

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image, doubts = self._copy(frames)
                if needs_gdcm(self._syntax, int(image.BitsAllocated)):
                    return _decoded_by_gdcm(image), doubts
                pixels = pixel_array(image, raw=True)
            return pixels.reshape(len(frames), image.Rows, image.Columns), doubts
        except Exception as error:  # damaged values make pydicom raise anything
            raise ValueError(f"{self._path.name}: {reason(error)}") from error

    def _copy(self, frames: Sequence[int]) -> tuple[Any, list[str]]:
        """A data set of these frames, and sentences about what is odd."""
        import pydicom
        from pydicom.encaps import encapsulate

        image = pydicom.Dataset()
        for keyword in _NEEDED:
            if keyword in self._image:
                image[keyword] = self._image[keyword]
        image.PhotometricInterpretation = "MONOCHROME2"  # or GDCM turns stored values over
        _complete(image)
        if len(frames) > 1:
            image.NumberOfFrames = len(frames)
        if self._frames > 1:  # or GDCM looks for functional groups
            image.SOPClassUID = pydicom.uid.MRImageStorage
        image.file_meta = pydicom.dataset.FileMetaDataset()
        image.file_meta.TransferSyntaxUID = self._syntax
        with self._path.open("rb") as file:
            if self._syntax.is_encapsulated:
                image.PixelData = encapsulate([self._compressed(file, f) for f in frames])
                image["PixelData"].is_undefined_length = True
                return image, []
            size, doubts = self._size(file)
            image.PixelData = b"".join(self._stored(file, f, size) for f in frames)
        return image, doubts + _doubts(image)

    def _compressed(self, file: BinaryIO, frame: int) -> bytes:
        import pydicom
        from pydicom.encaps import get_frame

        file.seek(self._start)
        table, lengths = (self._image.get(name) for name in _TABLES)
        content = get_frame(
            file,
            frame,
            extended_offsets=(table, lengths) if table and lengths else None,
            number_of_frames=self._frames,
        )
        if self._syntax != pydicom.uid.RLELossless and _END_OF_IMAGE not in content:
            raise ValueError("its compressed pixels have no end: it is cut short or damaged")
        return content

    def _size(self, file: BinaryIO) -> tuple[int, list[str]]:
        """Bytes of a frame that is not compressed, and sentences about how many there are.

        Raises ValueError where there are fewer or far more of them than the header says.
        """
        columns, rows = int(self._image.Columns), int(self._image.Rows)
        allocated = int(self._image.BitsAllocated)
        bits = rows * columns * allocated
        if self._frames > 1 and bits % 8:
            raise ValueError("its frames do not begin at whole bytes, which is not read")
        wanted = (self._frames * bits + 7) // 8
        there = min(self._length, os.fstat(file.fileno()).st_size - self._start)
        if there < wanted:
            raise ValueError(
                f"it has {there:,} of {wanted:,} bytes of pixels: it is cut short or damaged"
            )
        if there >= 2 * wanted:
            raise ValueError(
                f"it has {there:,} bytes of pixels, its header tells of {wanted:,}: Rows, Columns, "
                "BitsAllocated or NumberOfFrames are wrong"
            )
        more = there - wanted >= columns * allocated // 8
        found = ["some images have more pixels than their headers tell of"] if more else []
        return (bits + 7) // 8, found

    def _stored(self, file: BinaryIO, frame: int, size: int) -> bytes:
        file.seek(self._start + frame * size)
        return file.read(size)


def _complete(image: Any) -> None:
    """What should be said of the pixels and is not, or is impossible, as GDCM takes it."""
    allocated = int(image.BitsAllocated)
    if not 0 < int(image.get("BitsStored") or 0) <= allocated:
        image.BitsStored = allocated
    image.SamplesPerPixel = image.get("SamplesPerPixel") or 1
    image.PixelRepresentation = image.get("PixelRepresentation") or 0


def _decoded_by_gdcm(image: Any) -> NDArray[Any]:
    """(frames, rows, columns)"""
    import SimpleITK as sitk  # noqa: N813 - its customary name

    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # they would go to standard error
    with tempfile.TemporaryDirectory(prefix="arssr-") as folder:
        copy = Path(folder) / "image"
        image.save_as(copy, enforce_file_format=True)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(name_for_itk(copy))
        pixels: NDArray[Any] = sitk.GetArrayFromImage(reader.Execute())
    return pixels


def _length(file: BinaryIO, syntax: Any) -> int:
    """Bytes of the pixels whose element begins here; the file is left where they begin."""
    order = "<" if syntax.is_little_endian else ">"
    head = file.read(8)
    if len(head) < 8:
        raise ValueError("its pixels are missing: the file is cut short or damaged")
    tag = struct.unpack_from(f"{order}HH", head)
    if tag in _PIXELS:
        raise ValueError(f"its pixels are no whole numbers ({_PIXELS[tag]}), which is not read")
    length: int
    if syntax.is_implicit_VR:
        [length] = struct.unpack_from(f"{order}L", head, 4)
    else:
        [length] = struct.unpack(f"{order}L", file.read(4))
    if (length == _OPEN_END) != syntax.is_encapsulated:
        raise ValueError("its pixels are not packed as it says: it is damaged")
    return length


def _doubts(image: Any) -> list[str]:
    """Sentences about what the description of uncompressed pixels has wrong."""
    allocated, stored = int(image.BitsAllocated), int(image.get("BitsStored") or 0)
    if allocated != 16 or not 0 < stored < 16:
        return []
    order = "<" if image.file_meta.TransferSyntaxUID.is_little_endian else ">"
    pixels = np.frombuffer(image.PixelData, f"{order}i2")
    above = pixels >> stored
    wrong = above != 0
    if int(image.get("PixelRepresentation") or 0):  # whose sign may be repeated there
        wrong &= above != (pixels >> (stored - 1))
    if not wrong.any():
        return []
    return [
        f"some pixels have bits above BitsStored, {stored}; they are not part of the value and "
        "left out"
    ]
