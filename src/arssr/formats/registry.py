"""Any image file in, any image file out: the suffix says which format."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from arssr.errors import ArSSRError
from arssr.files import image_suffix, is_dicom
from arssr.formats import dicom, itk, meta, mgh, nifti, place
from arssr.formats.kind import INTENSITIES, kind_of
from arssr.formats.opened import Opened, Stored, damage_in_words, reason
from arssr.formats.slices import slices_beside
from arssr.formats.writing import OpenSink, Writer, streamed
from arssr.grid import Grid


@dataclass(frozen=True)
class Format:
    """A kind of file: what it is called in a sentence, how it is read, how it is written."""

    name: str
    open: Callable[[Path], Opened]
    sink: OpenSink | None = None  # none where it is only read


_NIFTI = Format("a NIfTI image", nifti.open_image, streamed(nifti.layout))
_MGH = Format("an MGH image", mgh.open_image, streamed(mgh.layout))
_NRRD = Format("a NRRD image", itk.open_image, itk.collected(itk.NRRD))
_META = Format("a MetaImage", meta.open_image, itk.collected(itk.META))
_FORMATS = (
    dict.fromkeys((".nii", ".nii.gz", ".nii.zst"), _NIFTI)
    | dict.fromkeys((".mgh", ".mgz"), _MGH)
    | {".nrrd": _NRRD, ".nhdr": replace(_NRRD, sink=None)}
    | dict.fromkeys((".mha", ".mhd"), _META)
)


def open_image(path: Path, series: str | None = None) -> Opened:
    """The image in a file, or in a folder or .zip of DICOM files; only its header was read.

    series: which image of DICOM series, see `dicom.open_series`.

    Raises ArSSRError, naming the file, where there is none, where it is damaged, and where
    it has no grid of voxels in space; `Opened.read`, where its samples are no intensities.
    """
    opened = _open(path, series)
    opened.warnings.extend(place.implausible(opened.grid))
    return opened


def _open(path: Path, series: str | None) -> Opened:
    with damage_in_words(f"{path}: cannot be read"):
        if not path.exists():
            raise ArSSRError(f"{path}: there is no such file.")
        if path.is_dir() or path.suffix.lower() == ".zip" or is_dicom(path):
            return dicom.open_series(path, series)
    if series is not None:
        raise ArSSRError(f"{path}: only DICOM has series to choose from.")
    kind = _FORMATS[image_suffix(path)]
    with damage_in_words(f"{path}: cannot be read as {kind.name}"):
        opened = kind.open(path)
    samples = kind_of(path, opened.header) if opened.kind.what == INTENSITIES else opened.kind
    slices, doubts = slices_beside(path, opened.grid, opened.header)
    opened.warnings.extend(doubts)
    return replace(opened, slices=slices, kind=samples)


@contextmanager
def open_writer(
    path: str | os.PathLike[str],
    like: Stored,
    grid: Grid,
    overwrite: bool = False,
    frames: int = 1,
) -> Iterator[Writer]:
    """Write an image on `grid` plane by plane to exactly this file, whole or not at all.

    `like`, a Volume, lends type, slope and intercept, and header fields. The suffix is the format;
    NIfTI and MGH are written as the planes come, compressed in a thread of their own, in
    the memory of a few slabs; the others when all planes are there. Missing folders are made.

    Raises ArSSRError as `check_output` and `Writer.put` do, and where planes are missing at the
    end.
    """
    target = check_output(path, overwrite)
    with _sink(target)(target, like, grid, frames) as sink:
        writer = Writer(target, grid, frames, sink)
        yield writer
        writer.finish()


def check_output(path: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """The path, if an image can be written there: ask before the work, not after.

    Raises ArSSRError for an unknown suffix, a folder, an existing file unless `overwrite`, and a
    place where no file can be made.
    """
    path = Path(path)
    _sink(path)
    written = (path, path.with_suffix(".zraw")) if image_suffix(path) == ".mhd" else (path,)
    try:
        if path.is_dir():
            raise ArSSRError(f"{path}: this is a folder; name the file to write.")
        for file in written:
            if not overwrite and (file.exists() or file.is_symlink()):
                raise ArSSRError(
                    f"{file}: exists already; --overwrite (overwrite=True) replaces it."
                )
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            raise ArSSRError(f"{path}: cannot be written, {folder} is not a writable folder.")
    except OSError as error:
        raise ArSSRError(f"{path}: cannot be written ({reason(error)}).") from error
    return path


def _sink(path: Path) -> OpenSink:
    """How the format of this name is written. Raises ArSSRError where it is not."""
    suffix = image_suffix(path)
    open_sink = _FORMATS[suffix].sink
    if open_sink is None:
        raise ArSSRError(f"{path}: {suffix} can only be read; name a file that ends in .nrrd.")
    return open_sink
