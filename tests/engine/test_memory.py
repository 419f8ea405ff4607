"""Free memory is what the machine has and the container allows."""

from pathlib import Path

import psutil
import pytest
import torch

from arssr.engine import memory
from arssr.engine.memory import available_bytes


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of /sys/fs/cgroup."""
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    return tmp_path


def test_without_a_limit_it_is_what_the_machine_has(cgroups: Path) -> None:
    assert available_bytes() == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    (cgroups / "memory.max").write_text("max\n")
    (cgroups / "memory.current").write_text("999999999\n")
    assert available_bytes() == pytest.approx(psutil.virtual_memory().available, rel=0.2)


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_may_take_what_its_limit_leaves_cached_files_aside(
    cgroups: Path, version: int
) -> None:
    limit, usage, statistics, cached = {
        1: ("limit_in_bytes", "usage_in_bytes", "stat", "total_inactive_file"),
        2: ("max", "current", "stat", "inactive_file"),
    }[version]
    folder = cgroups / "memory" if version == 1 else cgroups
    folder.mkdir(exist_ok=True)
    (folder / f"memory.{limit}").write_text("1000000\n")
    (folder / f"memory.{usage}").write_text("900000\n")
    (folder / f"memory.{statistics}").write_text(f"anon 7\n{cached} 300000\n")
    assert available_bytes() == 400_000
    (folder / f"memory.{statistics}").write_text("anon 7\n")
    (folder / f"memory.{usage}").write_text("1000001\n")
    assert available_bytes() == 0


def test_of_a_gpu_what_pytorch_keeps_unused_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, found in (
        ("mem_get_info", (700, 1000)),
        ("memory_reserved", 200),
        ("memory_allocated", 150),
    ):
        monkeypatch.setattr(torch.cuda, name, lambda _, found=found: found)
    assert available_bytes(torch.device("cuda")) == 750
