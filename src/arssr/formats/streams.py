"""Compressed files, by their suffix: gzip through Intel's isa-l, several times as fast as zlib and
as small, and Zstandard. The same content always gives the same bytes: no name, no time.
"""

import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from isal import isal_zlib
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
    name = path.name.lower()
    with path.open("wb") as file:
        if name.endswith(_GZIP):
            with IGzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as zipped:
                yield cast(IO[bytes], zipped)
        elif name.endswith(_ZSTD):
            with ZstdFile(file, "wb", options=_ZSTD_OPTIONS) as zipped:
                yield cast(IO[bytes], zipped)
        else:
            yield file
