"""oneDNN, the library behind PyTorch's convolutions and products on a CPU, called by name.

PyTorch has it compute more in one go (a product and its GELU) than its own functions ask for.
"""

from typing import Literal

import torch
from torch import Tensor

# Not part of PyTorch's interface: a version without one of these uses neither.
_OPERATORS = ("_linear_pointwise", "_is_mkldnn_bf16_supported")


def onednn_computes(x: Tensor) -> bool:
    """Whether oneDNN can compute with such a tensor here."""
    if x.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS):
        return False
    bf16 = x.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return x.dtype == torch.float32 or bool(bf16)


def linear_in_one_go(
    x: Tensor, weight: Tensor, bias: Tensor, activation: Literal["gelu", "none"]
) -> Tensor:
    """activation(linear(x, weight, bias)). Without gradients."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "none")
