"""Images on their way to the disk, plane by plane, whole or not at all."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arssr.errors import ArSSRError
from arssr.files import replacing
from arssr.formats.samples import Encoding, in_file_order, slabs
from arssr.formats.slices import Slices
from arssr.formats.storage import Storage
from arssr.formats.streams import open_writing
from arssr.grid import Grid

Content = bytes | memoryview
# Slabs that may wait for the compressor: it never stands still, and memory stays bounded.
_WAITING = 2


@dataclass(frozen=True)
class Origin:
    """What an image was made from, for formats that tell of it.

    path, series: a scan, as in `Volume.read`. method: how it was made, in words. what: said behind
    its name, if it is not the image itself. others: further scans that it was made from.
    """

    path: Path
    series: str | None = None
    method: str = "super-resolved"
    what: str = ""
    others: Sequence["Origin"] = ()


@dataclass(frozen=True, eq=False)
class Outline:
    """All that is known of an image before its samples come.

    grid: of each of its frames. slices: on this grid, where they are known.
    overwrite: whether what is there may be replaced. remark: on its making, for formats with a
    place for a comment.
    """

    storage: Storage
    grid: Grid
    frames: int = 1
    slices: Slices | None = None
    origin: Origin | None = None
    overwrite: bool = False
    remark: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """(I, J, K), with the number of frames behind where there are several."""
        return self.grid.shape if self.frames == 1 else (*self.grid.shape, self.frames)


class Sink(Protocol):
    """What a format makes of samples: all planes in order, of all frames.

    encoding: how it takes them.
    """

    @property
    def encoding(self) -> Encoding: ...

    def write(self, stored: NDArray[Any]) -> None:
        """Take (I, J, n) of the stored type, the next n planes; they do not change afterwards."""

    def finish(self) -> None:
        """All planes have come."""


OpenSink = Callable[[Path, Outline], AbstractContextManager[Sink]]


class Writer:
    """Takes an image from its first plane along the last axis to its last, frame by frame."""

    def __init__(self, path: Path, image: Outline, sink: Sink) -> None:
        self._path, self._sink = path, sink
        self._plane_shape, self._total = image.grid.shape[:2], image.grid.shape[2] * image.frames
        self._done, self._is_finished = 0, False

    def put(self, slab: ArrayLike) -> None:
        """The next n planes: (I, J, n) float32 in the units of the image.

        The array may be used again afterwards. Raises ArSSRError for another shape, more planes
        than the grid has, NaN and infinite values, and where the disk is full or refuses.
        """
        samples = np.asarray(slab, dtype=np.float32)
        self._require_planes(samples.shape)
        for piece in slabs((*self._plane_shape, samples.shape[2])):
            if not np.isfinite(samples[..., piece]).all():
                raise ArSSRError(
                    f"{self._path}: not written, the samples have NaN or infinite values"
                )
            self._sink.write(in_file_order(self.encoding.encode(samples[..., piece])))
        self._done += samples.shape[2]

    def put_stored(self, slab: NDArray[Any]) -> None:
        """The next n planes as `encoding` stores them: (I, J, n), finite, best in Fortran order.

        The array is kept until it is written, and must not change. Raises as `put` does.
        """
        self._require_planes(slab.shape)
        self._sink.write(slab)
        self._done += slab.shape[2]

    @property
    def encoding(self) -> Encoding:
        """How the file stores samples."""
        return self._sink.encoding

    def _require_planes(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or shape[:2] != self._plane_shape:
            raise ArSSRError(
                f"{self._path}: not written, planes of shape {self._plane_shape} are needed, not "
                f"a slab of shape {shape}"
            )
        if self._done + shape[2] > self._total:
            raise ArSSRError(
                f"{self._path}: not written, {self._done + shape[2]} planes were given for "
                f"{self._total}"
            )

    def finish(self) -> None:
        """Raises ArSSRError where planes are missing or writing failed. Again it does nothing."""
        if self._is_finished:
            return
        if self._done < self._total:
            raise ArSSRError(
                f"{self._path}: not written, {self._done} of {self._total} planes were given"
            )
        self._sink.finish()
        self._is_finished = True


@dataclass(frozen=True)
class Layout:
    """A file of samples in Fortran order: the bytes before them, how they are stored, and the
    bytes behind them.
    """

    head: bytes
    encoding: Encoding
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
    """Compresses and writes in a thread of its own."""

    def __init__(
        self, layout: Layout, write: Callable[[Content], object], thread: ThreadPoolExecutor
    ) -> None:
        self._layout, self._write, self._thread = layout, write, thread
        self._waiting: deque[Future[object]] = deque()
        self._queue(layout.head)

    @property
    def encoding(self) -> Encoding:
        return self._layout.encoding

    def write(self, stored: NDArray[Any]) -> None:
        planes = stored.astype(self.encoding.dtype, copy=False).T
        self._queue(np.ascontiguousarray(planes).reshape(-1).view(np.uint8).data)

    def finish(self) -> None:
        self._queue(self._layout.tail)
        while self._waiting:
            self._waiting.popleft().result()

    def _queue(self, content: Content) -> None:
        while len(self._waiting) >= _WAITING:
            self._waiting.popleft().result()  # raises what went wrong in the thread
        self._waiting.append(self._thread.submit(self._write, content))
