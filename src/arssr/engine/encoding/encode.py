"""Features of a box of a volume, some planes at a time."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from arssr.engine.boxes import Box, grown
from arssr.engine.encoding.pieces import in_pieces
from arssr.engine.encoding.stream import Axes, Room, stream
from arssr.networks import SEEN, ImplicitVoxelNetwork
from arssr.networks.parts import Part, radius


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
    """Features (n, rows, columns, F) of the voxels in `core`, a portion of planes at a time.

    image (I, J, K): the whole volume. condition (C,): constant channels, or None. For a network on
    a GPU, pass both on this GPU: otherwise each portion waits for a copy.
    axes: the axes of the image that are planes, rows and columns. planes: the number of planes that
    enter the encoder at a time. backwards: from the last plane to the first.
    The features are in the network's dtype, on its device, and equal those of the whole image to
    rounding.
    """
    encoder, device, dtype = network.encoder, network.device, network.dtype
    told, modulation = condition, network.modulation
    if told is not None and modulation is not None:
        told = told.to(device, dtype)
        gain, shift = modulation(told).chunk(2)  # as `network.encode` does

    def enter(voxels: Tensor) -> Tensor:
        """The encoder's input (…, in_channels) at voxels (…)."""
        x = voxels[..., None].to(device, dtype)
        if told is None:
            return x
        return torch.cat([x.clamp(*SEEN), told.expand(*x.shape[:3], -1)], dim=-1)

    part, given = encoder.parts(), (image, enter, core, axes, planes, backwards)
    portions = in_pieces(encoder, *given) if part is None else _streamed(part, *given)
    for features in portions:
        if told is not None:
            torch.addcmul(shift, features, 1 + gain, out=features)
        yield features


def _streamed(
    part: Part,
    image: Tensor,
    enter: Callable[[Tensor], Tensor],
    core: Box,
    axes: Axes,
    planes: int,
    backwards: bool,
) -> Iterator[Tensor]:
    """As `in_pieces`, for an encoder that has parts: plane by plane, and nothing twice."""
    room = Room(
        _three(core[a].start for a in axes), _three(image.shape[a] - core[a].stop for a in axes)
    )
    if backwards:
        room = Room((room.after[0], *room.before[1:]), (room.before[0], *room.after[1:]))
    stage = stream(part, axes, room, planes, backwards)
    seen = tuple(grown(core[a], radius(part), image.shape[a]) for a in axes)
    given = image.permute(axes)[seen]
    given = given.flip(0) if backwards else given
    start, done = 0, False
    while not done:
        x = enter(given[start : start + planes])
        start += planes
        features, done = stage.push(x, last=start >= len(given))
        if len(features):
            yield features


def _three(values: Iterator[int]) -> tuple[int, int, int]:
    a, b, c = values
    return a, b, c
