"""Whether there is room for a result, in memory and on the disk."""

import math
import shutil
from pathlib import Path

import psutil

from arssr.engine.memory import available_bytes
from arssr.errors import ArSSRError
from arssr.files import bytes_in_words
from arssr.grid import Grid
from arssr.upsampling.uncertainty import HALF_WIDTHS
from arssr.volume import Volume

_BYTES_PER_OUTPUT_VOXEL = 5  # the result, and some of it on its way


def require_memory(
    grid: Grid,
    copies: int = 1,
    memory: float | None = None,
    what: str = "a result",
    instead: str = "ask for a coarser grid",
) -> None:
    """Refuse what cannot be held (so many times), with its size.

    memory: bytes that the process may take in all, where the user set a limit. what, instead:
    what lies on the grid, and what can be done about it, in words.
    """
    size = result_bytes(grid, copies)
    free, where = float(available_bytes()), "are free"
    if memory is not None:
        left = max(memory - psutil.Process().memory_info().rss, 0.0)
        free, where = min((free, where), (left, "are left of --memory"))
    if size > free:
        raise ArSSRError(
            f"{what} of {_shape_in_words(grid)} voxels needs {bytes_in_words(size)} of memory "
            f"and {bytes_in_words(free)} {where}; {instead}"
        )


def result_bytes(grid: Grid, copies: int = 1) -> float:
    """What results on a grid take of memory, held so many times."""
    return _voxels(grid) * _BYTES_PER_OUTPUT_VOXEL * copies


def stored_bytes(volume: Volume, grid: Grid, frames: int = 1, half_widths: bool = False) -> float:
    """What a result takes on disk, stored as `volume` is, and its half-widths; not compressed."""
    each = volume.storage.written.itemsize + half_widths * HALF_WIDTHS.dtype.itemsize
    return frames * _voxels(grid) * each


def require_disk(
    path: Path, volume: Volume, grid: Grid, frames: int = 1, half_widths: bool = False
) -> None:
    """Refuse a result for `path`, stored as `volume` is, that would not fit there uncompressed."""
    size = stored_bytes(volume, grid, frames, half_widths)
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if size > free:
        raise ArSSRError(
            f"a result of {_shape_in_words(grid)} voxels takes {bytes_in_words(size)} of disk and "
            f"{bytes_in_words(free)} are free in {folder}; ask for a coarser grid or name another "
            "folder"
        )


def _voxels(grid: Grid) -> float:
    return math.prod(map(float, grid.shape))


def _shape_in_words(grid: Grid) -> str:
    return "×".join(f"{n:.6g}" for n in grid.shape)
