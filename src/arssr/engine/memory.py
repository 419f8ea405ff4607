"""How much memory there really is."""

from pathlib import Path

import psutil
import torch

_CGROUPS = Path("/sys/fs/cgroup")
# Of control groups version 2 and 1: limit, usage, and cached files. The kernel counts these files
# as usage and frees their memory on demand.
_CGROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)


def available_bytes(device: torch.device | None = None) -> int:
    """Memory that is still free: on a GPU, or for this process within its container's limit."""
    if device is not None and device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused  # PyTorch keeps freed memory
    free = psutil.virtual_memory().available
    for limit, usage, statistics, cached in _CGROUP_FILES:
        try:
            left = int((_CGROUPS / limit).read_text()) - int((_CGROUPS / usage).read_text())
            known = dict(line.split() for line in (_CGROUPS / statistics).read_text().splitlines())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        free = min(free, max(left + int(known.get(cached, 0)), 0))
    return free
