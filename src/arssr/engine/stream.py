"""An encoder that takes its image plane by plane and gives its features plane by plane.

A convolution needs one plane behind and one ahead of the one it computes. So every layer keeps
the last planes of its input and answers a plane late, shortcuts wait for the branch that they are
added to, and nothing is computed twice, however little of the image is in memory at a time.

Maps are (planes, rows, columns, channels), contiguous: what oneDNN calls channels-last. Around
the voxels whose features are wanted, the core, a layer computes just the halo that the layers
after it read. Where the volume ends within that halo the layer pads with zeros, as it would over
the whole volume; elsewhere its map shrinks by a voxel.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arssr.engine.convolution import convolve
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

    def lost(self, halo_in: int, halo_out: int) -> tuple[Axes, Axes]:
        """Voxels by which a map with the one halo is larger than one with the other, per side."""
        (a, b, c), (d, e, f) = (
            [min(halo_in, room) - min(halo_out, room) for room in side]
            for side in (self.before, self.after)
        )
        return (a, b, c), (d, e, f)


class Stage(Protocol):
    """Takes the next planes of its input and gives the next ones of its output.

    lag: planes by which the output trails the input. carried: channels that are kept from call to
    call, times the planes that they are kept for.
    """

    lag: int
    carried: int

    def push(self, x: Tensor, last: bool) -> tuple[Tensor, bool]:
        """Next planes in, next planes out, and whether they are the last on either side.

        Where the last ones have gone in and have not come out, pushing no planes brings more.
        """


def _keep(x: Tensor, before: Tensor | None) -> Tensor:
    """A copy of planes, where those of the last time were: what lives long and moved about would
    leave holes in the heap, a third of all the memory.
    """
    return x.clone() if before is None or before.shape != x.shape else before.copy_(x)


class _Convolution:
    """3×3×3, its weights turned as the maps are. `lost`: voxels of the volume around the input
    that the output lacks, per side: where none, zeros take their place. most: planes given at a
    time.
    """

    lag = 1

    def __init__(
        self, conv: nn.Conv3d, weight: Tensor, lost: tuple[Axes, Axes], relu: bool, most: int
    ) -> None:
        self.weight = weight.contiguous(memory_format=torch.channels_last_3d)
        self.bias, self.relu = conv.bias, relu
        self.carried = 2 * conv.in_channels
        self._zeros_before, self._zeros_after = ([1 - n for n in side] for side in lost)
        self.most = most
        self._kept: Tensor | None = None
        self._ended = False

    def push(self, x: Tensor, last: bool) -> tuple[Tensor, bool]:
        y, _, ends = self.push_beside([x], last)
        return y, ends

    def push_beside(self, parts: Sequence[Tensor], last: bool) -> tuple[Tensor, Tensor, bool]:
        """As `push`, of an input whose channels come in several tensors; also gives the part of
        the input that lies where the output does.
        """
        # At the end of the volume there is one plane more to give, in every layer. Where that
        # would make the last portion too long it waits for the next call.
        ends = last and (not self._zeros_after[0] or len(parts[0]) < self.most)
        padded = self._padded(parts, self._zeros_after[0] * (ends and not self._ended))
        self._ended = ends
        self._kept = _keep(padded[-2:], self._kept)
        beside = padded[1 : max(len(padded) - 1, 1), 1:-1, 1:-1]
        if not len(beside):
            return padded.new_empty((*beside.shape[:3], len(self.weight))), beside, ends
        y = convolve(padded.permute(3, 0, 1, 2)[None], self.weight, self.bias)[0]
        y = (y.relu_() if self.relu else y).permute(1, 2, 3, 0).contiguous()
        return y, beside, ends

    def _padded(self, parts: Sequence[Tensor], end: int) -> Tensor:
        """What was kept, the new planes, and zeros where the volume ends."""
        (front, top, left), (_, bottom, right) = self._zeros_before, self._zeros_after
        planes, rows, columns = parts[0].shape[:3]
        behind = front if self._kept is None else len(self._kept)
        size = (behind + planes + end, top + rows + bottom, left + columns + right)
        padded = parts[0].new_empty((*size, sum(part.shape[-1] for part in parts)))
        padded[:behind] = 0 if self._kept is None else self._kept
        padded[behind + planes :] = 0
        new = padded[behind : behind + planes]
        new[:, :top], new[:, top + rows :] = 0, 0
        new[:, :, :left], new[:, :, left + columns :] = 0, 0
        _put_beside(new[:, top : top + rows, left : left + columns], parts)
        return padded


def _put_beside(target: Tensor, parts: Sequence[Tensor]) -> Tensor:
    """The target, filled with channels that come in several tensors (faster than torch.cat)."""
    first = 0
    for part in parts:
        target[..., first : first + part.shape[-1]] = part
        first += part.shape[-1]
    return target


class _Pointwise:
    """1×1×1: a matrix product."""

    lag = carried = 0

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.weight, self.bias = weight.flatten(1), bias

    def push(self, x: Tensor, last: bool) -> tuple[Tensor, bool]:
        return F.linear(x, self.weight, self.bias), last


class _Waiting:
    """Planes that wait for those of a branch to catch up, cropped as the branch crops."""

    def __init__(self, room: Room, halo_in: int, halo_out: int) -> None:
        self.lag = halo_in - halo_out
        (self._unanswered, *self._before), (_, *self._after) = room.lost(halo_in, halo_out)
        self._kept: Tensor | None = None

    def swap(self, x: Tensor, count: int) -> Iterator[tuple[slice, Tensor]]:
        """Takes planes in, lets the oldest `count` go: places among them, and what belongs there.

        Without copying: those that waited first, then those that need not.
        """
        (top, left), (bottom, right) = self._before, self._after
        x = x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]
        kept = x[:0] if self._kept is None else self._kept
        dropped = min(self._unanswered, len(kept) + len(x))
        self._unanswered -= dropped
        stop = dropped + count
        waited, new = kept[dropped:stop], x[max(dropped - len(kept), 0) : max(stop - len(kept), 0)]
        yield slice(0, len(waited)), waited
        yield slice(len(waited), count), new
        left_over, queue = kept[stop:], x[max(stop - len(kept), 0) :]
        self._kept = _keep(torch.cat([left_over, queue]) if len(left_over) else queue, self._kept)


class _Chain:
    """One stage after the other."""

    def __init__(self, stages: Iterable[Stage]) -> None:
        self.stages = list(stages)
        self.lag = sum(stage.lag for stage in self.stages)
        self.carried = sum(stage.carried for stage in self.stages)

    def push(self, x: Tensor, last: bool) -> tuple[Tensor, bool]:
        for stage in self.stages:
            x, last = stage.push(x, last)
        return x, last


class _Residual:
    """x + branch(x), of x the first `width` channels (all, or one for every channel)."""

    def __init__(self, branch: Stage, shortcut: _Waiting, width: int) -> None:
        self.branch, self.lag, self.width = branch, branch.lag, width
        self.carried = branch.carried + branch.lag * width
        self._shortcut = shortcut

    def push(self, x: Tensor, last: bool) -> tuple[Tensor, bool]:
        y, last = self.branch.push(x, last)
        for place, planes in self._shortcut.swap(x[..., : self.width], len(y)):
            y[place] += planes
        return y, last


class _Dense:
    """Convolutions that each read what all before them read and gave; a product fuses all that."""

    def __init__(self, layers: list[_Convolution], fusion: _Pointwise) -> None:
        self.layers, self.fusion = layers, fusion
        self.lag = sum(layer.lag for layer in layers)
        self.carried = sum(layer.carried for layer in layers)

    def push(self, x: Tensor, last: bool) -> tuple[Tensor, bool]:
        parts = [x]
        for layer in self.layers:
            y, read, last = layer.push_beside(parts, last)
            parts = [read, y]
        width = sum(part.shape[-1] for part in parts)
        joined = _put_beside(y.new_empty((*y.shape[:3], width)), parts)
        return self.fusion.push(joined, last)


class _Fused:
    """Stages in a chain, whose outputs are summed, each through its own 1×1×1 convolution.

    Never the outputs of all stages side by side: a sum waits for the next stage's share. sums: one
    for every stage but the first.
    """

    def __init__(self, stages: list[Stage], fusion: nn.Conv3d, sums: list[_Waiting]) -> None:
        weights = fusion.weight.chunk(len(stages), dim=1)
        biases = [fusion.bias, *[None] * (len(stages) - 1)]
        self.stages, self.sums = stages, sums
        self.shares = [_Pointwise(w, b) for w, b in zip(weights, biases, strict=True)]
        self.lag = sum(stage.lag for stage in stages)
        self.carried = sum(s.carried for s in stages)
        self.carried += fusion.out_channels * sum(s.lag for s in sums)

    def push(self, x: Tensor, last: bool) -> tuple[Tensor, bool]:
        x, last = self.stages[0].push(x, last)
        total, last = self.shares[0].push(x, last)
        for stage, share, waiting in zip(self.stages[1:], self.shares[1:], self.sums, strict=True):
            x, last = stage.push(x, last)
            fused, last = share.push(x, last)
            for place, planes in waiting.swap(total, len(x)):
                fused[place] += planes
            total = fused
        return total, last


class _Builder:
    """Makes stages in the order in which they compute, and knows the halo that is left."""

    def __init__(self, axes: Axes, backwards: bool, room: Room, halo: int, planes: int) -> None:
        self.axes, self.backwards, self.room, self.halo = axes, backwards, room, halo
        self.most = planes + LONGER

    def conv(self, conv: nn.Conv3d, relu: bool = False) -> _Convolution:
        weight = conv.weight.permute(0, 1, *(2 + a for a in self.axes))
        weight = weight.flip(2) if self.backwards else weight
        lost = self.room.lost(self.halo, self.halo - 1)
        self.halo -= 1
        return _Convolution(conv, weight, lost, relu, self.most)

    def chain(self, *modules: nn.Module) -> _Chain:
        """The convolutions in modules, each with the ReLU that may follow it."""
        found = [m for part in modules for m in part.modules()]
        layers = [m for m in found if isinstance(m, nn.Conv3d | nn.ReLU)]
        return _Chain(
            self.conv(m, relu=isinstance(after, nn.ReLU))
            for m, after in zip(layers, [*layers[1:], None], strict=True)
            if isinstance(m, nn.Conv3d)
        )

    def waiting(self, since: int) -> _Waiting:
        """For what had the halo `since` and is needed now."""
        return _Waiting(self.room, since, self.halo)

    def residual(self, *modules: nn.Module, width: int) -> Stage:
        """A chain and the shortcut past it."""
        since = self.halo
        return _Residual(self.chain(*modules), self.waiting(since), width)

    def rdn(self, encoder: RDN) -> Stage:
        """First convolution, the trunk with the shortcut past it, last convolution."""
        first, since = self.conv(encoder.sfe1), self.halo
        second = self.conv(encoder.sfe2)
        blocks, sums = [], []
        for block in encoder.rdbs:
            before = self.halo
            blocks.append(self.dense_block(block))  # type: ignore[arg-type]
            sums.append(self.waiting(before))
        fusion, smooth = encoder.gff
        fused = _Fused(blocks, fusion, sums[1:])  # type: ignore[arg-type]
        trunk = _Chain([second, fused, self.conv(smooth)])  # type: ignore[arg-type]
        around = _Residual(trunk, self.waiting(since), encoder.sfe1.out_channels)
        return _Chain([first, around, self.conv(encoder.output)])

    def dense_block(self, block: ResidualDenseBlock) -> Stage:
        """Layers that each read all before them, fused, and the shortcut past them."""
        since = self.halo
        layers = [self.conv(layer.conv, relu=True) for layer in block.layers]  # type: ignore[arg-type]
        fused = _Dense(layers, _Pointwise(block.lff.weight, block.lff.bias))
        return _Residual(fused, self.waiting(since), block.lff.out_channels)


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
        since, stages = build.halo, [*build.chain(encoder.conv_start).stages]
        for block in (encoder.block1, encoder.block2, encoder.block3):
            stages.append(build.residual(block, width=block[0].out_channels))  # type: ignore[arg-type]
        stages += build.chain(encoder.conv_end).stages
        return _Residual(_Chain(stages), build.waiting(since), width=1)
    if isinstance(encoder, ResidualChain):
        width = encoder.features[0][0].out_channels  # type: ignore[index]
        return _Chain(
            build.residual(part, width=width)
            if isinstance(part, ResidualBlock)
            else build.chain(part)
            for part in encoder.features
        )
    raise TypeError(f"no stream for a {type(encoder).__name__}")
