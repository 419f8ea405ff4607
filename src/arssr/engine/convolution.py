"""The convolutions and products that the engine computes, and that it measures machines by.

Maps are (planes, rows, columns, channels), contiguous. What is computed is added to a map where it
lies, and inputs whose channels come in several maps are never joined: nothing is copied.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from arssr.onednn import add_convolution, onednn_computes

# Rows and columns keep their number, planes do not: a stream brings those before and after.
_PADDING = (0, 1, 1)


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """3×3×3 convolution of (N, C, I, J, K) to (N, C', I - 2, J, K)."""
    if onednn_computes(x):  # in float32 PyTorch leaves thin maps to a routine 2 to 6 times slower
        return torch.mkldnn_convolution(x, weight, None, _PADDING, [1] * 3, [1] * 3, 1)
    return F.conv3d(x, weight, padding=_PADDING)


def add_convolutions(out: Tensor, parts: Sequence[Tensor], weights: Sequence[Tensor]) -> None:
    """Add to maps (I, J, K, C') 3×3×3 convolutions of maps (I + 2, J, K, C)."""
    if not len(out):
        return
    target, known = out.permute(3, 0, 1, 2)[None], onednn_computes(out)
    for part, weight in zip(parts, weights, strict=True):
        x = part.permute(3, 0, 1, 2)[None]
        if known:
            add_convolution(target, x, weight, _PADDING)
        else:
            target += convolve(x, weight)


def add_products(out: Tensor, parts: Sequence[Tensor], weights: Sequence[Tensor]) -> None:
    """Add to maps (I, J, K, C') 1×1×1 convolutions of maps (I, J, K, C)."""
    target = out.view(-1, out.shape[-1])
    for part, weight in zip(parts, weights, strict=True):
        target.addmm_(part.reshape(-1, part.shape[-1]), weight.flatten(1).t())
