"""What an encoder is made of, in words that an engine can follow.

An encoder that describes itself in these words (`Encoder.parts`) is computed plane by plane, as a
stream, and nothing twice: each part here is a stage of the same name in
`arssr.engine.encoding.stages`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Layer:
    """A 3×3×3 or 1×1×1 convolution that keeps the shape, and the ReLU that may follow it."""

    conv: nn.Conv3d
    relu: bool = False

    def __post_init__(self) -> None:
        c, one = self.conv, (1, 1, 1)
        reach = c.kernel_size[0] // 2
        if (
            c.kernel_size not in (one, (3, 3, 3))
            or c.padding != (reach,) * 3
            or not (c.stride == c.dilation == one and c.groups == 1 and c.padding_mode == "zeros")
            or c.bias is None
        ):
            raise ValueError(f"no layer of a stream: {c}")


@dataclass(frozen=True)
class Layers:
    """Layers in a row; with `shortcut`, their input is added to their output."""

    layers: tuple[Layer, ...]
    shortcut: bool = False


@dataclass(frozen=True)
class DenseBlock:
    """Layers that each read the input and the outputs of all layers before them, side by side.

    The input is added to the output of the last one.
    """

    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Chain:
    """One part after the other."""

    parts: tuple["Part", ...]


@dataclass(frozen=True)
class Residual:
    """branch(x) + x, of x the first `width` channels (all of them, or one for every output)."""

    branch: "Part"
    width: int


@dataclass(frozen=True)
class Fusion:
    """One part after the other; the outputs of all, side by side, enter a 1×1×1 convolution."""

    parts: tuple["Part", ...]
    conv: nn.Conv3d


Part = Layers | DenseBlock | Chain | Residual | Fusion


def layers_in(module: nn.Module, shortcut: bool = False) -> Layers:
    """The convolutions in a module, each with the ReLU that may follow it."""
    found = [m for m in module.modules() if isinstance(m, nn.Conv3d | nn.ReLU)]
    following = zip(found, [*found[1:], None], strict=True)
    layers = (Layer(m, isinstance(n, nn.ReLU)) for m, n in following if isinstance(m, nn.Conv3d))
    return Layers(tuple(layers), shortcut)


def radius(part: Part) -> int:
    """How far a voxel is seen: the reaches of all convolutions, which follow each other."""
    return sum(int(conv.padding[0]) for conv in convolutions(part))


def convolutions(part: Part) -> Iterator[nn.Conv3d]:
    """All convolutions, in the order in which they are computed."""
    match part:
        case Layers(layers) | DenseBlock(layers):
            yield from (layer.conv for layer in layers)
        case Chain(parts):
            for inner in parts:
                yield from convolutions(inner)
        case Residual(branch):
            yield from convolutions(branch)
        case Fusion(parts, conv):
            for inner in parts:
                yield from convolutions(inner)
            yield conv
