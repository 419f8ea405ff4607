"""Decoding at single points, in any order."""

import itertools
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from arssr.engine.decoding.taps import Features, Taps
from arssr.networks import ImplicitVoxelNetwork

_POINTS = 16_384  # points that are decoded together


@torch.inference_mode()
def decode_points(
    network: ImplicitVoxelNetwork, features: Features, positions: np.ndarray, cell: np.ndarray
) -> np.ndarray:
    """Decode features (I, J, K, F) at voxel coordinates (P, 3): (P, channels) float32."""
    decoder, shape = network.decoder, features.shape[:3]
    parts = [np.empty((0, decoder.channels), np.float32)]
    for start in range(0, len(positions), _POINTS):
        chunk = positions[start : start + _POINTS]
        read = _gather(features, chunk, decoder.zeros_outside)
        at = torch.from_numpy(chunk).to(read.device)
        place = decoder.embed_place(at, torch.from_numpy(cell).to(at), shape)
        parts.append(decoder(read, place.to(read)).float().cpu().numpy())
    return np.concatenate(parts)


def _gather(features: Features, positions: np.ndarray, zeros_outside: bool) -> Tensor:
    """Features (P, F) at voxel coordinates (P, 3), by trilinear interpolation."""
    taps = [Taps.at(positions[:, a], features.shape[a], zeros_outside) for a in range(3)]

    def share(corner: tuple[int, ...]) -> Tensor:
        index = np.stack([t.arrays()[c] for t, c in zip(taps, corner, strict=True)], axis=-1)
        weight = np.prod([t.arrays()[2 + c] for t, c in zip(taps, corner, strict=True)], axis=0)
        rows = features.rows(index)
        return rows * torch.from_numpy(weight).to(rows)[:, None]

    return reduce(Tensor.add_, map(share, itertools.product((0, 1), repeat=3)))
