"""Images on their way to the disk, plane by plane, whole or not at all."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arssr.errors import ArSSRError
from arssr.files import replacing
from arssr.formats.samples import encode, slabs
from arssr.formats.slices import Slices
from arssr.formats.storage import Storage
from arssr.formats.streams import open_writing
from arssr.grid import Grid

# Slabs that may wait for the compressor: it never stands still, and memory stays bounded.
_WAITING = 2


@dataclass(frozen=True)
class Origin:
    """What an image was made from, for formats that tell of it.

    path, series: a scan, as in `Volume.read`. method: how it was made, in words.
    """

    path: Path
    series: str | None = None
    method: str = "super-resolved"


@dataclass(frozen=True, eq=False)
class Outline:
    """All that is known of an image before its samples come.

    grid: of each of its frames. slices: on this grid, where they are known.
    overwrite: whether what is there may be replaced.
    """

    storage: Storage
    grid: Grid
    frames: int = 1
    slices: Slices | None = None
    origin: Origin | None = None
    overwrite: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """(I, J, K), with the number of frames behind where there are several."""
        return self.grid.shape if self.frames == 1 else (*self.grid.shape, self.frames)


class Sink(Protocol):
    """What a format makes of samples: all planes in order, of all frames."""

    def write(self, samples: NDArray[np.float32]) -> None:
        """Take (I, J, n) finite float32, the next n planes; they may change afterwards."""

    def finish(self) -> None:
        """All planes have come."""


OpenSink = Callable[[Path, Outline], AbstractContextManager[Sink]]


class Writer:
    """Takes an image from its first plane along the last axis to its last, frame by frame."""

    def __init__(self, path: Path, image: Outline, sink: Sink) -> None:
        self._path, self._sink = path, sink
        self._plane_shape, self._total = image.grid.shape[:2], image.grid.shape[2] * image.frames
        self._done = 0

    def put(self, slab: ArrayLike) -> None:
        """The next n planes: (I, J, n) float32 in the units of the image.

        The array may be used again afterwards. Raises ArSSRError for another shape, more planes
        than the grid has, NaN and infinite values, and where the disk is full or refuses.
        """
        samples = np.asarray(slab, dtype=np.float32)
        if samples.ndim != 3 or samples.shape[:2] != self._plane_shape:
            raise ArSSRError(
                f"{self._path}: not written, planes of shape {self._plane_shape} are needed, not "
                f"a slab of shape {samples.shape}"
            )
        count = samples.shape[2]
        if self._done + count > self._total:
            raise ArSSRError(
                f"{self._path}: not written, {self._done + count} planes were given for "
                f"{self._total}"
            )
        for piece in slabs((*self._plane_shape, count)):
            if not np.isfinite(samples[..., piece]).all():
                raise ArSSRError(
                    f"{self._path}: not written, the samples have NaN or infinite values"
                )
            self._sink.write(samples[..., piece])
        self._done += count

    def finish(self) -> None:
        """Raises ArSSRError where planes are missing or writing failed."""
        if self._done < self._total:
            raise ArSSRError(
                f"{self._path}: not written, {self._done} of {self._total} planes were given"
            )
        self._sink.finish()


@dataclass(frozen=True)
class Layout:
    """A file of samples in Fortran order: the bytes before them, how they are stored, and the
    bytes behind them.
    """

    head: bytes
    dtype: np.dtype[Any]
    slope: float = 1.0
    inter: float = 0.0
    tail: bytes = b""


def streamed(layout: Callable[[Outline], Layout]) -> OpenSink:
    """The sink of a format that is written as the samples come, in the memory of a few slabs."""

    @contextmanager
    def open_stream(target: Path, image: Outline) -> Iterator[Sink]:
        with (
            replacing(target) as temporary,
            open_writing(temporary) as file,
            ThreadPoolExecutor(1, "write") as thread,
        ):
            sink = _Stream(layout(image), file.write, thread)
            try:
                yield sink
            except BaseException:
                thread.shutdown(cancel_futures=True)
                raise

    return open_stream


class _Stream:
    """Encodes at once, compresses and writes in a thread of its own."""

    def __init__(
        self, layout: Layout, write: Callable[[bytes], object], thread: ThreadPoolExecutor
    ) -> None:
        self._layout, self._write, self._thread = layout, write, thread
        self._waiting: deque[Future[object]] = deque()
        self._queue(layout.head)

    def write(self, samples: NDArray[np.float32]) -> None:
        layout = self._layout
        stored = encode(samples, layout.dtype, layout.slope, layout.inter)
        self._queue(stored.tobytes(order="F"))

    def finish(self) -> None:
        self._queue(self._layout.tail)
        while self._waiting:
            self._waiting.popleft().result()

    def _queue(self, content: bytes) -> None:
        while len(self._waiting) >= _WAITING:
            self._waiting.popleft().result()  # raises what went wrong in the thread
        self._waiting.append(self._thread.submit(self._write, content))
