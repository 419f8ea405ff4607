"""Decoding on a CPU: block by block, and in a block a few planes at a time, which stay in cache."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from arssr.engine.boxes import Box, bounding_box
from arssr.engine.decoding.taps import Features, Taps, nearest_voxel
from arssr.engine.transfer import to_device
from arssr.networks import ImplicitVoxelNetwork
from arssr.networks.decoder import Decoder, Tables

_BLOCK = (16, 64, 64)  # output voxels whose features are interpolated together
_PLANES = 8  # planes of a block that are decoded together: they stay in cache
# Sizes are multiples of these numbers. Tensors of every size would leave holes in the memory, and
# oneDNN would compile, and keep, code for each size.
_STEP = 16  # rows and columns of a block
_ROWS, _MANY_ROWS = 512, 2048  # voxels that are decoded together, where they are few or many


@torch.inference_mode()
def decode_lattice(
    network: ImplicitVoxelNetwork,
    features: Features,
    positions: tuple[np.ndarray, np.ndarray, np.ndarray],
    cell: np.ndarray,
    active: np.ndarray,
    progress: Callable[[float], None] = lambda _: None,
) -> Iterator[tuple[Box, Tensor]]:
    """Decode features (I, J, K, F) on the lattice of voxel coordinates `positions`.

    cell (3,): output voxel size in input voxels. active (I, J, K): an output voxel is wanted where
    the input voxel nearest to it is active; elsewhere the value is 0. Yields boxes of the output
    that hold wanted voxels, and their values (…, channels), float32. progress: hears the share of
    the blocks that is done.
    """
    decoder, shape, device = network.decoder, active.shape, network.device
    taps = [Taps.at(p, n, decoder.zeros_outside) for p, n in zip(positions, shape, strict=True)]
    nearest = [nearest_voxel(p, n) for p, n in zip(positions, shape, strict=True)]
    at = [to_device(p, device) for p in positions]
    size = to_device(cell, device)
    tables = [
        decoder.embed_axis(axis, p, size, n).to(network.dtype)
        for axis, (p, n) in enumerate(zip(at, shape, strict=True))
    ]
    boxes = list(_boxes([len(p) for p in positions]))
    for number, box in enumerate(boxes, start=1):
        progress(number / len(boxes))
        wanted = active[np.ix_(*(n[s] for n, s in zip(nearest, box, strict=True)))]
        if not wanted.any():
            continue
        box, wanted = _cropped(box, wanted)
        windows = [t.part(s).window() for t, s in zip(taps, box, strict=True)]
        block = features[windows[0][0], windows[1][0], windows[2][0]]
        i, j, k = (t[s] for t, s in zip(tables, box, strict=True))
        entered = _enter_planes(decoder, block, [inner for _, inner in windows], (i, j, k))
        yield box, torch.cat([_decoded(decoder, x, wanted[part]) for part, x in entered])


def _enter_planes(
    decoder: Decoder, features: Tensor, taps: list[Taps], tables: Tables
) -> Iterator[tuple[slice, Tensor]]:
    """The decoder's input (n, J, K, …), a few planes of a lattice at a time.

    Features (I, J, K, F) are interpolated along one axis after the other: along the first axis by
    picking two planes, along the others by a matrix product, which is faster there.
    """
    along_i, along_j, along_k = taps
    rows, columns, layers = tables
    down = torch.from_numpy(along_j.matrix(features.shape[1])).to(features)
    across = torch.from_numpy(along_k.matrix(features.shape[2])).to(features)
    for part, planes in along_i.planes(features, _PLANES):
        lines = torch.matmul(down, planes.flatten(2)).unflatten(-1, planes.shape[2:])
        del planes
        block = torch.matmul(across, lines)
        del lines  # with the planes as large as the block, which is decoded next
        yield part, decoder.enter_lattice(block, (rows[part], columns, layers))


def _cropped(box: Box, wanted: np.ndarray) -> tuple[Box, np.ndarray]:
    """The part of a box that holds all wanted voxels, and which voxels of the part are wanted.

    Its rows and columns begin and end at multiples of `_STEP`.
    """
    i, j, k = bounding_box(wanted)
    inner = i, _in_steps(j), _in_steps(k)
    i, j, k = (
        slice(b.start + s.start, min(b.start + s.stop, b.stop))
        for b, s in zip(box, inner, strict=True)
    )
    return (i, j, k), wanted[inner]


def _in_steps(part: slice) -> slice:
    return slice(part.start // _STEP * _STEP, -(-part.stop // _STEP) * _STEP)


def _padded(index: np.ndarray) -> np.ndarray:
    """An index with its last entry repeated, so that few different lengths occur."""
    step = _ROWS if len(index) <= _MANY_ROWS else _MANY_ROWS
    return np.pad(index, (0, -len(index) % step), mode="edge")


def _boxes(shape: list[int]) -> Iterator[Box]:
    axes = (
        [slice(start, min(start + size, n)) for start in range(0, n, size)]
        for n, size in zip(shape, _BLOCK, strict=True)
    )
    yield from itertools.product(*axes)


def _decoded(decoder: Decoder, planes: Tensor, wanted: np.ndarray) -> Tensor:
    """Values (I, J, K, channels) of the decoder's input (I, J, K, …); 0 where not wanted."""
    if wanted.all():
        return decoder.read(planes).float()
    values = torch.zeros((wanted.size, decoder.channels), device=planes.device)
    index = np.flatnonzero(wanted)
    if len(index):
        chosen = torch.from_numpy(_padded(index)).to(planes.device)
        values[chosen] = decoder.read(planes.flatten(0, 2).index_select(0, chosen)).float()
    return values.view(*wanted.shape, -1)
