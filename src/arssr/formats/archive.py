"""The files of a .zip, unpacked where they can do no harm."""

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from arssr.errors import ArSSRError
from arssr.files import bytes_in_words, room_left
from arssr.formats.dicom_checks import PAGES
from arssr.formats.opened import reason

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_RATIO = 250  # scans reach about 10, empty ones 100
_MOST_FILES = 100_000  # a session of a scanner, exported whole, has some ten thousand


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The folder or DICOM file itself, or a temporary folder with the content of a .zip."""
    if path.suffix.lower() != ".zip" or path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="arssr-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                _unpack(archive, Path(folder), path)
        except ArSSRError:
            raise
        except Exception as error:  # a damaged directory makes zipfile raise anything
            raise ArSSRError(f"{path}: cannot be unpacked ({reason(error)})") from error
        yield Path(folder)


def _unpack(archive: zipfile.ZipFile, folder: Path, path: Path) -> None:
    """All files, under numbers in the order of their names, which themselves may do harm.

    Pages of HTML are left where they are; by their number, they would look like images gone wrong.
    """
    members = [
        member
        for member in archive.infolist()
        if not (member.is_dir() or member.filename.lower().endswith(PAGES))
    ]
    if len(members) > _MOST_FILES:
        raise ArSSRError(
            f"{path}: not unpacked, it holds {len(members):,} files; unpack it yourself if you "
            "trust it, and name the folder"
        )
    size = sum(member.file_size for member in members)
    if size > _RATIO * path.stat().st_size:
        raise ArSSRError(
            f"{path}: not unpacked, it would grow to {bytes_in_words(size)}, more than "
            f"{_RATIO} times its size; unpack it yourself if you trust it, and name the folder"
        )
    _require_room(folder, size, path)
    for number, member in enumerate(sorted(members, key=lambda each: each.filename)):
        if member.compress_type not in _METHODS:
            raise ArSSRError(f"{path}: is compressed in an uncommon way; unpack it yourself")
        with archive.open(member) as packed, (folder / f"{number:06d}").open("wb") as file:
            while part := packed.read(2**20):
                _require_room(folder, len(part), path)  # others write meanwhile
                file.write(part)


def _require_room(folder: Path, more: int, path: Path) -> None:
    if more > room_left(folder):
        raise ArSSRError(
            f"{path}: not unpacked, there is no room for it on the disk of the temporary folder"
        )
