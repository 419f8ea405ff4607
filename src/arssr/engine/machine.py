"""What this machine can do: how many threads, how fast in which precision. Measured, not guessed."""

import json
import math
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import platformdirs
import torch
from torch.nn import functional as F

from arssr.errors import ArSSRError
from arssr.files import replacing

PRECISIONS = (torch.float32, torch.bfloat16)
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
# Convolutions of 64 channels on so many voxels, products of 4096×128 by 128×128 matrices: large
# enough for full speed, and milliseconds.
_PLANES, _ROWS, _WIDTH = 6, 48, 64
_POINTS, _FEATURES = 4096, 128
# What bf16 must be faster by to be worth its rounding.
_WORTH = 1.2


@dataclass(frozen=True)
class Speed:
    """Floating-point operations per second, of convolutions and of matrix products."""

    convolution: float
    product: float


def usable_cpus() -> int:
    """Processors that this process may keep busy: affinity, and a container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = _CPU_QUOTA.read_text().split()
        return max(1, min(count or 1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or "max"
        return count or 1


def set_threads() -> None:
    """No more threads than processors: more would wait for each other. Fewer stay fewer."""
    if torch.get_num_threads() > usable_cpus():
        torch.set_num_threads(usable_cpus())


def measure(dtype: torch.dtype, device: torch.device, repeats: int = 2) -> Speed:
    """How fast the two kinds of work are, the best of a few tries."""
    image = torch.rand(1, _WIDTH, _PLANES, _ROWS, _ROWS).to(device, dtype)
    image = image.contiguous(memory_format=torch.channels_last_3d)
    kernel = torch.rand(_WIDTH, _WIDTH, 3, 3, 3).to(device, dtype)
    kernel = kernel.contiguous(memory_format=torch.channels_last_3d)
    points = torch.rand(_POINTS, _FEATURES).to(device, dtype)
    matrix = torch.rand(_FEATURES, _FEATURES).to(device, dtype)
    inner = (_PLANES - 2) * (_ROWS - 2) ** 2  # no padding: every product counts
    with torch.inference_mode():
        return Speed(
            _rate(lambda: F.conv3d(image, kernel), 2.0 * kernel.numel() * inner, device, repeats),
            _rate(lambda: points @ matrix, 2.0 * matrix.numel() * _POINTS, device, 10 * repeats),
        )


def _rate(work: Callable[[], object], flops: float, device: torch.device, repeats: int) -> float:
    work()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return flops / min(seconds)


@cache
def speeds(device: torch.device = torch.device("cpu")) -> dict[str, Speed]:
    """Speeds by precision ("float32", "bfloat16"): measured once and kept in the user's cache."""
    key = _machine(device)
    path = platformdirs.user_cache_path("arssr") / "speeds.json"
    known = _read(path)
    try:
        return {name: Speed(**known[key][name]) for name in map(_name, PRECISIONS)}
    except (KeyError, TypeError):
        pass
    found = {_name(dtype): measure(dtype, device) for dtype in PRECISIONS}
    known[key] = {name: asdict(speed) for name, speed in found.items()}
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(known, indent=1))
    except ArSSRError:  # a home that cannot be written: measured again next time
        pass
    return found


def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is worth it here."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    found = speeds(device)
    return found["bfloat16"].convolution > _WORTH * found["float32"].convolution


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _read(path: Path) -> dict[str, dict[str, dict[str, float]]]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _machine(device: torch.device) -> str:
    """What speeds depend on."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    threads = torch.get_num_threads()
    return (
        f"{cpu_model()}, {torch.backends.cpu.get_cpu_capability()}, {threads} threads, "
        f"torch {torch.__version__}"
    )


def cpu_model() -> str:
    """The processor's name, as well as it can be known."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
