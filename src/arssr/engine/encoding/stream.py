"""An encoder that takes its image plane by plane and gives its features plane by plane.

**Lag.** A 3×3×3 convolution reads one plane before and one after the plane that it computes. So
every layer keeps the last two planes of its input and gives its output one plane late. A shortcut
waits for the branch to which it is added. Nothing is computed twice, however few planes are in
memory at a time. Two layers, an image of ten planes, four planes a call:

                    call 1      call 2      call 3, the last
    input           0 1 2 3     4 5 6 7     8 9
    layer 1 gives   0 1 2       3 4 5 6     7 8 9               plane 3 reads planes 2, 3 and 4
    layer 2 gives   0 1         2 3 4 5     6 7 8 9             lag: 2 planes
    layer 1 keeps       2 3         6 7                         of the input
    layer 2 keeps     1 2         5 6                           of the output of layer 1

**Halo.** The core are the voxels whose features are wanted. Their features depend on a halo around
the core, as wide as the encoder's radius. Every layer has a radius of 1 (or 0), so the halo that is
still needed becomes one voxel narrower with every layer. The halo ends at the faces of the volume,
where the layers pad with zeros, as they do over the whole volume.

**Crop.** Along rows and columns every map of a stage has the size of the stage's input. Where the
volume goes on beyond the map, the layers pad with zeros that are not there: with every layer one
more voxel at this side is wrong. These voxels, and the halo at a face, are cut off at the end of
the stage. Along the planes nothing wrong is computed: there each map is shorter by the planes that
its layer cannot compute (`lost`). A row of voxels, a radius of 3 and a core that lies one voxel
from the face of the volume:

    voxel           0 1 2 3 4 5 6 7 8 9
    input         z h c c c c h h h         c core, h halo, z true zeros beyond the face
    layer 1 gives z h c c c c h h x         x wrong, because voxel 8 was not there
    layer 2 gives z h c c c c h x x
    layer 3 gives   h c c c c x x x
    after the crop    c c c c
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from arssr.engine.encoding import stages
from arssr.engine.encoding.maps import Map, Workspace
from arssr.engine.encoding.stages import Lost, Stage, Waiting
from arssr.networks import parts
from arssr.networks.parts import Part

Axes = tuple[int, int, int]

LONGER = 4  # the last portion may have so many planes more than the others


@dataclass(frozen=True)
class Room:
    """The numbers of voxels between the core and the faces of the volume.

    before, after: on the two sides of the core, along planes, rows and columns.
    """

    before: Axes
    after: Axes

    def lost(self, halo_in: int, halo_out: int) -> Lost:
        """By how many voxels a map with `halo_in` is larger than one with `halo_out`, per side."""
        (a, b, c), (d, e, f) = (
            [min(halo_in, room) - min(halo_out, room) for room in side]
            for side in (self.before, self.after)
        )
        return (a, b, c), (d, e, f)


class _Builder:
    """Makes stages in the order of their computation; `halo` is the halo that is still needed."""

    def __init__(self, axes: Axes, backwards: bool, room: Room, halo: int, planes: int) -> None:
        self.axes, self.backwards, self.room, self.halo = axes, backwards, room, halo
        self.most, self.made = planes + LONGER, 0
        self.workspace = Workspace(self.most + LONGER)  # `most`, and planes that are kept

    def stage(self, part: Part) -> Stage:
        """The stage that computes a part of the encoder."""
        since = self.halo
        match part:
            case parts.Layers(layers, shortcut):
                made = [self.layer(layer, [layer.conv.in_channels]) for layer in layers]
                return self.layers(made, since, dense=False, shortcut=shortcut)
            case parts.DenseBlock(layers):
                made, inputs = [], [layers[0].conv.in_channels]
                for layer in layers:
                    made.append(self.layer(layer, inputs))
                    inputs.append(layer.conv.out_channels)
                return self.layers(made, since, dense=True, shortcut=True)
            case parts.Chain(inner):
                return stages.Chain([self.stage(each) for each in inner])
            case parts.Residual(branch, width):
                stage = self.stage(branch)
                return stages.Residual(stage, self.waiting(since), width)
            case parts.Fusion(inner, conv):
                fused, sums = [], []
                for each in inner:
                    before = self.halo
                    fused.append(self.stage(each))
                    sums.append(self.waiting(before))
                return stages.Fusion(fused, conv, sums[1:])

    def layer(self, layer: parts.Layer, inputs: Sequence[int]) -> stages.Layer:
        """The layer that computes a convolution of several maps. inputs: the channels of each."""
        conv = layer.conv
        weight = conv.weight.permute(0, 1, *(2 + a for a in self.axes))
        weight = weight.flip(2) if self.backwards else weight
        cut = weight.split(list(inputs), dim=1)
        weights = [w.contiguous(memory_format=torch.channels_last_3d) for w in cut]
        reach = conv.kernel_size[0] // 2
        before, after = self.room.lost(self.halo, self.halo - reach)
        self.halo -= reach
        return stages.Layer(weights, conv.bias, layer.relu, (before[0], after[0]))  # type: ignore[arg-type]

    def layers(
        self, layers: list[stages.Layer], since: int, dense: bool, shortcut: bool
    ) -> stages.Layers:
        """The stage of some layers. since: the halo of the first layer's input."""
        begins = itertools.accumulate((layer.lost[0] for layer in layers), initial=0)
        maps = []
        for number, (layer, begin) in enumerate(zip(layers, begins, strict=False)):
            # A stage's inlet is written while the stage before still reads its own inlet.
            slot = str(number) if number else f"inlet {self.made % 2}"
            channels = layer.weights[-1].shape[1]
            maps.append(Map(self.workspace, slot, channels, begin, layer.zeros))
        self.made += 1
        crop = self.room.lost(since, self.halo)
        return stages.Layers(layers, crop, self.most, maps, dense, shortcut)

    def waiting(self, since: int) -> Waiting:
        """The queue of a shortcut that begins where the halo was `since` and ends here."""
        return Waiting(since - self.halo, self.room.lost(since, self.halo))


def stream(part: Part, axes: Axes, room: Room, planes: int, backwards: bool = False) -> Stage:
    """The stage that computes an encoder, which is made of `part`.

    axes: the axes of the volume that are planes, rows and columns. planes: the number of planes
    that are pushed at a time. backwards: the last plane comes first; `room` is turned likewise.

    The stage's input (planes, rows, columns, in_channels) is the core and, on each side, as many
    voxels more as the encoder's radius, or as there is room for. The output (…, feature_dim) is
    the core. Whatever the portions, the output is that of the encoder's `forward` over the whole
    volume, to rounding.
    """
    return _Builder(axes, backwards, room, parts.radius(part), planes).stage(part)
