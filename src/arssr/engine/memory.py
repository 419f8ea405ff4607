"""How much memory there really is."""

from pathlib import Path

import psutil

_CGROUP_FILES = (  # (limit, usage) of control groups version 2 and 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available_bytes() -> int:
    """Memory that this process can still take: what is free, within a container's limit."""
    free = psutil.virtual_memory().available
    for limit, usage in _CGROUP_FILES:
        try:
            left = int(Path(limit).read_text()) - int(Path(usage).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        free = min(free, max(left, 0))
    return free


def in_words(count: float) -> str:
    """A number of bytes as a person says it.

    >>> in_words(1_493_000_000)
    '1.5 GB'
    """
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
