"""Features of a whole volume, tile by tile."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from arssr.engine.memory import available_bytes
from arssr.engine.plan import plan_tiles
from arssr.errors import ArSSRError
from arssr.files import bytes_in_words
from arssr.networks import ImplicitVoxelNetwork


def encode_volume(
    network: ImplicitVoxelNetwork,
    image: Tensor,
    condition: Tensor | None,
    budget: float,
    progress: Callable[[float], None] = lambda _: None,
) -> Tensor:
    """Features (I, J, K, F) of an image (I, J, K), in the network's dtype, on its device.

    condition: (C,) constant channels or None. `budget`: bytes that activations may take. Tiled or
    not, the result is the same to float rounding.
    """
    parameter = next(network.parameters())
    shape = (image.shape[0], image.shape[1], image.shape[2])
    bytes_per_voxel = network.encoder.peak_channels * parameter.element_size()
    size = math.prod(shape) * network.config.feature_dim * parameter.element_size()
    free = available_bytes(parameter.device)
    if size > free:
        raise ArSSRError(
            f"the features of this image need {bytes_in_words(size)} of memory and "
            f"{bytes_in_words(free)} are free; give it in parts, or use a smaller model"
        )
    tiles = plan_tiles(shape, network.encoder.radius, bytes_per_voxel, budget)
    features = torch.empty(
        (*shape, network.config.feature_dim), dtype=parameter.dtype, device=parameter.device
    )
    image = image.to(parameter)
    given = None if condition is None else condition[None].to(parameter)
    steps = len(tiles) * sum(isinstance(m, nn.Conv3d) for m in network.encoder.modules())
    with torch.inference_mode(), _ConvolutionCounter(network.encoder, steps, progress):
        for tile in tiles:
            padded = image[tile.padded][None, None].contiguous(memory_format=torch.channels_last_3d)
            encoded = network.encode(padded, given)[0].permute(1, 2, 3, 0)
            features[tile.core] = encoded[tile.inner]
    return features


class _ConvolutionCounter:
    """Reports progress after every convolution; they are where the time goes."""

    def __init__(self, encoder: nn.Module, steps: int, progress: Callable[[float], None]) -> None:
        self.done, self.steps, self.progress = 0, steps, progress
        self.convolutions = [m for m in encoder.modules() if isinstance(m, nn.Conv3d)]

    def __enter__(self) -> None:
        self.hooks = [conv.register_forward_hook(self._count) for conv in self.convolutions]

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()
        self.progress(1.0)

    def _count(self, *_: object) -> None:
        self.done += 1
        self.progress(self.done / self.steps)
