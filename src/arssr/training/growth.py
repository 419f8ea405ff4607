"""A larger network that begins as a smaller one: the same answers, and room to learn more.

After Net2Net (Chen et al. 2016, arXiv 1511.05641). Every layer of the small network gets a place
in the large one. Channels that are new read at random and are not yet read by the old ones, so
nothing changes and gradients flow. Convolutions that are in excess pass on what they get.

>>> light = ImplicitVoxelNetwork(ModelConfig("residual", "light", 8, 4, 8))
>>> larger = grow(light, ModelConfig("residual", "srresnet", 16, 4, 16))
>>> larger.parameter_count > light.parameter_count
True
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import nn

from arssr.errors import ArSSRError
from arssr.networks import ImplicitVoxelNetwork, ModelConfig
from arssr.networks.parts import (
    Chain,
    DenseBlock,
    Fusion,
    Layer,
    Layers,
    Part,
    Residual,
    convolutions,
)


@torch.no_grad()
def grow(small: ImplicitVoxelNetwork, config: ModelConfig) -> ImplicitVoxelNetwork:
    """A network of `config` that answers as `small` does (to rounding), its new parts random.

    Raises ArSSRError where the larger network has no place for the smaller one.
    """
    large = ImplicitVoxelNetwork(config)
    if small.config == config:
        large.load_state_dict(small.state_dict())
        return large
    fits = (
        small.corrects
        and large.corrects
        and config.acquisitions == small.config.acquisitions
        and config.decoder_depth == small.config.decoder_depth
        and config.decoder_width >= small.config.decoder_width
    )
    if not (fits and _grow_encoder(small.encoder.parts(), large.encoder.parts())):
        raise ArSSRError(
            f"{_in_words(config)} cannot begin as {_in_words(small.config)}: weights to start from "
            "are of the same network, or of `light` for a wider srresnet or rdn of the same depth"
        )
    _grow_decoder(small, large)
    return large


def _grow_decoder(small: ImplicitVoxelNetwork, large: ImplicitVoxelNetwork) -> None:
    """Layers on the feature, and what tells the features of the condition."""
    for source, target in zip(_linears(small.decoder), _linears(large.decoder), strict=True):
        _put(source, target)
    width, wide = small.config.feature_dim, large.config.feature_dim
    (weight, bias), (own_weight, own_bias) = (
        network.get_submodule("modulation").parameters() for network in (small, large)
    )
    for part in (0, 1):  # gains, then shifts
        rows = slice(part * wide, part * wide + width)
        kept = slice(part * width, (part + 1) * width)
        own_weight[rows] = weight[kept]
        own_bias[rows] = bias[kept]


@dataclass(frozen=True)
class _ResidualChain:
    """An encoder like `light`: a convolution, residual blocks of two, further convolutions."""

    first: nn.Conv3d
    blocks: list[list[nn.Conv3d]]
    tail: list[nn.Conv3d]

    @classmethod
    def of(cls, part: Part | None) -> "_ResidualChain | None":
        """The chain that an encoder's parts are; None for other encoders."""
        match part:
            case Chain((first, *others)) if _is_single(first):
                blocks = list(takewhile(_is_block, others))
                tail = others[len(blocks) :]
                if tail and all(map(_is_single, tail)):
                    [conv] = convolutions(first)
                    inner = [list(convolutions(block)) for block in blocks]
                    return cls(conv, inner, [conv for each in tail for conv in convolutions(each)])
        return None


@dataclass(frozen=True)
class _DenseTrunk:
    """An encoder like `rdn`: dense blocks whose outputs are fused, with a shortcut past them."""

    shallow: nn.Conv3d
    second: nn.Conv3d
    blocks: list[list[nn.Conv3d]]
    fusion: nn.Conv3d
    smooth: nn.Conv3d
    last: nn.Conv3d

    @classmethod
    def of(cls, part: Part | None) -> "_DenseTrunk | None":
        """The trunk that an encoder's parts are; None for other encoders."""
        match part:
            case Chain(
                (before, Residual(Chain((inlet, Fusion(parts, fusion), outlet))), after)
            ) if all(map(_is_single, (before, inlet, outlet, after))) and all(
                isinstance(block, DenseBlock) and len(block.layers) > 2 for block in parts
            ):
                shallow, second, smooth, last = (
                    conv for each in (before, inlet, outlet, after) for conv in convolutions(each)
                )
                blocks = [list(convolutions(block)) for block in parts]
                return cls(shallow, second, blocks, fusion, smooth, last)
        return None


def _is_single(part: Part) -> bool:
    match part:
        case Layers((Layer(relu=False),), shortcut=False):
            return True
    return False


def _is_block(part: Part) -> bool:
    match part:
        case Layers((Layer(relu=True), Layer(relu=False)), shortcut=True):
            return True
    return False


def _grow_encoder(small: Part | None, large: Part | None) -> bool:
    """Make the large encoder compute what the small one does; False if it has no place for it."""
    chain, longer, trunk = _ResidualChain.of(small), _ResidualChain.of(large), _DenseTrunk.of(large)
    if chain is None or len(chain.tail) > 1:
        return False
    count, width = len(chain.blocks), chain.first.out_channels
    if longer and count <= len(longer.blocks) and width <= longer.first.out_channels:
        _grow_chain(chain, longer)
        return True
    if trunk and count == len(trunk.blocks) and 2 * width <= trunk.shallow.out_channels:
        _grow_trunk(chain, trunk)
        return True
    return False


def _grow_chain(small: _ResidualChain, large: _ResidualChain) -> None:
    """The small chain is the beginning of the large one; further blocks correct nothing yet."""
    _put(small.first, large.first)
    for block, own in zip(small.blocks, large.blocks, strict=False):
        for source, target in zip(block, own, strict=True):
            _put(source, target)
    [tail], (*passing, last) = small.tail, large.tail
    for conv in passing:
        _pass_on(conv, range(tail.in_channels), range(tail.in_channels))
    _put(tail, last)


def _grow_trunk(small: _ResidualChain, large: _DenseTrunk) -> None:
    """A residual block has room in a dense one. There a ReLU follows its second convolution, so
    that is computed twice, positive and negative, and the dense block's last convolution takes
    the difference.

    The chain runs in the first channels. It leaves the trunk through others, because the shortcut
    past the trunk adds what went in.
    """
    [tail] = small.tail
    n, width = tail.in_channels, large.shallow.out_channels
    chain, out = range(n), range(n, 2 * n)
    _put(small.first, large.shallow)
    _pass_on(large.shallow, [], out)
    _pass_on(large.second, chain, chain)
    for (inner, outer), (one, two, *_, fuse) in zip(small.blocks, large.blocks, strict=True):
        _put(inner, one)
        _put(outer, two, at=width)
        for values in two.parameters():
            values[n : 2 * n] = -values[:n]
        positive = range(2 * width, 2 * width + n)  # of the inputs of `fuse`, and …
        negative = slice(positive.stop, positive.stop + n)
        _pass_on(fuse, positive, chain)
        fuse.weight[:n, negative] = -fuse.weight[:n, positive.start : positive.stop]
    end = (len(large.blocks) - 1) * width  # the last block's output
    _pass_on(large.fusion, [end + channel for channel in chain], out)
    _pass_on(large.smooth, out, out)
    _put(tail, large.last, at=out.start)


def _linears(module: nn.Module) -> list[nn.Linear]:
    return [m for m in module.modules() if isinstance(m, nn.Linear)]


def _put(source: nn.Conv3d | nn.Linear, target: nn.Conv3d | nn.Linear, at: int = 0) -> None:
    """The first outputs of `target` are those of `source`; they read the inputs from `at` on."""
    (weight, bias), (own_weight, own_bias) = source.parameters(), target.parameters()
    rows, columns = weight.shape[:2]
    own_weight[:rows] = 0
    own_weight[:rows, at : at + columns] = weight
    own_bias[:rows] = bias


def _pass_on(conv: nn.Conv3d, inputs: Sequence[int], outputs: range) -> None:
    """Some outputs are some inputs, unchanged; nothing, where there are no inputs."""
    weight, bias = conv.parameters()
    middle = weight.shape[-1] // 2
    weight[outputs.start : outputs.stop] = 0
    bias[outputs.start : outputs.stop] = 0
    for source, target in zip(inputs, outputs, strict=False):
        weight[target, source, middle, middle, middle] = 1


def _in_words(config: ModelConfig) -> str:
    return f"a {config.flavour} {config.encoder} of width {config.decoder_width}"
