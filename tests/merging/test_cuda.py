"""Scans that are brought together on a GPU."""

import numpy as np
import pytest
import torch

from arssr.api import load_model
from arssr.merging.together import bring_together
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target

from .test_merge import TISSUE, TRUTH, thick

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_a_gpu_merges_as_a_cpu_does() -> None:
    """But for the order of sums, and for the precision in which networks compute."""
    request, scans = Request(Target(like=TRUTH.grid)), [thick(2), thick(0, 1)]
    on_gpu, on_cpu = (
        bring_together(load_model("light", device), request, scans, TRUTH.grid, registered=False)
        for device in ("cuda", "cpu")
    )
    assert on_gpu.stacks[0].counts.device.type == "cuda"
    apart = (on_gpu.solved.image - on_cpu.solved.image).abs().numpy()
    assert apart[TISSUE].max() < 0.02 * float(np.ptp(TRUTH.data))
