"""The pixels of a DICOM image, decoded by GDCM from a copy of what it needs.

GDCM believes the length that a file claims for an element, takes up to 4 GB for it, and makes up
what a file cut short lacks. The copy, made by pydicom, holds nothing but the image, with lengths
that are true, and only where all of it is there. What stored values mean (rescale slope and
intercept) is left out: GDCM decides by the kind of image whether it minds it.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arssr.formats.opened import reason

_NEEDED = (
    *("SOPClassUID", "SOPInstanceUID", "SamplesPerPixel", "PhotometricInterpretation"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("NumberOfFrames", "PixelData"),
)
_END_OF_IMAGE = b"\xff\xd9"  # of JPEG, JPEG-LS and JPEG 2000; inside their data it cannot occur


def read_pixels(path: Path) -> tuple[NDArray[Any], list[str]]:
    """(rows, columns) of a single-frame grey image as they are stored, neither rescaled nor, where
    they are to be shown in negative (MONOCHROME1), turned over; and sentences about what is odd.

    Raises ValueError for whatever is wrong, such as pixels that are not all there.
    """
    import SimpleITK as sitk  # noqa: N813

    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # they would go to standard error
    with tempfile.TemporaryDirectory(prefix="arssr-") as folder:
        try:
            copy, doubts = _copy(path, Path(folder) / "image")
            reader = sitk.ImageFileReader()
            reader.SetImageIO("GDCMImageIO")
            reader.SetFileName(str(copy))
            pixels: NDArray[Any] = sitk.GetArrayFromImage(reader.Execute())
        except Exception as error:  # damaged values make pydicom raise anything
            raise ValueError(f"{path.name}: {reason(error)}") from error
    return np.squeeze(pixels, axis=0), doubts


def _copy(path: Path, target: Path) -> tuple[Path, list[str]]:
    import pydicom
    from pydicom.encaps import encapsulate, generate_frames

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = pydicom.dcmread(path, specific_tags=list(_NEEDED))
        image = pydicom.Dataset()
        for keyword in _NEEDED:
            if keyword in whole:
                image[keyword] = whole[keyword]
        if "PixelData" not in image:
            raise ValueError("its pixels are missing: the file is cut short or damaged")
        image.PhotometricInterpretation = "MONOCHROME2"  # or GDCM turns stored values over
        image.file_meta = pydicom.dataset.FileMetaDataset()
        syntax = whole.file_meta.get("TransferSyntaxUID", pydicom.uid.ImplicitVRLittleEndian)
        image.file_meta.TransferSyntaxUID = syntax
        if syntax.is_encapsulated:
            [frame] = generate_frames(whole.PixelData, number_of_frames=1)
            if syntax != pydicom.uid.RLELossless and _END_OF_IMAGE not in frame:
                raise ValueError("its compressed pixels have no end: it is cut short or damaged")
            image.PixelData = encapsulate([frame])
            image["PixelData"].is_undefined_length = True
        if syntax == pydicom.uid.RLELossless:  # GDCM makes up what its segments lack
            image.decompress(generate_instance_uid=False)
        doubts = [] if image.file_meta.TransferSyntaxUID.is_encapsulated else _doubts(image)
        image.save_as(target, enforce_file_format=True)
    return target, doubts


def _doubts(image: Any) -> list[str]:
    """Sentences about uncompressed pixels, and what their description has wrong.

    Raises ValueError where there are fewer or far more of them than it says.
    """
    columns, rows = int(image.Columns), int(image.Rows)
    allocated, stored = int(image.BitsAllocated), int(image.get("BitsStored") or 0)
    wanted = (rows * columns * allocated + 7) // 8
    there = len(image.PixelData)
    if there < wanted:
        raise ValueError(
            f"it has {there:,} of {wanted:,} bytes of pixels: it is cut short or damaged"
        )
    if there >= 2 * wanted:
        raise ValueError(
            f"it has {there:,} bytes of pixels, its header tells of {wanted:,}: Rows, Columns, "
            "BitsAllocated or NumberOfFrames are wrong"
        )
    found = []
    if there - wanted >= columns * allocated // 8:
        found.append("some images have more pixels than their headers tell of")
    if allocated == 16 and 0 < stored < 16:
        order = "<" if image.file_meta.TransferSyntaxUID.is_little_endian else ">"
        pixels = np.frombuffer(image.PixelData, f"{order}i2", rows * columns)
        above = pixels >> stored
        wrong = above != 0
        if int(image.get("PixelRepresentation") or 0):  # whose sign may be repeated there
            wrong &= above != (pixels >> (stored - 1))
        if wrong.any():
            found.append(
                f"some pixels have bits above BitsStored, {stored}; they are not part of the "
                "value and left out"
            )
    return found
