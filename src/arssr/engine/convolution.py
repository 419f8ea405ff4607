"""The one convolution that the engine computes, and that it measures machines by."""

import torch
from torch import Tensor
from torch.nn import functional as F


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """3D convolution of (N, C, I, J, K) without padding.

    Thin float32 maps (channels times planes times rows up to 20480) PyTorch leaves to a routine
    that is two to six times slower than oneDNN's, so on a CPU oneDNN is called by name.
    """
    if x.dtype == torch.float32 and x.device.type == "cpu" and torch.backends.mkldnn.is_available():
        return torch.mkldnn_convolution(x, weight, bias, [0] * 3, [1] * 3, [1] * 3, 1)
    return F.conv3d(x, weight, bias)
