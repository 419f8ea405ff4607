"""Plans: what is named as enough is enough, and more memory is never more work."""

import math
import re

import numpy as np
import pytest
import torch
from tests.engine.thin import box

from arssr.engine import plan as module
from arssr.engine.plan import Plan, budget_of, make_plan, reading_of
from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.networks import ImplicitVoxelNetwork, ModelConfig

NETWORK = ImplicitVoxelNetwork(ModelConfig("paper"))


def plan_of(memory: float, shape: tuple[int, int, int] = (500, 500, 10)) -> Plan:
    """For a stack with fine pixels, whose slices are to be as far apart as its pixels."""
    scan = Grid(shape, np.diag([0.2, 0.2, 4, 1]))
    everything = box(*((0, n) for n in shape))
    active = np.ones(shape, bool)
    reading = reading_of(scan.scaled((1, 1, 20)), scan, active)
    return make_plan(NETWORK, shape, everything, reading, memory)


def test_what_is_named_as_enough_is_enough() -> None:
    refused = 0
    for memory in (1e6, 0.8e9, 1.1e9):
        try:
            plan_of(memory)
        except ArSSRError as error:
            refused += 1
            number, unit = re.search(r"([\d.]+) ([MG]B) are enough", str(error)).groups()  # type: ignore[union-attr]
            enough = float(number) * {"MB": 1e6, "GB": 1e9}[unit]
            assert memory < enough
            assert plan_of(enough).memory <= enough
    assert refused > 1


def test_more_memory_is_never_refused_and_never_more_work() -> None:
    work = math.inf
    resident = budget_of(None)[1]
    for spare in (0.8e9, 1.2e9, 1.6e9, 4e9):
        try:
            plan = plan_of(resident + spare)
        except ArSSRError:
            assert work == math.inf
            continue
        assert plan.layout.flops <= work
        work = plan.layout.flops
    assert work < math.inf


def test_a_gpu_holds_the_features_and_the_process_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    on_cpu = plan_of(64e9)
    assert on_cpu.gpu == 0 and "gpu" not in on_cpu.describe()["memory_bytes"]
    monkeypatch.setattr(ImplicitVoxelNetwork, "device", torch.device("cuda"))
    monkeypatch.setattr(module, "available_bytes", lambda _device=None: 64e9)
    plan = plan_of(64e9)
    weights = sum(p.numel() * p.element_size() for p in NETWORK.parameters())
    taken = plan.layout.features + plan.layout.activations
    assert plan.gpu > weights + taken > 10 * plan.slabs
    assert plan.memory - plan.resident < plan.slabs + 1e9 < taken
    assert plan.describe()["memory_bytes"]["gpu"] == round(plan.gpu)
