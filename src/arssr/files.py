"""Which files are images, and files that are whole or not there at all."""

import glob
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from arssr.errors import ArSSRError

IMAGE_SUFFIXES = (".nii.gz", ".nii")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with the same suffixes, that takes its name on success.

    Creates the folder. On any failure the temporary file goes and what was there before stays;
    an OSError (no permission, disk full) becomes an ArSSRError that names the file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=f".{path.name}", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise ArSSRError(f"cannot write {path}: {error.strerror}") from None
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise ArSSRError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def sweep(path: Path) -> None:
    """Remove what killed processes left of writing `path`; nobody may be writing it now."""
    for left in path.parent.glob(f".????????.{glob.escape(path.name)}"):
        left.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Image files: those named, and those directly inside folders named; sorted, each once.

    Raises ArSSRError for a path that does not exist or a folder without images.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if is_image(p))
            if not inside:
                raise ArSSRError(f"no images ({', '.join(IMAGE_SUFFIXES)}) in the folder {path}")
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[path] = None
        else:
            raise ArSSRError(f"no such file or folder: {path}")
    return list(found)


def is_image(path: Path) -> bool:
    """Whether the name is that of an image file, and not of a hidden or temporary one."""
    return path.name.lower().endswith(IMAGE_SUFFIXES) and not path.name.startswith(".")


def stem(path: Path) -> str:
    """The name without its image suffix.

    >>> stem(Path("scans/T1.nii.gz"))
    'T1'
    """
    for suffix in IMAGE_SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def sidecar(path: Path) -> Path:
    """Where the provenance of an image lies: the same name, ending in .json.

    >>> sidecar(Path("T1_SR.nii.gz")).name
    'T1_SR.json'
    """
    return path.with_name(stem(path) + ".json")


def bytes_in_words(count: float) -> str:
    """A number of bytes as a person says it.

    >>> bytes_in_words(1_493_000_000)
    '1.49 GB'
    """
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.4g} TB"
