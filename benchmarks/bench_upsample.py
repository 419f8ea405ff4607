"""What bfloat16 buys and costs: one head at 2x, both precisions and plain cubic, in one run.

python benchmarks/bench_upsample.py [WEIGHTS]
"""

import sys
import time
from collections.abc import Callable

import numpy as np

from arssr.api import load_model
from arssr.degradation import degrade, named_degradation
from arssr.demo import mni152_head
from arssr.interpolation import resample
from arssr.volume import Volume


def timed(work: Callable[[], Volume]) -> tuple[Volume, float]:
    """A result and the seconds it took, the better of two."""
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - started)
    return result, min(seconds)


def main() -> None:
    """Print the table."""
    weights = sys.argv[1] if len(sys.argv) > 1 else "light"
    scan = degrade(mni152_head(), 2.0, named_degradation("slice"))
    grid = scan.grid.scaled(2.0)
    results = {"cubic": timed(lambda: resample(scan, grid))}
    for precision in ("float32", "bf16"):
        model = load_model(weights, "cpu", precision)
        results[precision] = timed(lambda m=model: m.upsample(scan, like=grid))  # type: ignore[misc]
    exact, slowest = results["float32"]
    print(f"{scan.grid} -> {grid}, weights {weights}")
    print(f"{'':10}{'seconds':>9}{'float32/it':>12}{'PSNR to float32':>17}")
    for name, (result, seconds) in results.items():
        error = float(np.mean((result.data - exact.data) ** 2))
        psnr = 10 * np.log10(np.ptp(exact.data) ** 2 / error) if error else np.inf
        print(f"{name:10}{seconds:9.2f}{slowest / seconds:12.1f}{psnr:14.1f} dB")


if __name__ == "__main__":
    main()
