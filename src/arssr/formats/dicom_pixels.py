"""The pixels of a DICOM image, decoded by GDCM from a copy of what it needs.

GDCM believes the length that a file claims for an element, and takes up to 4 GB for it. The copy,
made by pydicom, holds nothing but the image, with lengths that are true.
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
    *("RescaleSlope", "RescaleIntercept", "PixelData"),
)


def read_pixels(path: Path) -> NDArray[Any]:
    """(rows, columns) of a single-frame grey image, rescale slope and intercept applied.

    Raises ValueError for whatever is wrong.
    """
    import SimpleITK as sitk  # noqa: N813

    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # they would go to standard error
    with tempfile.TemporaryDirectory(prefix="arssr-") as folder:
        try:
            copy = _copy(path, Path(folder) / "image")
            reader = sitk.ImageFileReader()
            reader.SetImageIO("GDCMImageIO")
            reader.SetFileName(str(copy))
            pixels: NDArray[Any] = sitk.GetArrayFromImage(reader.Execute())
        except Exception as error:  # damaged values make pydicom raise anything
            raise ValueError(f"{path.name}: {reason(error)}") from error
    return np.squeeze(pixels, axis=0)


def _copy(path: Path, target: Path) -> Path:
    import pydicom
    from pydicom.encaps import encapsulate, generate_frames

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = pydicom.dcmread(path, specific_tags=list(_NEEDED))
        image = pydicom.Dataset()
        for keyword in _NEEDED:
            if keyword in whole:
                image[keyword] = whole[keyword]
        image.file_meta = pydicom.dataset.FileMetaDataset()
        syntax = whole.file_meta.get("TransferSyntaxUID", pydicom.uid.ImplicitVRLittleEndian)
        image.file_meta.TransferSyntaxUID = syntax
        if syntax.is_encapsulated:
            frames = list(generate_frames(whole.PixelData, number_of_frames=1))
            image.PixelData = encapsulate(frames)
            image["PixelData"].is_undefined_length = True
        image.save_as(target, enforce_file_format=True)
    return target
