"""The convolutions and products that the engine computes, and by which it measures machines.

Maps are (planes, rows, columns, channels), contiguous. A layer may read several maps, side by side.
These maps are never joined: each map has a convolution of its own, whose result is added to the
sum in place.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from arssr.networks.onednn import onednn_computes

# Rows and columns are padded with zeros, planes are not: a stream brings the planes around.
_PADDING = (0, 1, 1)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """3×3×3 convolution of (N, C, I, J, K) to (N, C', I - 2, J, K)."""
    if onednn_computes(x):  # in float32 PyTorch leaves thin maps to a routine 2 to 6 times slower
        return torch.mkldnn_convolution(x, weight, bias, _PADDING, [1] * 3, [1] * 3, 1)
    return F.conv3d(x, weight, bias, padding=_PADDING)


def sum_of_convolutions(parts: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor) -> Tensor:
    """The sum (I, J, K, C') of a bias and of a 3×3×3 convolution of each map (I + 2, J, K, C)."""
    first, *others = (part.permute(3, 0, 1, 2)[None] for part in parts)
    if first.shape[2] < 3:
        return bias.new_empty((0, *parts[0].shape[1:3], len(bias)))
    total = convolve(first, weights[0], bias)
    for x, weight in zip(others, weights[1:], strict=True):
        total += convolve(x, weight)
    # The sum is contiguous already, unless it is so thin that PyTorch chose another order.
    return total[0].permute(1, 2, 3, 0).contiguous()


def sum_of_products(parts: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor) -> Tensor:
    """The sum (I, J, K, C') of a bias and of a 1×1×1 convolution of each map (I, J, K, C)."""
    first, *others = (part.flatten(0, 2) for part in parts)
    total = F.linear(first, weights[0].flatten(1), bias)
    for x, weight in zip(others, weights[1:], strict=True):
        total.addmm_(x, weight.flatten(1).t())
    return total.view(*parts[0].shape[:3], len(bias))
