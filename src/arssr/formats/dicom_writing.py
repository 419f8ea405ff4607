"""A volume as a derived DICOM series (PS3.3 C.7.6.1.1.2): new images in the study and space of the
series that it was made from.
"""

from __future__ import annotations

import os
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.files import replacing_folder
from arssr.formats.archive import unpacked
from arssr.formats.dicom import series_in
from arssr.formats.dicom_classic import classic_header, is_enhanced
from arssr.formats.dicom_header import read_header
from arssr.formats.dicom_images import choose
from arssr.formats.lps import ras_to_lps
from arssr.formats.opened import Stored, damage_in_words
from arssr.formats.samples import encode
from arssr.formats.slices import Slices
from arssr.grid import Grid, spacing_in_words

# What is true of the original pixels only.
_DROPPED = (
    *("PixelData", "FloatPixelData", "IconImageSequence", "ModalityLUTSequence"),
    *("SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingValue"),
    *("PixelPaddingRangeLimit", "ReferencedImageSequence", "SourceImageSequence"),
    *("SmallestPixelValueInSeries", "LargestPixelValueInSeries", "PixelAspectRatio"),
    *("NumberOfFrames", "PlanarConfiguration", "SliceLocation", "ImageComments"),
    "RealWorldValueMappingSequence",
)
_SHORT_INTEGERS = ("u1", "i1", "u2", "i2")
_NEXT_NUMBERS = 1000  # of the new series: that of the original, plus this
_SQUARE = 1e-4


class Sampled(Stored, Protocol):
    """Samples, their grid and slices, and how they are stored: a Volume."""

    @property
    def data(self) -> NDArray[np.float32]: ...
    @property
    def grid(self) -> Grid: ...
    @property
    def slices(self) -> Slices | None: ...


def write_dicom_series(
    folder: str | os.PathLike[str],
    volume: Sampled,
    template: str | os.PathLike[str],
    series: str | None = None,
    overwrite: bool = False,
    method: str = "super-resolved",
) -> Path:
    """Write a volume as a DICOM series into a folder of its own, whole or not at all.

    template: the folder or .zip of the series that the volume was made from (`series` chooses,
        as in `Volume.read`). It lends patient, study, frame of reference and protocol; private
        tags and what describes the old pixels go.
    method: how the samples were made, for `DerivationDescription`.

    The samples are stored in 16 bits: small integer types with their own slope and intercept,
    others stretched over the whole range. Returns the folder. Raises ArSSRError for an unreadable
    template, a grid whose rows and columns are not at right angles, NaN and infinite samples, a
    folder that exists unless `overwrite`, and where the disk is full or refuses.
    """
    target = check_series_output(folder, overwrite)
    if not np.isfinite(volume.data).all():
        raise ArSSRError(f"{target}: not written, the samples have NaN or infinite values.")
    header = _derived_header(Path(template), series, volume.grid, method)
    _place(header, volume, target)
    dtype, slope, inter = _scaling(volume)
    header.RescaleSlope, header.RescaleIntercept, header.RescaleType = slope, inter, "US"
    header.PixelRepresentation = int(dtype.kind == "i")
    with (
        replacing_folder(target, overwrite) as temporary,
        damage_in_words(f"{target}: cannot be written"),
    ):
        for k in range(volume.grid.shape[2]):
            plane = encode(volume.data[..., k], dtype, float(slope), float(inter))
            _write_slice(temporary, header, volume.grid, k, plane)
    return target


def check_series_output(folder: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """The folder, if a series can be written there: ask before the work, not after."""
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise ArSSRError(f"{path}: is a file; a DICOM series needs a folder.")
    if path.is_dir() and not overwrite:
        raise ArSSRError(f"{path}: exists already; --overwrite (overwrite=True) replaces it.")
    return path


def _derived_header(template: Path, series: str | None, grid: Grid, method: str) -> Any:
    """What all slices of the new series share."""
    from pydicom.uid import MRImageStorage, generate_uid

    with unpacked(template) as folder:
        image = choose(series_in(folder, template), series, template)
        source = image.series
        with damage_in_words(f"{template}: cannot be read"):
            header = read_header(image.slices[0].path)
            if is_enhanced(header):
                header = classic_header(header, image.slices[0].frame)
    header.remove_private_tags()
    for element in list(header):
        overlay = 0x6000 <= element.tag.group <= 0x60FF
        if overlay or element.keyword in _DROPPED or "PaletteColor" in element.keyword:
            del header[element.tag]
    now = datetime.now()
    size = spacing_in_words(grid.spacing_mm)
    header.ImageType = ["DERIVED", "SECONDARY"]
    if header.SOPClassUID == MRImageStorage:  # which asks for a third (PS3.3 C.8.3.1.1.1)
        header.ImageType.append("OTHER")
    header.DerivationDescription = (
        f"ArSSR {version('arssr')}: {method}; {size} from series {source.uid}"
    ).replace("×", "x")
    header.SeriesInstanceUID = generate_uid()
    header.SeriesNumber = (int(source.number) if source.number.isdecimal() else 0) + _NEXT_NUMBERS
    header.SeriesDescription = f"{source.description[:58]} ArSSR".strip()
    header.SeriesDate = header.ContentDate = header.InstanceCreationDate = now.strftime("%Y%m%d")
    header.SeriesTime = header.ContentTime = header.InstanceCreationTime = now.strftime("%H%M%S")
    header.SamplesPerPixel = 1
    if header.get("PhotometricInterpretation") != "MONOCHROME1":  # to be shown in negative
        header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    return header


def _place(header: Any, volume: Sampled, label: Path) -> None:
    """Size, directions, spacing and thickness of every slice. LPS; rows of pixels run along i."""
    grid, slices = volume.grid, volume.slices
    axes = ras_to_lps(grid.affine)[:3, :3]
    spacing = grid.spacing_mm
    along_i, along_j = (axes[:, :2] / spacing[:2]).T
    if abs(along_i @ along_j) > _SQUARE:
        raise ArSSRError(f"{label}: DICOM has no images whose rows and columns are askew.")
    header.Columns, header.Rows = grid.shape[:2]
    header.ImageOrientationPatient = _decimals(*along_i, *along_j)
    header.PixelSpacing = _decimals(spacing[1], spacing[0])
    still = slices is not None and slices.axis == 2 and slices.thickness_mm
    header.SliceThickness, header.SpacingBetweenSlices = _decimals(still or spacing[2], spacing[2])


def _scaling(volume: Sampled) -> tuple[np.dtype[Any], str, str]:
    """The 16-bit type, and slope and intercept as the 16 characters that the header holds."""
    stored = volume.storage
    if stored is not None and stored in map(np.dtype, _SHORT_INTEGERS):
        slope, inter = _decimals(volume.slope, volume.inter)
        return np.dtype(f"{stored.kind}2"), slope, inter
    low, high = float(volume.data.min()), float(volume.data.max())
    slope, inter = _decimals((high - low) / 65535 or 1.0, low)
    return np.dtype("u2"), slope, inter


def _write_slice(folder: Path, header: Any, grid: Grid, k: int, plane: NDArray[Any]) -> None:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    header.SOPInstanceUID = generate_uid()
    header.InstanceNumber = k + 1
    header.ImagePositionPatient = _decimals(*(ras_to_lps(grid.affine) @ (0, 0, k, 1))[:3])
    samples = plane.astype(plane.dtype.newbyteorder("<")).tobytes(order="F")
    header.add_new("PixelData", "OW", samples)
    header.file_meta = FileMetaDataset()
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.save_as(folder / f"{k + 1:05d}.dcm", enforce_file_format=True)


def _decimals(*values: float) -> list[str]:
    """Numbers as DICOM's decimal strings, of up to 16 characters."""
    from pydicom.valuerep import format_number_as_ds

    return [format_number_as_ds(float(value)) for value in values]
