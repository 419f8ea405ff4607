"""Decoding on a CPU: a lattice, block by block, a few planes at a time while they are in cache."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from arssr.engine.boxes import Box, bounding_box
from arssr.engine.decoding.taps import Features, Taps, nearest_voxel, place_tables
from arssr.engine.transfer import to_device
from arssr.networks import ImplicitVoxelNetwork
from arssr.networks.decoder import ResidualDecoder

_BLOCK = (16, 64, 64)  # output voxels whose features are interpolated together
_PLANES = 8  # of a block, decoded together: they stay in cache
# Sizes come in steps: pieces of every size would leave holes in the heap, and for each size oneDNN
# makes, and keeps, code of its own.
_STEP = 16  # rows and columns of a block
_ROWS, _MANY_ROWS = 512, 2048  # decoded together: multiples of these


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

    cell (3,): output voxel size in input voxels. active (I, J, K): input voxels whose outputs
    (those nearest to them) are wanted; the others are 0. Yields boxes of the output with anything
    wanted and their float32 values. Interpolation is done one axis after the other.
    """
    shape = active.shape
    zeros_outside = not network.is_residual
    taps = [Taps.at(p, n, zeros_outside) for p, n in zip(positions, shape, strict=True)]
    nearest = [nearest_voxel(p, n) for p, n in zip(positions, shape, strict=True)]
    tables = place_tables(network, positions, cell, shape)
    further = None
    if isinstance(network.decoder, ResidualDecoder):
        tables[2], further = _as_further_voxels(network.decoder, positions[2])
    boxes = list(_boxes([len(p) for p in positions]))
    for number, box in enumerate(boxes, start=1):
        progress(number / len(boxes))
        wanted = active[np.ix_(*(n[s] for n, s in zip(nearest, box, strict=True)))]
        if not wanted.any():
            continue
        box, wanted = _cropped(box, wanted)
        windows = [t.part(s).window() for t, s in zip(taps, box, strict=True)]
        block = features[windows[0][0], windows[1][0], windows[2][0]]
        place = [t[s] for t, s in zip(tables, box, strict=True)]
        read = _read_planes(block, [inner for _, inner in windows], place, further)
        values = [_decode_planes(network, planes, wanted[part]) for part, planes in read]
        yield box, torch.cat(values)


def _as_further_voxels(decoder: ResidualDecoder, positions: np.ndarray) -> tuple[Tensor, Tensor]:
    """What the place adds to the decoder's first layer, as voxels that follow along k.

    Along k it is two waves times vectors, along i and j a sum that is the same for all k. Returns
    the weights (K, 3) with which positions along k read three voxels, and these (3, F), the last
    one still empty: the product that interpolates along k then adds the place in passing.
    """
    vectors = decoder.wave_weights(2)
    waves = decoder.waves(to_device(positions, vectors.device))
    weights = nn.functional.pad(waves, (0, 1), value=1)
    return weights.to(vectors), nn.functional.pad(vectors, (0, 0, 0, 1))


def _read_planes(
    features: Tensor, taps: list[Taps], place: list[Tensor], further: Tensor | None
) -> Iterator[tuple[slice, Tensor]]:
    """What enters the decoder, a few planes (n, J, K, …) of a lattice at a time.

    Features (I, J, K, F) are interpolated one axis after the other: along the first the taps are
    picked, along the others products are faster. place, further: per axis, as tables; where there
    are further voxels they carry it, else its coordinates are joined to the features.
    """
    along_i, along_j, along_k = taps
    rows, columns, layers = place
    n_k = features.shape[2]
    down = torch.from_numpy(along_j.matrix(features.shape[1])).to(features)
    across = torch.from_numpy(along_k.matrix(n_k)).to(features)
    if further is not None:
        across = torch.cat([across, layers], dim=1)
    for part, planes in along_i.planes(features, _PLANES, across.shape[1] - n_k):
        if further is not None:
            planes[:, :, n_k:] = further
        planes = torch.matmul(down, planes.flatten(2)).unflatten(-1, planes.shape[2:])
        if further is not None:
            planes[:, :, -1] = rows[part, None] + columns
        planes = torch.matmul(across, planes)
        if further is None:
            at = torch.broadcast_tensors(rows[part, None, None], columns[:, None], layers)
            planes = torch.cat([planes, torch.stack(at, dim=-1)], dim=-1)
        yield part, planes


def _cropped(box: Box, wanted: np.ndarray) -> tuple[Box, np.ndarray]:
    """The part of a box that has all that is wanted; its rows and columns in whole steps."""
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
    """With the last one repeated, so that there are not many counts."""
    step = _ROWS if len(index) <= _MANY_ROWS else _MANY_ROWS
    return np.pad(index, (0, -len(index) % step), mode="edge")


def _boxes(shape: list[int]) -> Iterator[Box]:
    axes = (
        [slice(start, min(start + size, n)) for start in range(0, n, size)]
        for n, size in zip(shape, _BLOCK, strict=True)
    )
    yield from itertools.product(*axes)


def _decode_planes(network: ImplicitVoxelNetwork, planes: Tensor, wanted: np.ndarray) -> Tensor:
    """Values (I, J, K) of what enters the decoder (I, J, K, …) where they are wanted, else 0."""
    decoder = network.decoder
    decode = decoder.read if isinstance(decoder, ResidualDecoder) else decoder
    if wanted.all():
        return decode(planes).float().view(wanted.shape)
    values = torch.zeros(wanted.size, device=planes.device)
    index = np.flatnonzero(wanted)
    if len(index):
        chosen = torch.from_numpy(_padded(index)).to(planes.device)
        values[chosen] = decode(planes.flatten(0, 2).index_select(0, chosen)).float().view(-1)
    return values.view(wanted.shape)
