import sys
import time

import numpy as np
import pytest

from arssr.evaluation.meter import Meter


def test_seconds_are_those_of_the_block() -> None:
    with Meter() as meter:
        time.sleep(0.05)
    assert meter.seconds >= 0.05


@pytest.mark.skipif(sys.platform != "linux", reason="the peak needs the kernel's record")
def test_the_peak_is_the_blocks_own() -> None:
    with Meter() as idle:
        pass
    with Meter() as busy:
        np.ones(256 * 2**20 // 8).sum()  # 256 MiB, freed before the block ends
    with Meter() as after:
        pass
    assert busy.peak_mib > idle.peak_mib + 150
    assert after.peak_mib < busy.peak_mib - 150
