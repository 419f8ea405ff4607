"""Compressed files, by their suffix: gzip through Intel's isa-l, several times as fast as zlib and
as small, and Zstandard. The same content always gives the same bytes: no name, no time, and
whatever compresses it on however many cores.
"""

import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from isal import igzip_threaded, isal_zlib
from isal.igzip import IGzipFile

if sys.version_info >= (3, 14):
    from compression.zstd import CompressionParameter, ZstdError, ZstdFile
else:
    from backports.zstd import CompressionParameter, ZstdError, ZstdFile

# What damaged content raises, besides OSError and EOFError (isal's stub has an instance there).
DAMAGE = (zlib.error, ZstdError, cast(type[Exception], isal_zlib.error))

_GZIP = (".gz", ".mgz")
_ZSTD = (".zst",)
TRAILER = 2**20  # to read after the last sample: a check sum comes there, and is checked

# The fastest: on the noise of real samples, stronger levels save 0 to 2 %.
_GZIP_LEVEL = 1
# Bytes that one core compresses together; the next ones still refer back to them. From 2^18 to
# 2^22 files are the same size to 0.05 %, and as those of one stream.
_GZIP_BLOCK = 2**20
_MOST_CORES = 8  # 600 MB/s each: faster than disks
_ZSTD_OPTIONS: dict[int, int] = {
    CompressionParameter.compression_level: 1,
    CompressionParameter.checksum_flag: 1,
}


def open_reading(path: Path) -> IO[bytes]:
    """The content of a file, decompressed on the way where its name says so."""
    name = path.name.lower()
    if name.endswith(_GZIP):
        return cast(IO[bytes], IGzipFile(path, "rb"))
    if name.endswith(_ZSTD):
        return cast(IO[bytes], ZstdFile(path, "rb"))
    return path.open("rb")


@contextmanager
def open_writing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, compressed on the way where its name says so."""
    try:
        with _open_writing(path) as file:
            yield file
    except OSError as error:
        # The compressor raises it when it is flushed and again when it is closed, so that it is its
        # own context; whoever goes up from context to context (ExitStack) would never end.
        error.__context__ = None
        raise


@contextmanager
def _open_writing(path: Path) -> Iterator[IO[bytes]]:
    name = path.name.lower()
    with path.open("wb") as file:
        if name.endswith(_GZIP):
            with igzip_threaded.open(
                file, "wb", _GZIP_LEVEL, threads=_cores(), block_size=_GZIP_BLOCK
            ) as zipped:
                blocks = _Blocks(cast(IO[bytes], zipped))
                yield cast(IO[bytes], blocks)
                blocks.finish()
        elif name.endswith(_ZSTD):
            with ZstdFile(file, "wb", options=_ZSTD_OPTIONS) as zipped:
                yield cast(IO[bytes], zipped)
        else:
            yield file


class _Blocks:
    """Passes content on in blocks of one size, in whatever pieces it comes: what is compressed
    depends on where they end.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._begun = file, bytearray()

    def write(self, content: bytes | memoryview) -> int:
        rest = memoryview(content).cast("B")
        size = len(rest)
        while len(self._begun) + len(rest) >= _GZIP_BLOCK:
            missing = _GZIP_BLOCK - len(self._begun)
            self._file.write(bytes(self._begun) + rest[:missing])
            self._begun.clear()
            rest = rest[missing:]
        self._begun += rest
        return size

    def finish(self) -> None:
        """Pass on what is left."""
        self._file.write(bytes(self._begun))


def _cores() -> int:
    """How many to compress on: as many as OpenMP may use, else all that the process may run on."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(int(told) if told.isdecimal() and int(told) else here, _MOST_CORES)
