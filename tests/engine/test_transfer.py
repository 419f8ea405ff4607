"""On a CPU nothing is copied."""

import numpy as np
import torch

from arssr.engine.transfer import to_device, to_host


def test_on_a_cpu_everything_is_there_already() -> None:
    array = np.arange(6.0).reshape(2, 3)
    there = to_device(array, torch.device("cpu"))
    there[1, 2] = 99
    back = to_host(there)()
    assert array[1, 2] == back[1, 2] == 99 and back.dtype == np.float64
    assert to_device(there, torch.device("cpu")) is there
