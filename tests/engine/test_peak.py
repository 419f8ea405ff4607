"""The memory that is planned is the memory that is taken, seen from outside the process."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.phantoms import volume

TRIES = 4
SCRIPT = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from arssr.api import load_model
from arssr.evaluation.meter import Meter
from arssr.jobs.job import Job
from arssr.jobs.running import estimate, run
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target
source, out, memory, scale = sys.argv[1:]
model = load_model("light", "cpu", "float32")
request = Request(Target(scale=float(scale)), acquisition="slice", memory=float(memory) or None)
job = Job(Path(source), Path(out), request)
plan = estimate(model, job)
with Meter() as meter:
    run(model, job)
print(json.dumps([plan["memory_bytes"], plan["features_kept"], meter.peak_mib * 2**20]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("beyond", "scale", "kept"), [(0, 2, "whole"), (30e6, 2, "window"), (0, 4, "whole")]
)
def test_the_peak_is_within_15_percent_of_the_plan(
    tmp_path: Path, beyond: float, scale: int, kept: str
) -> None:
    """Of noise, which has no air. beyond: memory given besides that of the process, or all.

    The least of a few tries: about one process in twenty keeps 10 to 60 MB more of its heap, as a
    small block that happens to lie above freed ones prevents their return (seen in smaps).
    """
    shape = (32, 32, 96) if scale == 2 else (24, 24, 24)
    noise = np.random.default_rng(0).random(shape, dtype=np.float32)
    source = volume(noise).write(tmp_path / "scan.nii")

    def measured(memory: float) -> tuple[dict[str, float], str, float]:
        tries = []
        for number in range(TRIES):
            words = [str(source), str(tmp_path / f"{memory:.0f}-{number}.nii"), str(memory)]
            done = subprocess.run(
                [sys.executable, "-c", SCRIPT, *words, str(scale)],
                capture_output=True,
                text=True,
                check=True,
            )
            plan, features, peak = json.loads(done.stdout)
            tries.append((peak, features, plan))
            if peak < plan["peak"]:
                break
        peak, features, plan = min(tries, key=lambda found: found[0])
        return plan, features, peak

    plan, features, peak = measured(0.0)
    if beyond:
        budget = plan["peak"] - plan["features"] - plan["activations"] - plan["slabs"] + beyond
        plan, features, peak = measured(budget)
        assert peak < 1.05 * budget
    assert features == kept
    assert 0.85 < peak / plan["peak"] < 1.15
