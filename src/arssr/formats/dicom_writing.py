"""An image as a derived DICOM series (PS3.3 C.7.6.1.1.2): new images in the study and space of the
series that it was made from.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.files import is_series, replacing_folder
from arssr.formats.archive import unpacked
from arssr.formats.dicom import series_in
from arssr.formats.dicom_classic import classic_header, is_enhanced
from arssr.formats.dicom_header import Slice, read_header
from arssr.formats.dicom_images import Image, choose
from arssr.formats.lps import ras_to_lps
from arssr.formats.opened import damage_in_words
from arssr.formats.samples import Encoding
from arssr.formats.storage import Storage
from arssr.formats.writing import Origin, Outline, Sink
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
_LONGEST_NAME = 64
_SQUARE = 1e-4
_RESAMPLED = ("113085", "Spatial resampling")  # of PS3.16 CID 7203, Image Derivation


@contextmanager
def open_sink(target: Path, image: Outline) -> Iterator[Sink]:
    """A series in a folder of its own, written when all planes are there, whole or not at all.

    The series that `image.origin` names lends patient, study, frame of reference and protocol;
    private tags and what describes the old pixels go. The samples are stored in 16 bits: small
    integer types with their own slope and intercept, others stretched over the whole range.

    Raises ArSSRError for an unreadable origin, a grid whose rows and columns are not at right
    angles, and where the disk is full or refuses.
    """
    yield _Series(target, image)


class _Series:
    encoding = Encoding(np.dtype(np.float32))  # which integers fit is known when all are there

    def __init__(self, target: Path, image: Outline) -> None:
        if image.origin is None:
            raise TypeError("a derived series needs the one that it is derived from")
        self._target, self._image = target, image
        self._header = _derived_header(image.origin, image.grid, image.remark)
        _place(self._header, image, target)
        self._data = np.empty(image.grid.shape, np.float32, order="F")
        self._done = 0

    def write(self, stored: NDArray[np.float32]) -> None:
        end = self._done + stored.shape[2]
        self._data[..., self._done : end] = stored
        self._done = end

    def finish(self) -> None:
        header, grid = self._header, self._image.grid
        dtype, slope, inter = _scaling(self._image.storage, self._data)
        header.RescaleSlope, header.RescaleIntercept, header.RescaleType = slope, inter, "US"
        header.PixelRepresentation = int(dtype.kind == "i")
        with (
            replacing_folder(self._target, self._image.overwrite) as temporary,
            damage_in_words(f"{self._target}: cannot be written"),
        ):
            encoding = Encoding(dtype, float(slope), float(inter))
            for k in range(grid.shape[2]):
                plane = encoding.encode(self._data[..., k])
                _write_slice(temporary, header, grid, k, plane)


def _derived_header(origin: Origin, grid: Grid, remark: str) -> Any:
    """What all slices of the new series share."""
    from pydicom.uid import MRImageStorage, generate_uid

    header, image, sources = _read(origin)
    source, uids = image.series, [image.series.uid]
    if is_enhanced(header):
        with damage_in_words(f"{origin.path}: cannot be read"):
            header = classic_header(header, image.slices[0].frame)
    for other in origin.others:
        if is_series(other.path):
            _, its_image, its_sources = _read(other)
            sources += its_sources
            uids.append(its_image.series.uid)
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
    made_by = f"ArSSR {version('arssr')}{origin.what}"
    description = f"{made_by}: {origin.method}; {size} from series {', '.join(uids)}"
    if remark:
        description += f". {remark}"
        header.ImageComments = remark
    header.DerivationDescription = description.replace("×", "x")
    header.DerivationCodeSequence = [_code(*_RESAMPLED)]
    header.SourceImageSequence = sources
    header.SeriesInstanceUID = generate_uid()
    header.SeriesNumber = (int(source.number) if source.number.isdecimal() else 0) + _NEXT_NUMBERS
    name = f" ArSSR{origin.what}"
    header.SeriesDescription = f"{source.description[: _LONGEST_NAME - len(name)]}{name}".strip()
    header.SeriesDate = header.ContentDate = header.InstanceCreationDate = now.strftime("%Y%m%d")
    header.SeriesTime = header.ContentTime = header.InstanceCreationTime = now.strftime("%H%M%S")
    header.SamplesPerPixel = 1
    if header.get("PhotometricInterpretation") != "MONOCHROME1":  # to be shown in negative
        header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    return header


def _read(origin: Origin) -> tuple[Any, Image, list[Any]]:
    """The header of the first slice of an image, the image, and references to all its slices."""
    with unpacked(origin.path) as folder:
        image = choose(series_in(folder, origin.path), origin.series, origin.path)
        with damage_in_words(f"{origin.path}: cannot be read"):
            header = read_header(image.slices[0].path)
            return header, image, _references(image.slices, header.SOPClassUID)


def _references(slices: Sequence[Slice], sop_class: str) -> list[Any]:
    """Items of a Source Image Sequence (PS3.3 C.7.6.1.1.4): all files that a result was made of,
    of those of several frames the frames. What they are for is left out (its code is optional): of
    176 files it takes 9 of 14 ms, for every slice that is written.
    """
    from pydicom import Dataset

    items = []
    for uid, of_file in groupby(sorted(slices, key=_instance), key=lambda each: each.uid):
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        frames = list(of_file)
        if frames[0].frames > 1:
            item.ReferencedFrameNumber = [each.frame + 1 for each in frames]
        items.append(item)
    return items


def _instance(image: Slice) -> tuple[str, int]:
    return image.uid, image.frame


def _code(value: str, meaning: str) -> Any:
    """An item of a code sequence, of DICOM's own codes (PS3.16 D)."""
    from pydicom import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code


def _place(header: Any, image: Outline, label: Path) -> None:
    """Size, directions, spacing and thickness of every slice. LPS; rows of pixels run along i."""
    grid, slices = image.grid, image.slices
    axes = ras_to_lps(grid.affine)[:3, :3]
    spacing = grid.spacing_mm
    along_i, along_j = (axes[:, :2] / spacing[:2]).T
    if abs(along_i @ along_j) > _SQUARE:
        raise ArSSRError(f"{label}: DICOM has no images whose rows and columns are askew")
    header.Columns, header.Rows = grid.shape[:2]
    header.ImageOrientationPatient = _decimals(*along_i, *along_j)
    header.PixelSpacing = _decimals(spacing[1], spacing[0])
    still = slices is not None and slices.axis == 2 and slices.thickness_mm
    header.SliceThickness, header.SpacingBetweenSlices = _decimals(still or spacing[2], spacing[2])


def _scaling(storage: Storage, data: NDArray[np.float32]) -> tuple[np.dtype[Any], str, str]:
    """The 16-bit type, and slope and intercept as the 16 characters that the header holds."""
    dtype = storage.dtype
    if dtype is not None and dtype in map(np.dtype, _SHORT_INTEGERS):
        slope, inter = _decimals(storage.slope, storage.inter)
        return np.dtype(f"{dtype.kind}2"), slope, inter
    low, high = float(data.min()), float(data.max())
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
