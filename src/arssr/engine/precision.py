"""Where a network computes, and in which floating-point type."""

import torch

from arssr.engine.machine import fast_bf16, fast_fp16
from arssr.errors import ArSSRError

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "float32": torch.float32}


def named_device(name: str) -> torch.device:
    """The device of that name: cpu, cuda, cuda:1, …; auto is a GPU if there is one.

    Raises ArSSRError where this machine has none of that name.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise ArSSRError(f"no device {name!r} here; cpu always works") from None
    return device


def named_precision(name: str, device: torch.device, corrects: bool) -> torch.dtype:
    """The type of that name: auto, bf16, fp16 or float32.

    corrects: the network only corrects an interpolation, so that 16 bits are enough for it. auto
    is then bfloat16 where that is measured to be faster, float16 on GPUs from before bfloat16,
    and float32 elsewhere. Raises ArSSRError for what the device or the network is not fit for.
    """
    if name == "auto":
        if corrects and fast_bf16(device):
            return torch.bfloat16
        return torch.float16 if corrects and fast_fp16(device) else torch.float32
    if name not in _TYPES:
        raise ArSSRError(f"precision is auto, bf16, fp16 or float32, not {name!r}")
    if name != "float32" and not corrects:
        raise ArSSRError(f"{name} is too coarse for a network that is not residual; use float32")
    unfit = {
        "bf16": device.type == "cuda" and not fast_bf16(device),
        "fp16": not fast_fp16(device),
    }
    if unfit.get(name):
        raise ArSSRError(f"{name} is not for this device ({device}); use auto or float32")
    return _TYPES[name]
