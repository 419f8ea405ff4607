"""A DICOM series, in a folder or a .zip, as one volume.

Geometry comes from the headers of its slices (PS3.3 C.7.6.2): position, orientation and pixel
spacing of each, checked against one another.
"""

from __future__ import annotations

import math
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arssr.errors import ArSSRError, NothingMatchesError
from arssr.files import bytes_in_words, is_dicom
from arssr.formats import dicom_checks as checks
from arssr.formats.dicom_pixels import read_pixels
from arssr.formats.kind import kind_described
from arssr.formats.lps import lps_to_ras
from arssr.formats.opened import Opened, reason
from arssr.formats.samples import gather
from arssr.formats.slices import millimetres, slices_of
from arssr.grid import Grid

Floats = NDArray[np.float64]

_GE, _GE_TYPE = 0x00430010, 0x0043102F  # GEMS_PARM_01, RawDataType: 1 is phase
_KIND = ("ImageType", "ComplexImageComponent", _GE, _GE_TYPE)
_HEADER: tuple[str | int, ...] = (
    *checks.TAGS,
    *("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "SOPInstanceUID"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated"),
    *("PixelRepresentation", "RescaleSlope", "RescaleIntercept"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("SliceThickness", "SpacingBetweenSlices", "MRAcquisitionType"),
    *_KIND,
)
_CONVERT = "make a NIfTI image of it with dcm2niix first"
_SAME_DIRECTION = 1e-3  # scanners write directions with some six digits
_SAME_SPACING = 1e-3
_SAME_STEP = 0.01  # of the distance of slices
_PIXELS_PER_BYTE = 1000  # of a file; no compression of an image with content comes near
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ZIP_RATIO = 250  # scans reach about 10, empty ones 100


@dataclass(frozen=True, eq=False)
class Place:
    """Where the pixels of an image lie, in LPS mm."""

    position: Floats  # (3,) centre of the first pixel
    directions: Floats  # (2, 3) unit vectors along i and j
    spacing_ij: Floats  # (2,)


@dataclass(frozen=True, eq=False)
class Slice:
    """One image of a series; None stands for what its header does not say."""

    path: Path
    shape_ij: tuple[int, int]
    frames: int
    colours: int
    uid: str
    frame_of_reference: str
    is_mosaic: bool
    spacing_mm: float | None  # from slice to slice, as it is stated
    doubts: tuple[str, ...]
    storage: np.dtype[Any] | None
    slope: float
    inter: float
    place: Place | None
    distance_mm: float | None
    described: Mapping[str, Any]  # what it says of its making, by keyword, believed or not


@dataclass(frozen=True, eq=False)
class Series:
    """The slices that belong together."""

    uid: str
    number: str
    description: str
    slices: tuple[Slice, ...]

    def __str__(self) -> str:
        return f"{self.number or '?'} {self.description!r} ({len(self.slices)} images, {self.uid})"


def open_series(path: Path, wanted: str | None = None) -> Opened:
    """One series of a folder, searched with all its subfolders, or of a .zip.

    wanted: SeriesInstanceUID, series number, or a part of the description that only one has;
        needed where there are several.

    Raises ArSSRError where there is no such series, and where its slices are not one volume:
    missing, unequally spaced, of several orientations or times, in colour, or all in one file;
    and where two different images go by one name.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(unpacked(path))
        series = choose(series_in(folder, path), wanted, path)
        once, warnings = checks.each_once(series.slices, path)
        slices, grid = _arranged(once, path)
        warnings += [*checks.doubts_among(slices, grid), *checks.cut_off(folder)]
        scaling = {(s.storage, s.slope, s.inter) for s in slices}
        storage, slope, inter = scaling.pop() if len(scaling) == 1 else (None, 1.0, 0.0)

        def read(_: int) -> NDArray[np.float32]:
            if any(s.colours > 1 for s in slices):
                raise ArSSRError(f"{path}: the images are in colour, not of intensities.")
            planes = ((slice(k, k + 1), _plane(s, warnings)) for k, s in enumerate(slices))
            return gather(planes, grid.shape, str(path))

        agreed = _agreed([s.described for s in slices])
        close = stack.pop_all().close
    return Opened(
        grid,
        read,
        storage=storage,
        slope=slope,
        inter=inter,
        slices=slices_of(agreed, grid, header_axis=2),
        kind=kind_described(agreed),
        close=close,
        warnings=warnings,
    )


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The folder itself, or a temporary one with the content of a .zip."""
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="arssr-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                _unpack(archive, Path(folder), path)
        except ArSSRError:
            raise
        except Exception as error:  # a damaged directory makes zipfile raise anything
            raise ArSSRError(f"{path}: cannot be unpacked ({reason(error)}).") from error
        yield Path(folder)


def _unpack(archive: zipfile.ZipFile, folder: Path, path: Path) -> None:
    """All files, under numbers: what they are called inside does not matter and may do harm.

    Pages of HTML are left where they are; by their number, they would look like images gone wrong.
    """
    members = [
        member
        for member in archive.infolist()
        if not (member.is_dir() or member.filename.lower().endswith(checks.PAGES))
    ]
    size = sum(member.file_size for member in members)
    if size > _ZIP_RATIO * path.stat().st_size:
        raise ArSSRError(
            f"{path}: not unpacked, it would grow to {bytes_in_words(size)}, more than "
            f"{_ZIP_RATIO} times its size; unpack it yourself if you trust it, and name the folder."
        )
    for number, member in enumerate(members):
        if member.compress_type not in _ZIP_METHODS:
            raise ArSSRError(f"{path}: is compressed in an uncommon way; unpack it yourself.")
        with archive.open(member) as packed, (folder / f"{number:06d}").open("wb") as file:
            while part := packed.read(2**20):
                file.write(part)


def series_in(folder: Path, label: Path | None = None) -> list[Series]:
    """All series of images in a folder and its subfolders, by number.

    Raises ArSSRError where there is none, and for damaged DICOM files.
    """
    label = label or folder
    found: dict[str, list[tuple[Any, Slice]]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and is_dicom(p)):
        try:
            header = read_header(path, _HEADER)
            if "Rows" in header:  # neither a directory, a report nor a structure set
                found.setdefault(_text(header, "SeriesInstanceUID"), []).append(
                    (header, _slice(path, header))
                )
            elif checks.is_image(header):
                raise ValueError("it ends before its image")
        except Exception as error:  # a damaged header makes pydicom raise anything
            where = label if path.is_relative_to(label) else label / path.name
            raise ArSSRError(f"{where}: {path.name} is damaged ({reason(error)}).") from error
    if not found:
        kind = "a folder" if label.is_dir() else "an archive"
        raise ArSSRError(f"{label}: this is {kind} without DICOM images; name an image.")
    series = [
        Series(
            uid,
            _text(members[0][0], "SeriesNumber"),
            _text(members[0][0], "SeriesDescription"),
            tuple(image for _, image in members),
        )
        for uid, members in found.items()
    ]
    return sorted(series, key=lambda s: (s.number.zfill(12), s.description, s.uid))


def choose(series: Sequence[Series], wanted: str | None, label: Path) -> Series:
    """The only series, or the one that is wanted; ArSSRError lists them where that is not one."""
    if wanted is None:
        matches, problem = list(series), "holds several series, name one (a scan's with --series)"
    else:
        word = wanted.strip()
        matches = [s for s in series if word in (s.uid, s.number)] or [
            s for s in series if word and word.lower() in s.description.lower()
        ]
        problem = f"{len(matches) or 'no'} series match {wanted!r}"
    if len(matches) == 1:
        return matches[0]
    kind = ArSSRError if matches else NothingMatchesError
    raise kind(f"{label}: {problem}: {'; '.join(map(str, series))}.")


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
        header.decode()
    return header


def _text(header: Any, keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else " ".join(str(value).split())


def _slice(path: Path, header: Any) -> Slice:
    def numbers(keyword: str, count: int) -> Floats | None:
        value = header.get(keyword)
        if value is None or value == "":
            return None
        array = np.array(value, dtype=np.float64).reshape(count)
        if not np.isfinite(array).all():
            raise ValueError(f"{keyword} is not finite")
        return array

    def number(keyword: str, default: float) -> float:
        value = numbers(keyword, 1)
        return default if value is None else float(value[0])

    position, spacing_ji = numbers("ImagePositionPatient", 3), numbers("PixelSpacing", 2)
    directions, place = numbers("ImageOrientationPatient", 6), None
    if position is not None and directions is not None and spacing_ji is not None:
        pair = directions.reshape(2, 3)
        length = np.linalg.norm(pair, axis=1, keepdims=True)
        if not length.all():
            raise ValueError("ImageOrientationPatient is zero")
        unit = pair / length
        if spacing_ji.min() <= 0:
            raise ValueError("PixelSpacing must be positive")
        place = Place(position, unit, spacing_ji[::-1])  # in the header rows come first
    shape_ij = int(header.Columns), int(header.Rows)
    if min(shape_ij) < 1 or math.prod(shape_ij) > _PIXELS_PER_BYTE * path.stat().st_size:
        raise ValueError(f"it cannot hold {shape_ij[0]}×{shape_ij[1]} pixels")
    colours = int(number("SamplesPerPixel", 1))
    bits, signed = int(number("BitsAllocated", 16)), number("PixelRepresentation", 0) == 1
    distances = (
        millimetres(header.get(name)) for name in ("SpacingBetweenSlices", "SliceThickness")
    )
    return Slice(
        path,
        shape_ij,
        int(number("NumberOfFrames", 1)),
        3 if "PALETTE" in _text(header, "PhotometricInterpretation") else colours,
        _text(header, "SOPInstanceUID"),
        _text(header, "FrameOfReferenceUID"),
        checks.is_mosaic(header),
        millimetres(header.get("SpacingBetweenSlices")),
        tuple(checks.doubts_of(header)),
        np.dtype(f"{'i' if signed else 'u'}{bits // 8}") if bits in (8, 16, 32) else None,
        number("RescaleSlope", 1) or 1.0,
        number("RescaleIntercept", 0),
        place,
        next(filter(None, distances), None),
        {name: header.get(name) for name in ("SliceThickness", "MRAcquisitionType", "ImageType")}
        | {"ComplexImageComponent": _component(header)},
    )


def _component(header: Any) -> Any:
    """Magnitude, phase, …, as the standard or GE has it; None where nothing is said."""
    maker, number = (header[tag].value if tag in header else None for tag in (_GE, _GE_TYPE))
    if maker == "GEMS_PARM_01" and number in (1, b"\1\0"):
        return "PHASE"
    return header.get("ComplexImageComponent")


def _arranged(slices: Sequence[Slice], label: Path) -> tuple[list[Slice], Grid]:
    """In order along their normal, and where they lie; or in words why they are no volume."""
    if any(s.is_mosaic for s in slices):
        raise ArSSRError(
            f"{label}: the image is a mosaic, many slices as the tiles of one picture; {_CONVERT}."
        )
    if any(s.frames > 1 for s in slices):
        raise ArSSRError(f"{label}: a multi-frame DICOM file holds many slices; {_CONVERT}.")
    placed = [(s.place, s) for s in slices if s.place is not None]
    if len(placed) < len(slices):
        raise ArSSRError(f"{label}: the DICOM headers do not say where the images lie.")
    (place, first), *others = placed
    if not all(s.shape_ij == first.shape_ij and _parallel(p, place) for p, s in others):
        raise ArSSRError(
            f"{label}: its images differ in size, spacing or direction, as those of a localizer "
            "do; one volume is needed."
        )
    normal = np.cross(*place.directions)
    placed.sort(key=lambda pair: float(pair[0].position @ normal))
    affine = np.eye(4)
    affine[:3, :2] = (place.directions * place.spacing_ij[:, None]).T
    affine[:3, 2] = _step(
        np.array([p.position for p, _ in placed]), normal, first.distance_mm, label
    )
    affine[:3, 3] = placed[0][0].position
    try:
        grid = Grid((*first.shape_ij, len(placed)), lps_to_ras(affine))
    except ArSSRError as error:
        raise ArSSRError(f"{label}: {error}") from error
    return [image for _, image in placed], grid


def _agreed(described: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all of them say alike."""
    first, *others = described
    return {name: value for name, value in first.items() if all(o[name] == value for o in others)}


def _parallel(one: Place, other: Place) -> bool:
    return np.allclose(one.directions, other.directions, atol=_SAME_DIRECTION) and np.allclose(
        one.spacing_ij, other.spacing_ij, rtol=_SAME_SPACING
    )


def _step(positions: Floats, normal: Floats, stated_mm: float | None, label: Path) -> Floats:
    """(3,) mm from a slice to the next, the same for all; as stated where there is only one."""
    if len(positions) == 1:
        if stated_mm is None:
            raise ArSSRError(f"{label}: this is a single slice of unknown thickness.")
        return normal * stated_mm
    gaps = np.diff(positions @ normal)
    usual = float(np.median(gaps))
    if gaps.min() <= _SAME_STEP * usual or usual <= 0:
        raise ArSSRError(
            f"{label}: several images lie in the same place, as in a 4D series; {_CONVERT} and "
            "take all its frames with --frames."
        )
    skipped = np.rint(gaps / usual) - 1
    if skipped.any() and np.allclose(gaps, usual * (skipped + 1), rtol=_SAME_STEP):
        raise ArSSRError(
            f"{label}: {int(skipped.sum())} slices are missing, the first of them after slice "
            f"{int(np.argmax(skipped > 0)) + 1} of {len(positions)}."
        )
    step: Floats = (positions[-1] - positions[0]) / (len(positions) - 1)
    strays = np.linalg.norm(np.diff(positions, axis=0) - step, axis=1).max()
    if strays > _SAME_STEP * np.linalg.norm(step) + 2e-3:  # positions have some three decimals
        raise ArSSRError(
            f"{label}: its slices are not equally spaced, from {gaps.min():.4g} to "
            f"{gaps.max():.4g} mm; resample them first."
        )
    return step


def _plane(image: Slice, doubts: list[str]) -> NDArray[Any]:
    """(I, J, 1) in the units of the image; adds to the doubts what is odd about it."""
    pixels, found = read_pixels(image.path)
    doubts.extend(doubt for doubt in found if doubt not in doubts)
    return pixels.T.reshape(*image.shape_ij, 1) * image.slope + image.inter
