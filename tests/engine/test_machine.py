"""Speeds are measured once a machine, and threads never outnumber processors."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from arssr.engine import machine
from arssr.engine.machine import Speed

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's cache folder, empty."""
    monkeypatch.setattr(machine.platformdirs, "user_cache_path", lambda name: tmp_path / name)
    machine.speeds.cache_clear()
    yield tmp_path / "arssr"
    machine.speeds.cache_clear()


def test_speeds_are_measured_once_and_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = machine.speeds(CPU)
    assert set(found) == {"float32", "bfloat16"}
    assert all(s.convolution > 1e6 and s.product > 1e6 for s in found.values())
    [(key, kept)] = json.loads((cache / "speeds.json").read_text()).items()
    assert torch.__version__ in key and f"{torch.get_num_threads()} threads" in key
    assert kept["float32"]["convolution"] == found["float32"].convolution
    machine.speeds.cache_clear()
    monkeypatch.setattr(machine, "measure", None)
    assert machine.speeds(CPU) == found


def test_measuring_anew_replaces_what_is_known(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for flops in (1, 2):
        monkeypatch.setattr(machine, "measure", lambda _, flops=flops: {"x": Speed(flops, flops)})
        machine.measure_anew(CPU)
        assert machine.speeds(CPU) == {"x": Speed(flops, flops)}
        assert len(json.loads((cache / "speeds.json").read_text())) == 1


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', "{"])
def test_a_damaged_cache_is_measured_anew(
    cache: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir()
    (cache / "speeds.json").write_text(content)
    speed = {"float32": Speed(2, 1), "bfloat16": Speed(3, 1)}
    monkeypatch.setattr(machine, "measure", lambda device: speed)
    assert machine.speeds(CPU) == speed and machine.fast_bf16(CPU)


def test_a_home_that_cannot_be_written_does_no_harm(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.touch()  # a file where the folder should be
    speed = {"float32": Speed(2, 1), "bfloat16": Speed(2.1, 1)}
    monkeypatch.setattr(machine, "measure", lambda device: speed)
    assert machine.speeds(CPU) == speed and not machine.fast_bf16(CPU)


@pytest.mark.parametrize(
    ("quota", "expected"), [("max 100000", 8), ("150000 100000", 2), ("10 100000", 1), ("?", 8)]
)
def test_a_container_has_as_many_processors_as_its_quota(
    quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(machine, "_CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(8)))
    assert machine.usable_cpus() == expected


def test_threads_are_lowered_and_never_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        monkeypatch.setattr(machine, "usable_cpus", lambda: 2)
        torch.set_num_threads(3)
        machine.set_threads()
        assert torch.get_num_threads() == 2
        monkeypatch.setattr(machine, "usable_cpus", lambda: 8)
        machine.set_threads()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("capability", "bf16", "expected"),
    [
        ((6, 1), False, [torch.float32]),
        ((7, 5), False, [torch.float32, torch.float16]),
        ((9, 0), True, [torch.float32, torch.bfloat16, torch.float16]),
    ],
)
def test_a_gpu_is_measured_in_what_it_is_made_for(
    capability: tuple[int, int],
    bf16: bool,
    expected: list[torch.dtype],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine.torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(machine.torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(machine.torch.cuda, "is_bf16_supported", lambda **_: bf16)
    assert machine._precisions(torch.device("cuda")) == expected
    assert not machine.fast_fp16(CPU)
