"""Files under way: under a hidden name beside what they become, and never left for long.

A process that is killed leaves them. Which of those nobody writes any more is known by a lock that
ends with its process, and by the kernel in the name: between processes of one kernel locks hold on
every file system, between machines only on some network file systems. What another machine wrote
is therefore left alone until nothing was written into it for a day.
"""

import glob
import hashlib
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_NAME = re.compile(r"\.arssr-(?P<kernel>[0-9a-f]{8})-[a-z0-9_]{8}\..+", re.DOTALL)
_LONGEST_PAUSE = 24 * 3600  # seconds without a sample, of a process that still writes

_under_way: set[Path] = set()


@contextmanager
def temporary(path: Path, *, is_folder: bool = False) -> Iterator[Path]:
    """An empty file, or folder, beside `path`, whose name ends in that of `path`; gone afterwards.

    Raises OSError where it cannot be made; the folder that it is to lie in must be there.
    """
    made, handle = _claim(path, is_folder)
    _under_way.add(made)
    try:
        yield made
    finally:
        os.close(handle)
        _remove(made)
        _under_way.discard(made)


def discard_unfinished() -> None:
    """Remove what this process has under way: it ends at once, and cleans up nothing else."""
    for path in list(_under_way):
        _remove(path)


def under_way(path: Path) -> list[Path]:
    """What is still written, or was left by killed processes, to become `path`."""
    return list(path.parent.glob(f".arssr-????????-????????.{glob.escape(path.name)}"))


def sweep(path: Path) -> None:
    """Remove what killed processes left of writing `path`; nobody may be writing it now."""
    for left in under_way(path):
        _remove(left)


def sweep_left(folders: Iterable[Path]) -> None:
    """Remove what killed processes left in these folders, and nothing that is still written."""
    for folder in set(folders):
        with suppress(OSError):  # there is no such folder yet, or it may not be listed
            for path in list(folder.iterdir()):
                _remove_if_left(path)


def _claim(path: Path, is_folder: bool) -> tuple[Path, int]:
    """What was made, and the open handle that keeps it locked."""
    make = tempfile.mkdtemp if is_folder else _make_file
    while True:
        made = Path(make(f".{path.name}", f".arssr-{_kernel()}-", path.parent))
        # Before it is locked it may be taken for a leftover, and be gone.
        with suppress(FileNotFoundError):
            handle = _open(made)
            if _lock(handle, exclusive=False) is not False and made.exists():
                return made, handle
            os.close(handle)


def _make_file(suffix: str, prefix: str, folder: Path) -> str:
    handle, name = tempfile.mkstemp(suffix, prefix, folder)
    os.close(handle)
    return name


def _open(path: Path) -> int:
    """A handle that locks can be had for: on network file systems only with leave to write."""
    return os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)


def _remove_if_left(path: Path) -> None:
    named = _NAME.fullmatch(path.name)
    if named is None:
        return
    with suppress(OSError):  # gone meanwhile, or somebody else's
        handle = _open(path)
        try:
            is_free = _lock(handle, exclusive=True)
            ours = is_free is True and named["kernel"] == _kernel()
            if ours or (is_free is not False and _seconds_since_written(path) > _LONGEST_PAUSE):
                _remove(path)
        finally:
            os.close(handle)


def _lock(handle: int, *, exclusive: bool) -> bool | None:
    """Whether the lock could be had; None where there are no locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _seconds_since_written(path: Path) -> float:
    written = (each.lstat().st_mtime for each in (path, *path.rglob("*")))
    return time.time() - max(written)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@cache
def _kernel() -> str:
    """The running kernel, which containers share; where it has no name, the machine's."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        name = platform.node()
    return hashlib.sha256(name.encode()).hexdigest()[:8]
