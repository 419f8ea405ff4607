"""Features of a box of a volume, plane by plane."""

from collections.abc import Iterator

import torch
from torch import Tensor

from arssr.engine.boxes import Box, grown
from arssr.engine.encoding.stream import Axes, Room, stream
from arssr.networks import SEEN, ImplicitVoxelNetwork


@torch.inference_mode()
def encode_box(
    network: ImplicitVoxelNetwork,
    image: Tensor,
    condition: Tensor | None,
    core: Box,
    axes: Axes,
    planes: int,
    backwards: bool = False,
) -> Iterator[Tensor]:
    """Features (n, rows, columns, F) of the voxels in `core`, the next planes at each turn.

    image (I, J, K): the whole volume. condition (C,): constant channels, or None. Of both a GPU
    is better given copies of its own, or it waits for every portion.
    axes: those of the image that are planes, rows and columns. planes: as many enter at a time.
    backwards: from the last plane to the first.
    In the network's dtype, on its device; as if the whole image had been encoded, to rounding.
    """
    parameter, radius = next(network.parameters()), network.encoder.radius
    room = Room(
        _three(core[a].start for a in axes), _three(image.shape[a] - core[a].stop for a in axes)
    )
    if backwards:
        room = Room((room.after[0], *room.before[1:]), (room.before[0], *room.after[1:]))
    stage = stream(network.encoder, axes, room, planes, backwards)
    seen = tuple(grown(core[a], radius, image.shape[a]) for a in axes)
    given = image.permute(axes)[seen]
    given = given.flip(0) if backwards else given
    if condition is not None:
        condition = condition.to(parameter)
        gain, shift = network.modulation(condition).chunk(2)  # as `network.encode` does
    start, done = 0, False
    while not done:
        x = given[start : start + planes, ..., None].to(parameter)
        start += planes
        if condition is not None:
            x = torch.cat([x.clamp(*SEEN), condition.expand(*x.shape[:3], -1)], dim=-1)
        features, done = stage.push(x, last=start >= len(given))
        if len(features):
            if condition is not None:
                torch.addcmul(shift, features, 1 + gain, out=features)
            yield features


def _three(values: Iterator[int]) -> tuple[int, int, int]:
    a, b, c = values
    return a, b, c
