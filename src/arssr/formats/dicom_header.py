"""What the header of a DICOM file says of the slices in it (PS3.3 C.7.6): one in a classic file,
one in every frame of an enhanced one.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from arssr.formats import dicom_checks as checks
from arssr.formats.dicom_pixels import needs_gdcm
from arssr.formats.enhanced import DIMENSIONS, MAPPING, PER_FRAME, SHARED, frame_headers
from arssr.formats.slices import millimetres
from arssr.formats.storage import Storage
from arssr.grid import Floats

# What makers say in tags of their own: whose block, the tag, and what it means.
_GE, _GE_TYPE = 0x00430010, 0x0043102F  # GEMS_PARM_01, RawDataType
_GE_TYPES = ("MAGNITUDE", "PHASE", "REAL", "IMAGINARY")
_B_VALUES = (
    (0x00190010, "SIEMENS MR HEADER", 0x0019100C),
    (0x20010010, "Philips Imaging DD 001", 0x20011003),
    (0x00430010, "GEMS_PARM_01", 0x00431039),  # the first of four numbers
)
_GE_OFFSET = 1_000_000  # is added to b-values of GE's newer software
_TAGS: tuple[str | int, ...] = (
    *checks.TAGS,
    *("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "SOPInstanceUID"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated"),
    *("PixelRepresentation", "RescaleSlope", "RescaleIntercept", MAPPING),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("SliceThickness", "SpacingBetweenSlices", "MRAcquisitionType"),
    *("EchoTime", "InversionTime", "FlipAngle", "DiffusionBValue", "StackID"),
    *("TemporalPositionIdentifier", "AcquisitionNumber", "InstanceNumber"),
    *("AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime", "ASLContext"),
    *("ImageType", "ComplexImageComponent", _GE_TYPE),
    *(tag for block, _, of_block in _B_VALUES for tag in (block, of_block)),
    *(SHARED, PER_FRAME, DIMENSIONS, "ConcatenationUID", "InConcatenationTotalNumber"),
)
_SPATIAL = (0x00209056, 0x00209057, 0x00200032)  # stack, position in it, and in the patient
_NO_UNITS = ("", "1", "NO UNITS", "US")
_PIXELS_PER_BYTE = 1000  # of a file; no compression of an image with content comes near
_PLACE = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}


@dataclass(frozen=True, eq=False)
class Place:
    """Where the pixels of an image lie, in LPS mm."""

    position: Floats  # (3,) centre of the first pixel
    directions: Floats  # (2, 3) unit vectors along i and j
    spacing_ij: Floats  # (2,)


@dataclass(frozen=True, eq=False)
class Slice:
    """One image of a series, a file or a frame of one; None is what its header does not say."""

    path: Path
    frame: int  # of the file, from 0
    frames: int  # that the file holds
    shape_ij: tuple[int, int]
    colours: int
    packed: str  # how its pixels are, where GDCM must decode them
    uid: str
    frame_of_reference: str
    concatenation: tuple[str, float]  # its UID, and how many files it has; 0 where it is none
    is_mosaic: bool  # a picture of many slices
    spacing_mm: float | None  # from slice to slice, as it is stated
    doubts: tuple[str, ...]
    storage: Storage
    place: Place | None
    lacks: str  # what is missing where there is no place
    distance_mm: float | None
    described: Mapping[str, Any]  # what it says of its making, by keyword, believed or not
    varied: Mapping[str, Any]  # what may be several at one place: echo, type, b-value, …
    order: tuple[Any, ...]  # in time
    time_s: float | None


def read_header(path: Path, tags: Sequence[str | int] | None = None) -> Any:
    """A pydicom data set without its pixels, of some tags or all."""
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        syntax = pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID")
        if syntax and syntax.is_deflated:
            raise ValueError("files compressed as a whole are not read")
        wanted: list[Any] | None = None if tags is None else list(tags)
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=wanted)
        if tags is None:  # of some, all are looked at
            header.decode()
    return header


def slices_in(path: Path) -> tuple[Any, list[Slice]]:
    """The header of a file, of what is asked here, and the slices in it, none if it has no image.

    Raises whatever pydicom does over damaged files, and ValueError for impossible values.
    """
    header = read_header(path, _TAGS)
    if "Rows" not in header:  # a directory, a report or a structure set, if it is whole
        if checks.is_image(header):
            raise ValueError("it ends before its image")
        return header, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = enumerate(frame_headers(header))
        enhanced = PER_FRAME in header
        slices = [_slice(path, number, each, enhanced) for number, each in frames]
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax and needs_gdcm(syntax, int(_number(header, "BitsAllocated") or 16)):
        slices = [replace(each, packed=syntax.name) for each in slices]
    return header, slices


def text(header: Any, keyword: str) -> str:
    """A value in words, without a break; empty where there is none."""
    value = header.get(keyword)
    return "" if value is None else " ".join(str(value).split())


def _slice(path: Path, number: int, header: Any, enhanced: bool) -> Slice:
    shape_ij = int(header.Columns), int(header.Rows)
    if min(shape_ij) < 1 or math.prod(shape_ij) > _PIXELS_PER_BYTE * path.stat().st_size:
        raise ValueError(f"it cannot hold {shape_ij[0]}×{shape_ij[1]} pixels")
    colours = int(_number(header, "SamplesPerPixel") or 1)
    bits = int(_number(header, "BitsAllocated") or 16)
    sign = "i" if _number(header, "PixelRepresentation") == 1 else "u"
    dtype = np.dtype(f"{sign}{bits // 8}") if bits in (8, 16, 32) else None
    distances = (
        millimetres(header.get(name)) for name in ("SpacingBetweenSlices", "SliceThickness")
    )
    slope, inter, units = _meaning(header)
    frames = int(_number(header, "NumberOfFrames") or 1)
    lacks = next((name for name in _PLACE if not header.get(name)), "")
    if frames > 1 and not enhanced:
        lacks = PER_FRAME
    return Slice(
        path=path,
        frame=number,
        frames=frames,
        shape_ij=shape_ij,
        colours=3 if "PALETTE" in text(header, "PhotometricInterpretation") else colours,
        packed="",
        uid=text(header, "SOPInstanceUID"),
        frame_of_reference=text(header, "FrameOfReferenceUID"),
        concatenation=(
            text(header, "ConcatenationUID"),
            _number(header, "InConcatenationTotalNumber") or 0,
        ),
        is_mosaic=not enhanced and checks.is_mosaic(header),
        spacing_mm=millimetres(header.get("SpacingBetweenSlices")),
        doubts=tuple(checks.doubts_of(header)),
        storage=Storage(dtype, slope, inter),
        place=None if lacks else _place(header),
        lacks=lacks,
        distance_mm=next(filter(None, distances), None),
        described={
            name: header.get(name) for name in ("SliceThickness", "MRAcquisitionType", "ImageType")
        }
        | {"ComplexImageComponent": _component(header)},
        varied=_varied(header, units),
        order=tuple(_order(header, number)),
        time_s=_seconds(header),
    )


def _numbers(header: Any, keyword: str, count: int) -> Floats | None:
    value = header.get(keyword)
    if value is None or value == "":
        return None
    array = np.array(value, dtype=np.float64).reshape(count)
    if not np.isfinite(array).all():
        raise ValueError(f"{keyword} is not finite")
    return array


def _number(header: Any, keyword: str) -> float | None:
    """The value, of several the first."""
    value = header.get(keyword)
    if value is None or value == "" or np.size(value) == 0:
        return None
    if not math.isfinite(number := float(np.ravel(value)[0])):
        raise ValueError(f"{keyword} is not finite")
    return number


def _place(header: Any) -> Place | None:
    position, directions, spacing_ji = (_numbers(header, *item) for item in _PLACE.items())
    if position is None or directions is None or spacing_ji is None:
        return None
    pair = directions.reshape(2, 3)
    length = np.linalg.norm(pair, axis=1, keepdims=True)
    if not length.all():
        raise ValueError("ImageOrientationPatient is zero")
    if spacing_ji.min() <= 0:
        raise ValueError("PixelSpacing must be positive")
    return Place(position, pair / length, spacing_ji[::-1])  # in the header rows come first


def _meaning(header: Any) -> tuple[float, float, str]:
    """Slope and intercept of stored values, and the units of what comes of them.

    A mapping to real-world values (PS3.3 C.7.6.16.2.11) counts where it has units, or is all that
    is said.
    """
    slope, inter = _number(header, "RescaleSlope"), _number(header, "RescaleIntercept")
    for mapping in header.get(MAPPING) or ():
        codes = mapping.get("MeasurementUnitsCodeSequence")
        units = text(codes[0], "CodeValue") if codes else ""
        own = _number(mapping, "RealWorldValueSlope")
        if own and (slope is None or units.upper() not in _NO_UNITS):
            return own, _number(mapping, "RealWorldValueIntercept") or 0.0, units
    return slope or 1.0, inter or 0.0, ""


def _varied(header: Any, units: str) -> dict[str, Any]:
    """What may tell images of one place apart; None is what is not said."""
    types = [*(header.get("ImageType") or ()), _component(header)]
    return {
        "stack": text(header, "StackID"),
        "type": tuple(" ".join(str(word).upper().split()) for word in types if word),
        "units": "" if units.upper() in _NO_UNITS else units,
        "TE": _number(header, "EchoTime"),
        "TI": _number(header, "InversionTime"),
        "flip angle": _number(header, "FlipAngle"),
        "b": _b_value(header),
        "label": text(header, "ASLContext").lower() or None,
    }


def _component(header: Any) -> Any:
    """Magnitude, phase, …, as the standard or GE has it; None where nothing is said."""
    maker, number = (header[tag].value if tag in header else None for tag in (_GE, _GE_TYPE))
    if maker == "GEMS_PARM_01" and number is not None:
        part = int.from_bytes(number, "little") if isinstance(number, bytes) else number
        if part in range(len(_GE_TYPES)):
            return _GE_TYPES[part]
    return header.get("ComplexImageComponent")


def _b_value(header: Any) -> float | None:
    """The diffusion weighting in s/mm², as the standard or a maker has it."""
    stated = _number(header, "DiffusionBValue")
    if stated is not None:
        return stated
    for block, maker, tag in _B_VALUES:
        if tag not in header or block not in header or header[block].value != maker:
            continue
        value = header[tag].value
        if isinstance(value, bytes):
            value = value.decode("ascii", "ignore").strip("\0 ").split("\\")
        first = np.ravel(value)[:1]
        try:
            return float(first[0]) % _GE_OFFSET
        except (ValueError, IndexError, TypeError):
            return None
    return None


def _order(header: Any, number: int) -> Iterator[Any]:
    """What comes earlier has less of this: time first, then dimensions that are not of space."""
    yield _number(header, "TemporalPositionIdentifier") or 0.0
    pointers = [each.get("DimensionIndexPointer") for each in header.get(DIMENSIONS) or ()]
    values = np.ravel(header.get("DimensionIndexValues") or ()).tolist()
    dimensions = zip(pointers, values, strict=False)
    yield tuple(value for pointer, value in dimensions if pointer not in _SPATIAL)
    for keyword in ("AcquisitionNumber", "InstanceNumber"):
        yield _number(header, keyword) or 0.0
    yield number


def _seconds(header: Any) -> float | None:
    """When it was measured, in seconds of some day."""
    moment = text(header, "AcquisitionDateTime")[8:] or text(header, "AcquisitionTime")
    try:
        hours, minutes, seconds = int(moment[:2]), int(moment[2:4]), float(moment[4:].split("+")[0])
    except ValueError:
        return None
    return 3600.0 * hours + 60 * minutes + seconds
