"""What this machine can do: how many threads, and how fast it is in which precision."""

import json
import math
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs
import torch

from arssr.engine.encoding.convolution import convolve
from arssr.errors import ArSSRError
from arssr.files import replacing

Work = tuple[Callable[[], object], float]  # a computation, and its floating-point operations

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
# What is timed: a convolution of 64 channels on 6×48×48 voxels, and a product of matrices of
# 4096×128 and 128×128. Both are large enough for full speed and take milliseconds.
_PLANES, _ROWS, _WIDTH = 6, 48, 64
_POINTS, _FEATURES = 4096, 128
_FEWEST_TRIES = 3
# bfloat16 is worth its rounding where it is faster than float32 by this factor.
_WORTH = 1.2
_TENSOR_CORES = (7, 0)  # the compute capability since which float16 has them


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
    """Lower the number of threads to that of processors: further threads would only wait."""
    if torch.get_num_threads() > usable_cpus():
        torch.set_num_threads(usable_cpus())


def measure(device: torch.device, seconds: float = 0.2) -> dict[str, Speed]:
    """Speeds by precision: the best of several tries, which take about `seconds` in all.

    The works take turns, so that other programs on the machine slow all works alike.
    """
    works = {
        (str(dtype).removeprefix("torch."), kind): make(dtype, device)
        for dtype in _precisions(device)
        for kind, make in (("convolution", convolution_work), ("product", product_work))
    }
    best = dict.fromkeys(works, math.inf)
    tries, started = 0, time.perf_counter()
    with torch.inference_mode():
        while tries < _FEWEST_TRIES or time.perf_counter() - started < seconds:
            tries += 1
            for key, (work, _) in works.items():
                if tries > 1 and best[key] > seconds:
                    continue  # emulated: once is enough
                before = time.perf_counter()
                work()
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                best[key] = min(best[key], time.perf_counter() - before)
    rates = {key: flops / best[key] for key, (_, flops) in works.items()}
    names = dict.fromkeys(name for name, _ in works)
    return {n: Speed(rates[n, "convolution"], rates[n, "product"]) for n in names}


def convolution_work(dtype: torch.dtype, device: torch.device) -> Work:
    """A convolution, and its floating-point operations."""
    image = torch.rand(1, _WIDTH, _PLANES, _ROWS, _ROWS).to(device, dtype)
    image = image.contiguous(memory_format=torch.channels_last_3d)
    kernel = torch.rand(_WIDTH, _WIDTH, 3, 3, 3).to(device, dtype)
    kernel = kernel.contiguous(memory_format=torch.channels_last_3d)
    taps = 3 * (_PLANES - 2) * (3 * _ROWS - 2) ** 2  # what meets the padding is no work
    return lambda: convolve(image, kernel), 2.0 * _WIDTH**2 * taps


def product_work(dtype: torch.dtype, device: torch.device) -> Work:
    """A matrix product, and its floating-point operations."""
    points = torch.rand(_POINTS, _FEATURES).to(device, dtype)
    matrix = torch.rand(_FEATURES, _FEATURES).to(device, dtype)
    return lambda: points @ matrix, 2.0 * matrix.numel() * _POINTS


@cache
def speeds(device: torch.device) -> dict[str, Speed]:
    """Speeds by precision ("float32", …): measured once and kept in the user's cache.

    They decide which precision `auto` is; `arssr bench` measures them anew.
    """
    try:
        return {name: Speed(**kept) for name, kept in _read(_cache())[_machine(device)].items()}
    except (AttributeError, KeyError, TypeError):
        return _measured_and_kept(device)


def measure_anew(device: torch.device) -> None:
    """Let `speeds` forget what it knows of a device, which others may have kept busy then."""
    speeds.cache_clear()
    _measured_and_kept(device)


def _measured_and_kept(device: torch.device) -> dict[str, Speed]:
    found, path = measure(device), _cache()
    known = _read(path) | {_machine(device): {name: asdict(s) for name, s in found.items()}}
    # in a home that cannot be written nothing is kept: measured again next time
    with suppress(ArSSRError), replacing(path) as temporary:
        temporary.write_text(json.dumps(known, indent=1))
    return found


def _cache() -> Path:
    return platformdirs.user_cache_path("arssr") / "speeds.json"


def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is worth it here."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    found = speeds(device)
    return found["bfloat16"].convolution > _WORTH * found["float32"].convolution


def fast_fp16(device: torch.device) -> bool:
    """Whether float16 is worth it where bfloat16 is not: on GPUs with tensor cores."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= _TENSOR_CORES


def _precisions(device: torch.device) -> list[torch.dtype]:
    """The types to choose from. A GPU that only emulates a type may lack its convolutions."""
    if device.type != "cuda":
        return [torch.float32, torch.bfloat16]
    halves = {torch.bfloat16: fast_bf16(device), torch.float16: fast_fp16(device)}
    return [torch.float32, *(dtype for dtype, fast in halves.items() if fast)]


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _machine(device: torch.device) -> str:
    """The name of everything that speeds depend on."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    threads = torch.get_num_threads()
    return (
        f"{cpu_model()}, {torch.backends.cpu.get_cpu_capability()}, {threads} threads, "
        f"torch {torch.__version__}, padded"
    )


def cpu_model() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
