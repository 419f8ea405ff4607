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
from torch import nn

from arssr.engine.encoding.maps import Map, Workspace
from arssr.engine.encoding.stages import Chain, Fused, Layer, Layers, Lost, Residual, Stage, Waiting
from arssr.networks.encoders import (
    RDN,
    Encoder,
    ResCNN,
    ResidualBlock,
    ResidualChain,
    ResidualDenseBlock,
)

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
        self.most, self.stages = planes + LONGER, 0
        self.workspace = Workspace(self.most + LONGER)  # and what is kept

    def layer(self, conv: nn.Conv3d, relu: bool, parts: Sequence[int]) -> Layer:
        """A convolution of maps with so many channels each."""
        weight = conv.weight.permute(0, 1, *(2 + a for a in self.axes))
        weight = weight.flip(2) if self.backwards else weight
        cut = weight.split(list(parts), dim=1)
        weights = [w.contiguous(memory_format=torch.channels_last_3d) for w in cut]
        reach = conv.kernel_size[0] // 2
        before, after = self.room.lost(self.halo, self.halo - reach)
        self.halo -= reach
        return Layer(weights, conv.bias, relu, (before[0], after[0]))  # type: ignore[arg-type]

    def stage(
        self, layers: list[Layer], since: int, dense: bool = False, shortcut: bool = False
    ) -> Stage:
        """Layers, the first of which reads what had the halo `since`."""
        begins = itertools.accumulate((layer.lost[0] for layer in layers), initial=0)
        maps = []
        for number, (layer, begin) in enumerate(zip(layers, begins, strict=False)):
            # an inlet is written while the stage before still needs its own
            place = str(number) if number else f"inlet {self.stages % 2}"
            channels = layer.weights[-1].shape[1]
            maps.append(Map(self.workspace, place, channels, begin, layer.zeros))
        self.stages += 1
        crop = self.room.lost(since, self.halo)
        return Layers(layers, crop, self.most, maps, dense, shortcut)

    def chain(self, module: nn.Module, shortcut: bool = False) -> Stage:
        """The convolutions in a module, each with the ReLU that may follow it."""
        since = self.halo
        found = [m for m in module.modules() if isinstance(m, nn.Conv3d | nn.ReLU)]
        layers = [
            self.layer(m, isinstance(after, nn.ReLU), [m.in_channels])
            for m, after in zip(found, [*found[1:], None], strict=True)
            if isinstance(m, nn.Conv3d)
        ]
        return self.stage(layers, since, shortcut=shortcut)

    def dense_block(self, block: ResidualDenseBlock) -> Stage:
        """Layers that each read all before them, fused, and the shortcut past them."""
        since, layers, parts = self.halo, [], [block.lff.out_channels]
        for dense in block.layers:
            conv: nn.Conv3d = dense.conv  # type: ignore[assignment]
            layers.append(self.layer(conv, True, parts))
            parts.append(conv.out_channels)
        layers.append(self.layer(block.lff, False, parts))
        return self.stage(layers, since, dense=True, shortcut=True)

    def waiting(self, since: int) -> Waiting:
        """For what had the halo `since` and is needed now."""
        return Waiting(since - self.halo, self.room.lost(since, self.halo))

    def rdn(self, encoder: RDN) -> Stage:
        """First convolution, the trunk with the shortcut past it, last convolution."""
        first, since = self.chain(encoder.sfe1), self.halo
        second = self.chain(encoder.sfe2)
        blocks, sums = [], []
        for block in encoder.rdbs:
            before = self.halo
            blocks.append(self.dense_block(block))  # type: ignore[arg-type]
            sums.append(self.waiting(before))
        fusion, smooth = encoder.gff
        fused = Fused(blocks, fusion, sums[1:])  # type: ignore[arg-type]
        trunk = Chain([second, fused, self.chain(smooth)])
        around = Residual(trunk, self.waiting(since), encoder.sfe1.out_channels)
        return Chain([first, around, self.chain(encoder.output)])


def stream(encoder: Encoder, axes: Axes, room: Room, planes: int, backwards: bool = False) -> Stage:
    """The encoder as a stage, for maps whose planes, rows and columns are its axes `axes`.

    planes: as many are pushed at a time. backwards: from the last to the first (`room` likewise).

    Input: the core and `encoder.radius` more voxels on each side, or as many as there is room for,
    (planes, rows, columns, in_channels). Output: the core, (…, feature_dim). Pushed in whatever
    portions, the same as `encoder.forward` over the whole volume to rounding.
    """
    build = _Builder(axes, backwards, room, encoder.radius, planes)
    if isinstance(encoder, RDN):
        return build.rdn(encoder)
    if isinstance(encoder, ResCNN):
        since, stages = build.halo, [build.chain(encoder.conv_start)]
        for block in (encoder.block1, encoder.block2, encoder.block3):
            stages.append(build.chain(block, shortcut=True))
        stages.append(build.chain(encoder.conv_end))
        return Residual(Chain(stages), build.waiting(since), width=1)
    if isinstance(encoder, ResidualChain):
        return Chain(
            build.chain(part, shortcut=isinstance(part, ResidualBlock)) for part in encoder.features
        )
    raise TypeError(f"no stream for a {type(encoder).__name__}")
