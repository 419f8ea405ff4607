"""MetaImage files: .mha, and .mhd with its samples beside it.

They are written by SimpleITK but read here, because its reader trusts the header with the memory
of the process: a few changed bytes end in a crash, and samples that cannot be unpacked are taken
for zeros without a word. Format: https://docs.itk.org/en/latest/learn/metaio.html
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.formats import itk, units
from arssr.formats.lps import lps_to_ras
from arssr.formats.opened import Opened
from arssr.formats.place import require_positive, unlike_sizes
from arssr.formats.samples import (
    frame_in_words,
    gather,
    require_3d,
    require_one_channel,
    require_one_value,
    slabs,
    too_many,
)
from arssr.formats.storage import Storage
from arssr.formats.streams import TRAILER
from arssr.grid import Grid

_LONGEST_HEADER = 2**16
_CHUNK = 2**18
_TYPES = {
    **{"MET_CHAR": "i1", "MET_SHORT": "i2", "MET_INT": "i4", "MET_LONG": "i4"},
    **{"MET_UCHAR": "u1", "MET_USHORT": "u2", "MET_UINT": "u4", "MET_ULONG": "u4"},
    **{"MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8"},
}


@dataclass(frozen=True)
class _Samples:
    """Where they are, and as what."""

    file: Path
    start: int  # byte, or -1: they are the last of the file
    compressed: bool
    dtype: np.dtype[Any]


def open_image(path: Path) -> Opened:
    """A .mha or .mhd file; raises ArSSRError, OSError and ValueError."""
    with path.open("rb") as file:
        fields, header_end = _fields(file)
    size = [int(word) for word in fields.get("DimSize", "").split()]
    require_3d(size, str(path))
    samples = _samples(fields, header_end, path)
    shape, frames = (size[0], size[1], size[2]), size[3] if len(size) > 3 else 1
    if int(fields.get("NDims", len(size))) != len(size):
        raise ValueError(f"NDims is {fields['NDims']}, but DimSize has {len(size)} numbers")
    spacing = _numbers(fields, "ElementSpacing", [1.0] * len(size))
    require_positive(spacing, str(path))
    affine = lps_to_ras(_affine_lps(fields, spacing))
    affine[:3] *= _mm_per_unit(fields)
    [slope] = _numbers(fields, "ElementToIntensityFunctionSlope", [1.0])
    [inter] = _numbers(fields, "ElementToIntensityFunctionOffset", [0.0])
    slope = slope or 1.0
    try:
        grid = Grid(shape, affine)
    except ArSSRError as error:
        raise ArSSRError(f"{path}: {error}") from error

    def read(frame: int) -> NDArray[np.float32]:
        require_one_channel(_channels(fields), str(path))
        require_one_value(size, str(path))
        planes = _planes(samples, shape, frames, frame)
        scaled = ((k, plane * slope + inter) for k, plane in planes)
        return gather(scaled, shape, frame_in_words(str(path), frame, frames))

    repetition_s = units.seconds(spacing[3]) if frames > 1 else None
    stored_as = samples.dtype.newbyteorder("=")
    return Opened(
        grid,
        read,
        frames,
        storage=Storage(stored_as, slope, inter, repetition_s=repetition_s),
        warnings=[
            *unlike_sizes(
                grid.affine,
                shape,
                np.multiply(spacing[:3], _mm_per_unit(fields)),
                "TransformMatrix",
                "ElementSpacing",
            ),
            *_doubts(fields, samples, size),
        ],
    )


open_sink = itk.collected(itk.META)


def read_vectors(path: Path) -> NDArray[np.float32]:
    """The vectors (I, J, K, components) of a .mha or .mhd file, in LPS; raises as `open_image`."""
    with path.open("rb") as file:
        fields, header_end = _fields(file)
    i, j, k = map(int, fields["DimSize"].split())
    n = _channels(fields)
    row = (n * i, j, k)  # the components of a voxel lie side by side
    values = gather(_planes(_samples(fields, header_end, path), row, 1, 0), row, str(path))
    return np.moveaxis(values.reshape(i, n, j, k), 1, -1)


def is_one_file(path: Path) -> bool:
    """Whether the samples of a .mha file lie in itself; raises ValueError for what is none."""
    with path.open("rb") as file:
        return _fields(file)[0]["ElementDataFile"].upper() == "LOCAL"


def _channels(fields: dict[str, str]) -> int:
    return int(fields.get("ElementNumberOfChannels", "1"))


def _fields(file: IO[bytes]) -> tuple[dict[str, str], int]:
    """What the lines `name = value` say, under today's names, and where they end."""
    older = {"Position": "Offset", "Origin": "Offset", "ElementSize": "ElementSpacing"}
    older |= {"Rotation": "TransformMatrix", "Orientation": "TransformMatrix"}
    older |= {"ElementByteOrderMSB": "BinaryDataByteOrderMSB"}
    fields: dict[str, str] = {}
    while "ElementDataFile" not in fields:
        line = file.readline(_LONGEST_HEADER)
        name, equals, value = line.decode("utf-8", errors="surrogateescape").partition("=")
        if not equals or file.tell() > _LONGEST_HEADER:
            raise ValueError("its header is none")
        name = name.strip()
        if name in older:
            fields.setdefault(older[name], value.strip())
        else:
            fields[name] = value.strip()
    return fields, file.tell()


def _numbers(fields: dict[str, str], name: str, default: list[float]) -> list[float]:
    """As many numbers as the default has."""
    if name not in fields:
        return default
    numbers = [float(word) for word in fields[name].split()]
    if len(numbers) != len(default):
        raise ValueError(f"{name} is {len(numbers)} numbers, not {len(default)}")
    return numbers


def _affine_lps(fields: dict[str, str], spacing: list[float]) -> NDArray[np.float64]:
    """Of the first three axes; in a 4D image the last one is time."""
    n = len(spacing)
    directions = _numbers(fields, "TransformMatrix", np.eye(n).ravel().tolist())  # axis by axis
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(directions, (n, n))[:3, :3].T * spacing[:3]
    affine[:3, 3] = _numbers(fields, "Offset", [0.0] * n)[:3]
    return affine


def _mm_per_unit(fields: dict[str, str]) -> float:
    name = fields.get("DistanceUnits", "?")
    mm = 1.0 if name in ("", "?") else units.millimetres_per(name)
    if mm is None:
        raise ValueError(f"its DistanceUnits are {name}, which is no length")
    return mm


def _doubts(fields: dict[str, str], samples: _Samples, size: list[int]) -> list[str]:
    """Sentences about what the header leaves open or has wrong."""
    found = []
    if not {"Offset", "TransformMatrix"} <= fields.keys():
        found.append(
            "the header does not say where the scan lies (TransformMatrix, Offset): what is "
            "missing is taken for axes to the left, to the back and up, from 0"
        )
    if "ElementSpacing" not in fields:
        found.append("the header does not say how large the voxels are: 1 mm is taken")
    if samples.start >= 0 and not samples.compressed:
        behind = samples.file.stat().st_size - samples.start
        behind -= math.prod(size) * _channels(fields) * samples.dtype.itemsize
        found += too_many(behind, (size[0], size[1], size[2]), samples.dtype)
    return found


def _samples(fields: dict[str, str], header_end: int, path: Path) -> _Samples:
    if fields.get("ElementType") not in _TYPES:
        raise ValueError(f"its ElementType is {fields.get('ElementType')}")
    if not _yes(fields, "BinaryData", "True"):
        raise ArSSRError(f"{path}: the samples are written as text; write them in binary")
    order = ">" if _yes(fields, "BinaryDataByteOrderMSB", "False") else "<"
    dtype = np.dtype(order + _TYPES[fields["ElementType"]])
    compressed = _yes(fields, "CompressedData", "False")
    name = fields["ElementDataFile"]
    if name.upper() == "LOCAL":
        return _Samples(path, header_end, compressed, dtype)
    if name.split(" ")[0] == "LIST" or "%" in name:
        raise ArSSRError(f"{path}: the samples lie in several files; put them into one")
    file = path.parent / name
    if not file.is_file():
        raise ArSSRError(f"{path}: there is no {name} beside it, where the samples should be")
    return _Samples(file, int(fields.get("HeaderSize", "0")), compressed, dtype)


def _yes(fields: dict[str, str], name: str, default: str) -> bool:
    return fields.get(name, default)[:1] in ("T", "t", "1")


def _planes(
    samples: _Samples, shape: tuple[int, int, int], frames: int, frame: int
) -> Iterator[tuple[slice, NDArray[Any]]]:
    """The slabs of a frame. Raises EOFError where there are not enough samples."""
    plane = shape[0] * shape[1] * samples.dtype.itemsize
    start = samples.start
    with samples.file.open("rb") as file:
        if start < 0:
            start = samples.file.stat().st_size - frames * shape[2] * plane
        file.seek(start)
        stream: IO[bytes] | _Unpacked = file
        if samples.compressed:
            stream = _Unpacked(file)
            for _ in range(frame * shape[2]):
                stream.read(plane)
        else:
            file.seek(start + frame * shape[2] * plane)
        for k in slabs(shape):
            count = k.stop - k.start
            content = stream.read(plane * count)
            if len(content) < plane * count:
                raise EOFError("there are too few samples")
            stored = np.frombuffer(content, samples.dtype)
            yield k, stored.reshape((*shape[:2], count), order="F")
        if frame == frames - 1:
            stream.read(TRAILER)  # the check sum of what is compressed comes last


class _Unpacked:
    """The content of a zlib stream, from front to back."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._unpacker = file, isal_zlib.decompressobj()

    def read(self, size: int) -> bytes:
        """So many bytes, or fewer at the end. Raises EOFError where it has none."""
        content = bytearray()
        while len(content) < size and not self._unpacker.eof:
            packed = self._unpacker.unconsumed_tail or self._file.read(_CHUNK)
            part = self._unpacker.decompress(packed, size - len(content))
            if not (packed or part):
                raise EOFError("its compressed samples have no end")
            content += part
        return bytes(content)
