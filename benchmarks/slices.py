"""What to tell weights of slices with gaps: the error of every answer, as a share of cubic's.

    python benchmarks/slices.py ../shared/data/val/*.nii.gz [--weights light --snr 20]

The middle of each volume becomes slices 4 voxels apart, Gaussian or a trapezoid; the mean over the
volumes, and the worst of them. `arssr.weights.limits.told_of_slices` rests on it.
"""

import argparse
from pathlib import Path

import numpy as np

from arssr.api import load_model
from arssr.degradation import Slice, degrade
from arssr.interpolation import resample
from arssr.volume import Volume

SIDE = 80  # voxels of a volume
DISTANCE = (1.0, 1.0, 4.0)
GAPS = (0.0, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5)
ANSWERS = ("slice", "unknown", "spline")


def middle(volume: Volume) -> Volume:
    """SIDE voxels along each axis, or as many as there are."""
    starts = [max(0, (n - SIDE) // 2) for n in volume.grid.shape]
    box = tuple(slice(start, start + SIDE) for start in starts)
    return volume.with_data(volume.data[box], volume.grid.part(box))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volumes", nargs="+", type=Path)
    parser.add_argument("--weights", default="light")
    parser.add_argument("--snr", type=float, help="of the scans; without it they have no noise")
    arguments = parser.parse_args()
    model = load_model(arguments.weights, "cpu")
    truths = [middle(Volume.read(path)) for path in arguments.volumes]

    def error(result: Volume, truth: Volume) -> float:
        return float(np.sqrt(np.mean((result.data - truth.data) ** 2)))

    print(f"| profile, gap | {' | '.join(ANSWERS)} |\n|---|{'---|' * len(ANSWERS)}")
    for gap in GAPS:
        for profile in ("gaussian", "trapezoid"):
            shares: dict[str, list[float]] = {answer: [] for answer in ANSWERS}
            for truth in truths:
                generator = np.random.default_rng(0)
                acquisition = Slice(profile, gap)  # type: ignore[arg-type]
                scan = degrade(truth, DISTANCE, acquisition, arguments.snr, generator)
                cubic = error(resample(scan, truth.grid), truth)
                for answer, values in shares.items():
                    told = ("kspace", "kspace", answer)
                    result = model.upsample(scan, like=truth.grid, acquisition=told)
                    values.append(error(result, truth) / cubic)
            cells = (f"{np.mean(v):.3f} ({max(v):.3f})" for v in shares.values())
            print(f"| {profile}, {gap:.0%} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
