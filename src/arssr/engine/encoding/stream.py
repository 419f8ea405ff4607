"""An encoder that takes its image plane by plane and gives its features plane by plane.

A convolution needs one plane behind and one ahead of the one it computes. So every layer keeps
the last planes of its input and answers a plane late, shortcuts wait for the branch that they are
added to, and nothing is computed twice, however little of the image is in memory at a time.

Around the voxels whose features are wanted, the core, a stage computes just the halo that the
stages after it read. Where the volume ends within that halo its layers pad with zeros, as they
would over the whole volume; elsewhere its map shrinks by a voxel for every layer.
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

LONGER = 4  # planes by which the last portion may be longer than the others


@dataclass(frozen=True)
class Room:
    """Voxels between the core and the faces of the volume: before and after it, along planes,
    rows and columns.
    """

    before: Axes
    after: Axes

    def lost(self, halo_in: int, halo_out: int) -> Lost:
        """Voxels by which a map with the one halo is larger than one with the other, per side."""
        (a, b, c), (d, e, f) = (
            [min(halo_in, room) - min(halo_out, room) for room in side]
            for side in (self.before, self.after)
        )
        return (a, b, c), (d, e, f)


class _Builder:
    """Makes stages in the order in which they compute, and knows the halo that is left."""

    def __init__(self, axes: Axes, backwards: bool, room: Room, halo: int, planes: int) -> None:
        self.axes, self.backwards, self.room, self.halo = axes, backwards, room, halo
        self.most, self.made = planes + LONGER, 0
        self.workspace = Workspace(self.most + LONGER)  # and what is kept

    def stage(self, part: Part) -> Stage:
        """The stage that computes a part."""
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
        """A convolution of maps with so many channels each."""
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
        """Layers, the first of which reads what had the halo `since`."""
        begins = itertools.accumulate((layer.lost[0] for layer in layers), initial=0)
        maps = []
        for number, (layer, begin) in enumerate(zip(layers, begins, strict=False)):
            # an inlet is written while the stage before still needs its own
            slot = str(number) if number else f"inlet {self.made % 2}"
            channels = layer.weights[-1].shape[1]
            maps.append(Map(self.workspace, slot, channels, begin, layer.zeros))
        self.made += 1
        crop = self.room.lost(since, self.halo)
        return stages.Layers(layers, crop, self.most, maps, dense, shortcut)

    def waiting(self, since: int) -> Waiting:
        """For what had the halo `since` and is needed now."""
        return Waiting(since - self.halo, self.room.lost(since, self.halo))


def stream(part: Part, axes: Axes, room: Room, planes: int, backwards: bool = False) -> Stage:
    """An encoder's parts as a stage, for maps whose planes, rows and columns are its axes `axes`.

    planes: as many are pushed at a time. backwards: from the last to the first (`room` likewise).

    Input: the core and the encoder's radius more voxels on each side, or as many as there is room
    for, (planes, rows, columns, in_channels). Output: the core, (…, feature_dim). Pushed in
    whatever portions, the same as the encoder's `forward` over the whole volume to rounding.
    """
    return _Builder(axes, backwards, room, parts.radius(part), planes).stage(part)
