"""A larger network that begins as a smaller one: the same answers, and room to learn more.

After Net2Net (Chen et al. 2016, arXiv 1511.05641). Every layer of the small network gets a place
in the large one. Channels that are new read at random and are not yet read by the old ones, so
nothing changes and gradients flow. Convolutions that are in excess pass on what they get.

>>> light = ImplicitVoxelNetwork(ModelConfig("residual", "light", 8, 4, 8))
>>> larger = grow(light, ModelConfig("residual", "srresnet", 16, 4, 16))
>>> larger.parameter_count > light.parameter_count
True
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from arssr.errors import ArSSRError
from arssr.networks import ImplicitVoxelNetwork, ModelConfig
from arssr.networks.encoders import RDN, Encoder, Light, SRResNet


@torch.no_grad()
def grow(small: ImplicitVoxelNetwork, config: ModelConfig) -> ImplicitVoxelNetwork:
    """A network of `config` that answers as `small` does (to rounding), its new parts random.

    Raises ArSSRError where the larger network has no place for the smaller one.
    """
    large = ImplicitVoxelNetwork(config)
    if small.config == config:
        large.load_state_dict(small.state_dict())
        return large
    growing = _GROWING.get(type(large.encoder))
    fits = (
        small.corrects
        and large.corrects
        and isinstance(small.encoder, Light)
        and config.decoder_depth == small.config.decoder_depth
        and config.decoder_width >= small.config.decoder_width
    )
    if growing is None or not fits:
        raise ArSSRError(
            f"{_in_words(config)} cannot begin as {_in_words(small.config)}: weights to start from "
            "are of the same network, or of `light` for a wider srresnet or rdn of the same depth"
        )
    growing(small.encoder, large.encoder)
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


def _to_srresnet(light: Encoder, large: Encoder) -> None:
    """Light's chain is the beginning of SRResNet's; the blocks that follow correct nothing yet."""
    *chain, tail = _convolutions(light)
    *own, passing, last = _convolutions(large)
    for source, target in zip(chain, own, strict=False):
        _put(source, target)
    _pass_on(passing, range(tail.in_channels), range(tail.in_channels))
    _put(tail, last)


def _to_rdn(light: Encoder, large: Encoder) -> None:
    """A residual block has room in a dense one. There its second convolution is followed by a
    ReLU, so it is computed twice, positive and negative, and the fusion takes the difference.

    Light's chain runs in the first channels. It leaves the trunk through others, because the
    shortcut past the trunk adds what went in.
    """
    first, *blocks, tail = _convolutions(light)
    shallow, second, *dense, fusion, smooth, last = _convolutions(large)
    n, width = tail.in_channels, shallow.out_channels
    chain, out = range(n), range(n, 2 * n)
    _put(first, shallow)
    _pass_on(shallow, [], out)
    _pass_on(second, chain, chain)
    for inner, outer, one, two, fuse in zip(
        blocks[::2], blocks[1::2], dense[::4], dense[1::4], dense[3::4], strict=True
    ):
        _put(inner, one)
        _put(outer, two, at=width)
        for values in two.parameters():
            values[n : 2 * n] = -values[:n]
        positive = range(2 * width, 2 * width + n)  # of the fusion's inputs, and …
        negative = slice(positive.stop, positive.stop + n)
        _pass_on(fuse, positive, chain)
        fuse.weight[:n, negative] = -fuse.weight[:n, positive.start : positive.stop]
    end = len(blocks) // 2 * width - width  # the last block's output
    _pass_on(fusion, [end + channel for channel in chain], out)
    _pass_on(smooth, out, out)
    _put(tail, last, at=out.start)


_GROWING: dict[type, Callable[[Encoder, Encoder], None]] = {SRResNet: _to_srresnet, RDN: _to_rdn}


def _convolutions(module: nn.Module) -> list[nn.Conv3d]:
    return [m for m in module.modules() if isinstance(m, nn.Conv3d)]


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
