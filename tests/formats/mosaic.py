"""A Siemens mosaic made for tests: the slices of a volume as the tiles of one picture."""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from tests.formats.series import write_series

from arssr.grid import Grid


def write_mosaic(path: Path, stored: NDArray[Any], grid: Grid) -> Path:
    """`stored` (I, J, K) in one file; its position is that of a picture around each slice's middle.

    What only Siemens' own header (CSA) says: how many tiles there are, and which way they go.
    """
    I, J, K = stored.shape  # noqa: E741
    side = math.ceil(math.sqrt(K))
    picture = np.zeros((side * I, side * J, 1), stored.dtype)
    for k in range(K):
        row, column = divmod(k, side)
        picture[column * I : (column + 1) * I, row * J : (row + 1) * J, 0] = stored[..., k]
    affine = grid.affine.copy()
    affine[:3, 3] -= affine[:3, :2] @ ((side - 1) * np.array([I, J]) / 2)
    around = Grid((side * I, side * J, 1), affine)
    [first] = write_series(path.parent, picture, around)
    image = pydicom.dcmread(first)
    image.Manufacturer, image.ImageType = "SIEMENS", ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
    image.SpacingBetweenSlices = image.SliceThickness
    normal = (np.diag([-1, -1, 1]) @ affine[:3, 2]) / grid.spacing_mm[2]
    block = image.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    csa = {
        "NumberOfImagesInMosaic": ("US", [str(K)]),
        "SliceNormalVector": ("FD", [f"{x:.8f}" for x in normal]),
    }
    block.add_new(0x10, "OB", _csa(csa))
    first.unlink()
    image.save_as(path)
    return path


def _csa(elements: dict[str, tuple[str, list[str]]]) -> bytes:
    """A CSA2 header, as nibabel.nicom.csareader reads it."""
    parts = [b"SV10\4\3\2\1", struct.pack("<II", len(elements), 77)]
    for name, (vr, values) in elements.items():
        head = name.encode().ljust(64, b"\0"), struct.pack("<I", len(values)), vr.encode()
        parts += [*head[:2], head[2].ljust(4, b"\0"), struct.pack("<III", 0, len(values), 77)]
        for value in values:
            text = value.encode() + b"\0"
            parts.append(struct.pack("<4I", len(text), len(text), 77, len(text)))
            parts.append(text.ljust(-(-len(text) // 4) * 4, b"\0"))
    return b"".join(parts)
