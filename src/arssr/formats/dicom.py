"""DICOM in a folder, a .zip or a file, as one image of one or several frames.

Geometry comes from the headers of its slices (PS3.3 C.7.6.2): position, orientation and pixel
spacing of each, checked against one another.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.extras import require
from arssr.files import is_dicom, is_dicom_image
from arssr.formats import dcm2niix
from arssr.formats import dicom_checks as checks
from arssr.formats.archive import unpacked
from arssr.formats.dicom_grid import arranged, doubts_about_order
from arssr.formats.dicom_header import Slice, read_header, slices_in, text
from arssr.formats.dicom_images import Image, Series, choose, images_of
from arssr.formats.dicom_pixels import PixelFile
from arssr.formats.kind import kind_described
from arssr.formats.opened import Opened, reason
from arssr.formats.samples import frame_in_words, gather
from arssr.formats.slices import slices_of
from arssr.formats.storage import Storage

# Where all are the same it is one series. UIDs alone prove nothing once they were replaced, to hide
# whose they are.
_OF_A_SERIES = ("SeriesInstanceUID", "PatientID", "SeriesDate", "SeriesTime")
_PIXELS_AT_ONCE = 2**22
_REGULAR = 0.05  # of the time between frames


def open_series(path: Path, wanted: str | None = None) -> Opened:
    """One image of the series in a folder, searched with all its subfolders, in a .zip or a file.

    wanted: which of several, see `choose`.

    Raises ArSSRError where there is no such image, and where its slices are no volume: missing,
    unequally spaced, mixed up or in colour; where two different images go by one name; and for
    what only dcm2niix can read, where that is not there.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(unpacked(path))
        image = choose(series_in(folder, path), wanted, path)
        if packed := next((each.packed for each in image.slices if each.packed), ""):
            require("formats", f"reading {path} ({packed})", "SimpleITK")
        once, warnings = checks.each_once(image.slices, path)
        if once[0].is_mosaic:
            opened = dcm2niix.open_mosaic([s.path for s in once], once[0].shape_ij, path)
            told = [*opened.warnings, *warnings, *checks.cut_off(folder)]
            return replace(opened, warnings=told, one_frame=image.one_frame())
        if folder.is_file() and len(once) == once[0].frames == 1:
            raise ArSSRError(f"{path}: this is one DICOM file; name the folder of its series")
        frames, grid = arranged(once, path)
        warnings += [*checks.doubts_among(once, grid), *doubts_about_order(frames)]
        warnings += checks.cut_off(folder)
        ways = {s.storage for s in once}
        storage = ways.pop() if len(ways) == 1 else Storage()
        pixels = lru_cache(maxsize=1)(PixelFile)

        def read(number: int) -> NDArray[np.float32]:
            if any(s.colours > 1 for s in once):
                raise ArSSRError(f"{path}: the images are in colour, not of intensities")
            label = frame_in_words(str(path), number, len(frames))
            return gather(_planes(frames[number], pixels, warnings), grid.shape, label)

        agreed = _agreed([s.described for s in once])
        times_s = [s.time_s for s in frames[0]]
        close = stack.pop_all().close
    return Opened(
        grid,
        read,
        len(frames),
        replace(storage, repetition_s=_repetition_s(frames)),
        slices=slices_of(agreed | {"SliceTiming": times_s}, grid, header_axis=2),
        kind=kind_described(agreed),
        one_frame=image.one_frame(),
        close=close,
        warnings=warnings,
    )


def asked_for(path: Path, wanted: str | None) -> Image:
    """The image that is wanted, from headers alone. Raises ArSSRError as `choose` does."""
    with unpacked(path) as folder:
        return choose(series_in(folder, path), wanted, path)


def contents(path: Path) -> list[Image]:
    """The images that can be asked for in a folder, .zip or file of DICOM; see `choose`."""
    with unpacked(path) as folder:
        return [image for series in series_in(folder, path) for image in images_of(series)]


def series_in(folder: Path, label: Path | None = None) -> list[Series]:
    """All series of images in a folder and its subfolders, or in one file, by number.

    Raises ArSSRError where there is none, and for damaged DICOM files.
    """
    label = label or folder
    files = [folder] if folder.is_file() else [p for p in folder.rglob("*") if p.is_file()]
    names: dict[str, tuple[str, str]] = {}
    found: dict[str, list[Slice]] = {}
    for path in sorted(filter(is_dicom, files)):
        try:
            header, slices = slices_in(path)
        except Exception as error:  # a damaged header makes pydicom raise anything
            where = label if path.is_relative_to(label) else label / path.name
            raise ArSSRError(f"{where}: {path.name} is damaged ({reason(error)})") from error
        if slices:
            uid = text(header, "SeriesInstanceUID")
            names.setdefault(uid, (text(header, "SeriesNumber"), text(header, "SeriesDescription")))
            found.setdefault(uid, []).extend(slices)
    if not found:
        kind = "a folder" if label.is_dir() else "a file" if folder.is_file() else "an archive"
        raise ArSSRError(f"{label}: this is {kind} without DICOM images; name an image")
    series = [Series(uid, *names[uid], tuple(slices)) for uid, slices in found.items()]
    return sorted(series, key=lambda s: (s.number.zfill(12), s.description, s.uid))


def series_begun_in(folder: Path) -> tuple[str, ...]:
    """What tells the series of the first DICOM file in a folder from others, its UID before all.

    () where that cannot be read.
    """
    with suppress(Exception):  # a damaged header makes pydicom raise anything
        first = next(path for path in sorted(folder.iterdir()) if is_dicom_image(path))
        header = read_header(first, _OF_A_SERIES)
        if header.get("SeriesInstanceUID"):
            return tuple(str(header.get(name, "")) for name in _OF_A_SERIES)
    return ()


def _agreed(described: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all of them say alike."""
    first, *others = described
    return {name: value for name, value in first.items() if all(o[name] == value for o in others)}


def _repetition_s(frames: Sequence[Sequence[Slice]]) -> float | None:
    """Seconds from frame to frame, where they followed one another at equal times."""
    times = [time for frame in frames if (time := frame[0].time_s) is not None]
    steps = np.diff(times)
    if len(times) < len(frames) or len(steps) == 0 or steps.min() <= 0:
        return None
    usual = float(np.median(steps))
    return round(usual, 6) if np.abs(steps - usual).max() <= _REGULAR * usual else None


def _planes(
    slices: Sequence[Slice], pixels: Callable[[Path], PixelFile], doubts: list[str]
) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Where along k, and (I, J, n) in the units of the image; adds to the doubts what is odd.

    Slices of one file are read together, some four million pixels at a time.
    """
    most = max(1, _PIXELS_AT_ONCE // math.prod(slices[0].shape_ij))
    k = 0
    for path, of_file in groupby(slices, key=lambda each: each.path):
        left = list(of_file)
        while left:
            part, left = left[:most], left[most:]
            stored, found = pixels(path).read([each.frame for each in part])
            doubts.extend(doubt for doubt in found if doubt not in doubts)
            ways = [each.storage for each in part]
            slope, inter = np.array([(way.slope, way.inter) for way in ways]).T
            yield slice(k, k + len(part)), stored.transpose(2, 1, 0) * slope + inter
            k += len(part)
