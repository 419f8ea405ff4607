"""The stages of a stream: layers that take a map a few planes at a time, and their connections.

`stream.py` builds the stages and has a drawing of their halo, lag and crop.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arssr.engine.encoding.convolution import sum_of_convolutions, sum_of_products
from arssr.engine.encoding.maps import Map, Queue

# The numbers of planes, rows and columns that a map lacks: before its first and after its last.
Lost = tuple[tuple[int, int, int], tuple[int, int, int]]


class Stage(Protocol):
    """A part of the encoder: takes the next planes of its input and gives the next of its output.

    lag: the number of planes by which the output trails the input. carried: the numbers per voxel
    that the stage keeps from call to call. working: the numbers per voxel and plane that are in
    memory at the worst moment of a call. inlet: the map that `push` copies its input to, unless
    the stage before has written the input there; None for a stage without such a map.
    """

    lag: int
    carried: int
    working: int

    @property
    def inlet(self) -> Map | None: ...

    def push(self, x: Tensor, last: bool, onward: Map | None = None) -> tuple[Tensor, bool]:
        """Take the next planes `x`; return the next planes of the output, and whether they end it.

        last: whether `x` ends the input. When the input has ended and the output has not, a call
        with no planes gives further planes of the output.
        onward: the inlet of the stage that reads the output. The output is written there, if that
        saves a copy, and stays valid until that stage gives its own output.
        """


@dataclass(frozen=True)
class Layer:
    """A 3×3×3 or 1×1×1 convolution of one or several maps, with weights of their own.

    lost: the number of planes by which the output is shorter than the input, before and after.
    """

    weights: list[Tensor]
    bias: Tensor
    relu: bool
    lost: tuple[int, int]

    @property
    def reach(self) -> int:
        """The number of planes that the layer reads before and after the plane it computes."""
        return self.weights[0].shape[2] // 2

    @property
    def zeros(self) -> tuple[bool, bool]:
        """Whether the layer reads a plane of zeros before its input, and after its input."""
        before, after = self.lost
        return self.reach > before, self.reach > after

    def compute(
        self, parts: list[Tensor], shortcut: Tensor | None = None, out: Tensor | None = None
    ) -> Tensor:
        """The layer's output, with the shortcut added; written into `out`, if given.

        parts: the planes to compute and their neighbours within reach, of each map.
        """
        add_up = sum_of_convolutions if self.reach else sum_of_products
        y = add_up(parts, self.weights, self.bias)
        out = y if out is None else out
        if self.relu:
            y = torch.clamp_min(y, 0, out=out)
        if shortcut is not None:
            y = torch.add(y, shortcut, out=out)
        return y if y is out else out.copy_(y)


class Layers:
    """Layers in a row; each layer reads the output of the layer before.

    dense: each layer reads the stage's input and the outputs of all layers before. Each map is
    written to the memory in which all later layers read it, and maps are never joined.

    Within the stage all maps have the rows and columns of the stage's input. Where the volume goes
    on beyond the map, the outermost rows and columns are wrong, because the layers pad them with
    zeros. crop: the number of these rows and columns, which are cut off at the end.
    shortcut: whether the input is added to the output. most: the number of planes that a layer
    computes at a time.
    """

    def __init__(
        self,
        layers: list[Layer],
        crop: Lost,
        most: int,
        maps: list[Map],
        dense: bool,
        shortcut: bool,
    ) -> None:
        self.layers, self._maps, self._dense, self._shortcut = layers, maps, dense, shortcut
        self.inlet, self._most, self._crop = maps[0], most, crop
        # for each layer, the number of the plane that the layer computes next
        self._next = list(itertools.accumulate(layer.lost[0] for layer in layers))
        behind = [-lag for lag in itertools.accumulate(layer.reach for layer in layers)]
        self.lag = -behind[-1]
        self.carried = 0
        for number, (stop, map_) in enumerate(zip([0, *behind], maps, strict=False)):
            kept = stop - self._needed(number, behind)
            map_.reserve(kept)
            self.carried += kept * map_.channels
        out = len(layers[-1].bias)
        # all maps, the inlet of the next stage, a layer's sum, the output of the last call, and the
        # convolution that is added to the sum where a layer reads several maps
        self.working = sum(m.channels for m in maps) + maps[0].channels + (2 + dense) * out

    def _needed(self, number: int, following: list[int]) -> int:
        """The first plane of map `number` that some layer has still to read.

        following: for each layer, the number of the plane that the layer computes next.
        """
        readers = slice(number, None if self._dense else number + 1)
        reads = zip(following[readers], self.layers[readers], strict=True)
        first = min(plane - layer.reach for plane, layer in reads)
        return min(first, following[-1]) if self._shortcut and not number else first

    def push(self, x: Tensor, last: bool, onward: Map | None = None) -> tuple[Tensor, bool]:
        maps, (rows, columns) = self._maps, x.shape[1:3]
        if not self.inlet.holds(x):
            self.inlet.open((len(x), rows, columns), last, x)[:] = x
        y, ended = x, last
        for number, layer in enumerate(self.layers):
            read = maps[: number + 1] if self._dense else [maps[number]]
            start, ready = self._next[number], min(m.ready(layer.reach) for m in read)
            # At the end of the volume every layer can compute one plane more. Planes beyond `most`
            # wait for the next call.
            stop = max(start, min(ready, start + self._most))
            ended = stop == ready and all(m.ended for m in read)
            parts = [m[start - layer.reach : stop + layer.reach] for m in read]
            size = stop - start, rows, columns
            if number + 1 < len(maps):
                y = layer.compute(parts, out=maps[number + 1].open(size, ended, x))
            else:
                shortcut = self.inlet[start:stop] if self._shortcut else None
                # without a crop the layer can write to the next stage's inlet directly
                out = onward.open(size, ended, x) if onward and not self._crops else None
                y = layer.compute(parts, shortcut, out)
            self._next[number] = stop
        for number, map_ in enumerate(maps):
            map_.forget(self._needed(number, self._next))
        return _cropped(y, self._crop) if self._crops else y, ended

    @property
    def _crops(self) -> bool:
        return any((*self._crop[0][1:], *self._crop[1][1:]))


def _cropped(x: Tensor, crop: Lost) -> Tensor:
    """A map without the outermost rows and columns. (Planes are not cropped: see `Layer.lost`.)"""
    (_, top, left), (_, bottom, right) = crop
    return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


class Waiting:
    """Planes that wait until a branch has computed the same planes; cropped as the branch's are.

    lag: the number of planes by which the branch trails. crop: the branch's.
    """

    def __init__(self, lag: int, crop: Lost) -> None:
        self.lag, self._crop = lag, crop
        self._to_drop = crop[0][0]  # first planes that the branch never gives
        self._waiting = Queue(lag)

    def swap(self, x: Tensor, count: int) -> Iterator[tuple[slice, Tensor]]:
        """Take planes in and give the oldest `count` planes out, in pieces.

        Yields pairs: where a piece lies among the `count` planes, and the piece. First come planes
        that have waited, then planes of `x`, which are not copied.
        """
        x = _cropped(x, self._crop)
        dropped = min(self._to_drop, len(self._waiting) + len(x))
        self._to_drop -= dropped
        waited = min(dropped, len(self._waiting))
        self._waiting.take(waited)
        x, done = x[dropped - waited :], 0
        for planes in self._waiting.take(min(count, len(self._waiting))):
            yield slice(done, done + len(planes)), planes
            done += len(planes)
        yield slice(done, count), x[: count - done]
        self._waiting.put(x[count - done :])


class Chain:
    """One stage after the other."""

    def __init__(self, stages: Iterable[Stage]) -> None:
        self.stages = list(stages)
        self.lag = sum(stage.lag for stage in self.stages)
        self.carried = sum(stage.carried for stage in self.stages)
        self.working = max(stage.working for stage in self.stages)
        self.inlet = self.stages[0].inlet

    def push(self, x: Tensor, last: bool, onward: Map | None = None) -> tuple[Tensor, bool]:
        inlets = [*(stage.inlet for stage in self.stages[1:]), onward]
        for stage, inlet in zip(self.stages, inlets, strict=True):
            x, last = stage.push(x, last, inlet)
        return x, last


class Residual:
    """branch(x) + the first `width` channels of x (all of them, or one for all outputs)."""

    inlet = None  # the shortcut reads the input after the branch has overwritten its own inlet

    def __init__(self, branch: Stage, shortcut: Waiting, width: int) -> None:
        self.branch, self.lag, self.width = branch, branch.lag, width
        self.carried = branch.carried + branch.lag * width
        self.working = branch.working + width
        self._shortcut = shortcut

    def push(self, x: Tensor, last: bool, onward: Map | None = None) -> tuple[Tensor, bool]:
        y, last = self.branch.push(x, last, onward)
        for place, planes in self._shortcut.swap(x[..., : self.width], len(y)):
            y[place] += planes
        return y, last


class Fusion:
    """Stages in a chain; the sum of a 1×1×1 convolution of each stage's output.

    The outputs of all stages are never in memory together: the sum so far waits for the output of
    the next stage. sums: the waiting sums, one for every stage but the first.
    """

    def __init__(self, stages: list[Stage], fusion: nn.Conv3d, sums: list[Waiting]) -> None:
        weights = fusion.weight.flatten(1).chunk(len(stages), dim=1)
        biases = [fusion.bias, *[None] * (len(stages) - 1)]
        self.stages, self.sums = stages, sums
        self.shares = list(zip(weights, biases, strict=True))
        self.lag = sum(stage.lag for stage in stages)
        self.carried = sum(s.carried for s in stages)
        self.carried += fusion.out_channels * sum(s.lag for s in sums)
        self.working = max(s.working for s in stages) + 2 * fusion.out_channels
        self.inlet = stages[0].inlet

    def push(self, x: Tensor, last: bool, onward: Map | None = None) -> tuple[Tensor, bool]:
        total: Tensor | None = None
        inlets = [*(stage.inlet for stage in self.stages[1:]), None]
        waits = [None, *self.sums]
        for stage, inlet, share, wait in zip(self.stages, inlets, self.shares, waits, strict=True):
            x, last = stage.push(x, last, inlet)
            fused = F.linear(x, *share)
            if wait is not None and total is not None:
                for place, planes in wait.swap(total, len(x)):
                    fused[place] += planes
            total = fused
        return fused, last
