"""`arssr bench`: runs, says it, writes it; what it is asked is checked first."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from arssr.benchmark import runner
from arssr.engine import machine
from arssr.engine.machine import Speed

from .conftest import Arssr

pytest.importorskip("nilearn", reason="the head comes from nilearn")


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def here(work: Any, *given: Any, threads: int) -> Any:
        return work(*given)

    monkeypatch.setattr(runner, "alone", here)
    monkeypatch.setattr(runner, "measure", lambda *_: {"float32": Speed(1e10, 1e10)})
    monkeypatch.setattr(machine, "measure", lambda _: {"float32": Speed(1e10, 1e10)})
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_measured_shown_and_written(arssr: Arssr, tiny: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    words = [
        "bench",
        "-m",
        tiny,
        "--precision",
        "float32",
        "--size",
        12,
        14,
        12,
        "--scale",
        2,
        3,
        "--seconds",
        "0.05",
    ]
    shown = arssr(*words, "--no-scaling", "-o", page)
    assert shown.code == 0, shown.err
    assert shown.err.splitlines()[:2] == ["speed of the machine", "2x: engine"]
    assert ", 1 thread, torch" in " ".join(shown.out.split())
    assert "12×14×12" in shown.out and "trilinear" in shown.out and "Threads" not in shown.out
    assert "## tiny" in page.read_text() and "3×, to 36×42×36 voxels" in page.read_text()
    result = json.loads(arssr(*words, "--json").out)
    assert [at["scale"] for at in result["scales"]] == [2, 3]
    assert result["scaling"]["scale"]
    [kept] = json.loads((tmp_path / "cache" / "arssr" / "speeds.json").read_text()).values()
    assert kept["float32"]["convolution"] == 1e10


@pytest.mark.parametrize("wrong", [["--scale", "fast"], ["--size", "1.5"], ["--scale", "1,2,3,4"]])
def test_wrong_numbers_are_wrong_usage(arssr: Arssr, wrong: list[str]) -> None:
    assert arssr("bench", *wrong).code == 2
