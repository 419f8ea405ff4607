"""What every format says of an image, whatever its file looks like: the words between a Volume
and the formats.
"""

import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Self

import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, HeaderTypeError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.formats import streams
from arssr.formats.kind import NOT_SAID, Kind
from arssr.formats.slices import Slices
from arssr.formats.storage import IN_MEMORY, Storage
from arssr.grid import Grid

_DAMAGE = (
    *(ImageFileError, HeaderDataError, HeaderTypeError, WrapStructError),
    *(OSError, EOFError, struct.error, *streams.DAMAGE),
    *(ValueError, KeyError, OverflowError, MemoryError),
    RuntimeError,  # SimpleITK's
)
# What SimpleITK's errors begin with: where in its sources, an address, the layers passed.
_WHERE_IN_ITK = re.compile(r"Exception thrown in SimpleITK.*?ERROR: [^:]*: |.*\[nrrd\] [^:]*: ")

_ONE_FRAME = (
    "give one 3D volume of it, such as the first one: nibabel.four_to_three(nibabel.load(path))[0]"
)


@dataclass(frozen=True, eq=False)
class Opened:
    """An image file of which the header is known; its samples are read when they are asked for.

    grid: where the samples of a frame lie.
    read: frame number → (I, J, K) float32, C-contiguous, finite, slope and intercept applied;
        raises ArSSRError that names the file.
    frames: how many images of this grid the file holds.
    storage: how its samples are stored, and how far apart its frames are in time.
    slices: how the slices lie, where that is said.
    kind: what the samples are.
    one_frame: how to come by one of several frames, in words.
    close: gives the file back; nothing can be read afterwards.
    warnings: sentences about what the file says that cannot all be true, or does not say, and what
        was taken for true; there may be more once samples were read.
    """

    grid: Grid
    read: Callable[[int], NDArray[np.float32]]
    frames: int = 1
    storage: Storage = IN_MEMORY
    slices: Slices | None = None
    kind: Kind = NOT_SAID
    one_frame: str = _ONE_FRAME
    close: Callable[[], object] = lambda: None
    warnings: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def damage_in_words(message: str) -> Iterator[None]:
    """Whatever the libraries raise over a damaged file becomes an ArSSRError: message (reason)."""
    try:
        yield
    except _DAMAGE as error:
        raise ArSSRError(f"{message} ({reason(error)})") from error


def reason(error: BaseException) -> str:
    """What went wrong, on one line."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    text = _WHERE_IN_ITK.sub("", " ".join(text.split()))
    return shorten(text, 200, placeholder=" …").rstrip(".") or type(error).__name__
