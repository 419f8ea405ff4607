"""Any image file in, any image file out: `files.FORMATS` says how, its code is loaded here."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from arssr.errors import ArSSRError
from arssr.extras import require
from arssr.files import FORMATS, Format, format_named, image_format, is_series
from arssr.formats import dicom, place
from arssr.formats.kind import INTENSITIES, kind_of
from arssr.formats.opened import Opened, damage_in_words, reason
from arssr.formats.slices import Slices, slices_beside
from arssr.formats.storage import Storage
from arssr.formats.writing import OpenSink, Origin, Outline, Writer
from arssr.grid import Grid


class Code(Protocol):
    """The module of a format."""

    open_image: Callable[[Path], Opened]
    """Reads the header of a file; raises ArSSRError, and what `damage_in_words` knows."""

    open_sink: OpenSink
    """Takes the samples of an image that is to be written."""


def _code_of(kind: Format) -> Code:
    return cast(Code, import_module(kind.module))


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
            raise ArSSRError(f"{path}: there is no such file")
        if is_series(path):
            return dicom.open_series(path, series)
    if series is not None:
        raise ArSSRError(f"{path}: only DICOM has series to choose from")
    kind = image_format(path)
    with damage_in_words(f"{path}: cannot be read as {kind.name}"):
        opened = _code_of(kind).open_image(path)
    header = opened.storage.header
    samples = kind_of(path, header) if opened.kind.what == INTENSITIES else opened.kind
    slices, doubts = slices_beside(path, opened.grid, header)
    opened.warnings.extend(doubts)
    return replace(opened, slices=slices, kind=samples)


class Like(Protocol):
    """What lends a result all that it cannot know itself: a Volume."""

    @property
    def grid(self) -> Grid: ...
    @property
    def storage(self) -> Storage: ...
    @property
    def slices(self) -> Slices | None: ...
    @property
    def remark(self) -> str: ...


@contextmanager
def open_writer(
    path: str | os.PathLike[str],
    like: Like,
    grid: Grid,
    overwrite: bool = False,
    frames: int = 1,
    origin: Origin | None = None,
) -> Iterator[Writer]:
    """Write an image on `grid` plane by plane to exactly this file, whole or not at all.

    `like`, a Volume, lends type, slope and intercept, header fields, its remark, and its slices
    where the grid has them still. The suffix is the format; NIfTI and MGH are written as the
    planes come, compressed in a thread of their own, in the memory of a few slabs; the others when
    all planes are there. Missing folders are made.

    Raises ArSSRError as `check_output` and `Writer.put` do, and where planes are missing at the
    end.
    """
    target = check_output(path, overwrite, frames > 1, origin.path if origin else None)
    slices = like.slices.on(like.grid, grid) if like.slices else None
    image = Outline(like.storage, grid, frames, slices, origin, overwrite, like.remark)
    with _code_of(_format_to_write(target)).open_sink(target, image) as sink:
        writer = Writer(target, image, sink)
        yield writer
        writer.finish()


def check_output(
    path: str | os.PathLike[str],
    overwrite: bool = False,
    several: bool = False,
    source: Path | None = None,
) -> Path:
    """The path, if an image can be written there: ask before the work, not after.

    several: whether it has several frames. source: what it is made from.

    Raises ArSSRError for an unknown suffix, a folder that should be a file or the other way round,
    something that exists already unless `overwrite`, a place where no file can be made, and for a
    DICOM series of several frames, or made from anything else.
    """
    path = Path(path)
    kind = _format_to_write(path)
    try:
        if path.is_dir() and not kind.is_folder:
            raise ArSSRError(f"{path}: this is a folder; name the file to write")
        if kind.is_folder and path.exists() and not path.is_dir():
            raise ArSSRError(f"{path}: is a file; {kind.name} needs a folder")
        for file in (path, *(path.with_suffix(suffix) for suffix in kind.companions)):
            if not overwrite and (file.exists() or file.is_symlink()):
                raise ArSSRError(
                    f"{file}: exists already; --overwrite (overwrite=True) replaces it"
                )
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            raise ArSSRError(f"{path}: cannot be written, {folder} is not a writable folder")
    except OSError as error:
        raise ArSSRError(f"{path}: cannot be written ({reason(error)})") from error
    if kind.is_folder and several:
        raise ArSSRError(f"{path}: {kind.name} is one 3D image; name a file")
    if kind.lent:
        _require_source(path, kind, source)
    return path


def _require_source(path: Path, kind: Format, source: Path | None) -> None:
    if source is None:
        raise ArSSRError(
            f"{path}: {kind.name} takes {kind.lent} from the one that it was made from; name that "
            "(made_from=…)"
        )
    if source.exists() and not is_series(source):
        raise ArSSRError(
            f"{source}: is not {kind.name}, from which a derived one takes {kind.lent}; name a "
            "file to write"
        )


def _format_to_write(path: Path) -> Format:
    """The format that this name asks for. Raises ArSSRError where it is none that is written."""
    kind = format_named(path)
    if kind is None:
        series = [f"in {each.suffixes[0]} for {each.name}" for each in FORMATS if each.is_folder]
        written = [each for each in FORMATS if not (each.is_folder or each.written_as)]
        names = ", ".join([suffix for each in written for suffix in each.suffixes] + series)
        raise ArSSRError(f"{path}: the name of a result must end in {names}, or in / for a folder")
    if kind.written_as:
        raise ArSSRError(
            f"{path}: {kind.suffixes[0]} can only be read; name a file that ends in "
            f"{kind.written_as}"
        )
    if kind.written_by:
        require("formats", f"writing {path}", kind.written_by)
    return kind
