"""The general way: an encoder runs as it is, on one piece of the image after the other.

A feature depends on the voxels within the encoder's radius and on no others. So `forward` over a
piece and a halo as wide as the radius gives the right features of the piece. The features of the
halo are wrong and are thrown away; they are computed again with their own pieces. This way is
exact, and slow where halos are wide.
"""

from collections.abc import Callable, Iterator

from torch import Tensor

from arssr.engine.boxes import Box, grown
from arssr.engine.encoding.stream import Axes
from arssr.networks.encoders import Encoder


def in_pieces(
    encoder: Encoder,
    image: Tensor,
    enter: Callable[[Tensor], Tensor],
    core: Box,
    axes: Axes,
    planes: int,
    backwards: bool,
) -> Iterator[Tensor]:
    """Features (n, rows, columns, F) of the voxels in `core`, `planes` planes at a time.

    image (I, J, K). enter: makes the encoder's input (…, in_channels) of voxels (…).
    axes: the axes of the image that are planes, rows and columns. backwards: last planes first.
    """
    along = axes[0]
    for part in portions(core[along], planes, backwards):
        box = [*core]
        box[along] = part
        seen = [seen_for(encoder, s, n) for s, n in zip(box, image.shape, strict=True)]
        [found] = encoder(enter(image[tuple(seen)]).permute(3, 0, 1, 2)[None])
        inner = [slice(b.start - s.start, b.stop - s.start) for b, s in zip(box, seen, strict=True)]
        found = found[:, inner[0], inner[1], inner[2]].permute(*(1 + a for a in axes), 0)
        yield (found.flip(0) if backwards else found).contiguous()


def portions(whole: slice, planes: int, backwards: bool) -> Iterator[slice]:
    """Parts of `planes` planes each (the last may have fewer), in the order of computation.

    >>> list(portions(slice(0, 5), 2, backwards=True))
    [slice(3, 5, None), slice(1, 3, None), slice(0, 1, None)]
    """
    if backwards:
        for stop in range(whole.stop, whole.start, -planes):
            yield slice(max(stop - planes, whole.start), stop)
    else:
        for start in range(whole.start, whole.stop, planes):
            yield slice(start, min(start + planes, whole.stop))


def seen_for(encoder: Encoder, part: slice, n: int) -> slice:
    """The voxels of an axis that the features of a part depend on, in whole strides.

    n: the number of voxels of the axis.
    """
    seen, stride = grown(part, encoder.radius, n), encoder.stride
    return slice(seen.start // stride * stride, min(-(-seen.stop // stride) * stride, n))
