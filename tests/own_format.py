"""A format that the package does not know: shape and affine in 152 bytes, then float32 samples."""

from pathlib import Path

import numpy as np

from arssr.files import Format
from arssr.formats.opened import Opened
from arssr.formats.samples import Encoding
from arssr.formats.spatial import open_spatial
from arssr.formats.writing import Layout, Outline, streamed

RAW = Format("a raw image", (".raw3",), __name__)
_HEAD = 3 * 8 + 16 * 8


def open_image(path: Path) -> Opened:
    """Only what comes before the samples is read."""
    shape = np.fromfile(path, "<i8", 3)
    affine = np.fromfile(path, "<f8", 16, offset=shape.nbytes).reshape(4, 4)
    samples = np.memmap(path, "<f4", "r", _HEAD, tuple(map(int, shape)), "F")
    return open_spatial(samples, affine, None, str(path))


def layout(image: Outline) -> Layout:
    """The bytes before the samples, and the type of these."""
    shape, affine = np.array(image.grid.shape, "<i8"), image.grid.affine.astype("<f8")
    return Layout(shape.tobytes() + affine.tobytes(), Encoding(np.dtype("<f4")))


open_sink = streamed(layout)
