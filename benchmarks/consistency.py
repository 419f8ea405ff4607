"""What agreeing with the scan gains: PSNR without and with it, in dB of the truth's range.

    python benchmarks/consistency.py ../shared/data/val/*.nii.gz [--weights light]

The middle of each volume is measured in slices 4 voxels apart and super-resolved to its own grid
and to one that is 1.4 times coarser in the plane, without noise and with noise (told) of 3 % of
the range. Then one axis of each is measured in k-space, at half its band, and super-resolved to
voxels that fit the field of view, and to others that are 0.4 of a voxel off.
"""

import argparse
from pathlib import Path

import numpy as np
from slices import middle

from arssr.api import Model, load_model
from arssr.consistency import make_consistent
from arssr.degradation import Slice, degrade, named_degradation
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.volume import Volume

COARSER = 1.4  # than the scan's pixels
NOISE = 0.03  # of the range
BAND = 0.75  # of a truth's own, that voxels which are coarser than it still show
OFF = (0.0, 0.4, -0.4)  # voxels by which a field of view is no whole number of them


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volumes", nargs="+", type=Path)
    parser.add_argument("--weights", default="light")
    arguments = parser.parse_args()
    model = load_model(arguments.weights, "cpu")
    print("| volume | case | without | with |\n|---|---|---|---|")
    for path in arguments.volumes:
        truth = middle(Volume.read(path))
        span = float(np.percentile(truth.data, 99.95))
        scan = degrade(truth, (1, 1, 4), Slice())
        coarser = truth.grid.scaled((1 / COARSER, 1 / COARSER, 1))
        noise = np.random.default_rng(0).normal(0, NOISE * span, scan.data.shape)
        noisy = scan.with_data(scan.data + noise, scan.grid)
        for where, grid in (("slices", truth.grid), ("slices, coarser in plane", coarser)):
            for level, image in ((0.0, scan), (NOISE * span, noisy)):
                case = where + (", noise" if level else "")
                seen = truth if grid is truth.grid else resample(truth, grid)
                _tell(model, f"{path.stem[:20]} | {case}", image, seen, "slice", level, span)
        for off in OFF:
            scan, seen = k_space(truth, off)
            _tell(model, f"{path.stem[:20]} | k-space, {off:+g}", scan, seen, "kspace", 0, span)


def k_space(truth: Volume, off: float) -> tuple[Volume, Volume]:
    """Half the band along the first axis, and the truth on voxels that fit but for `off` of one."""
    n = truth.grid.shape[0] // 2 * 2
    lines = np.fft.rfft(truth.data[:n].astype(np.float64), axis=0)
    lines[int(BAND * n / 2) :] = 0
    fine = volume_of(np.fft.irfft(lines, n, axis=0), truth.grid)
    count = int((BAND + 0.05) * n)
    step = n / (count + off)
    at = (np.arange(count) + 0.5) * step - 0.5
    line = np.arange(len(lines))
    waves = np.exp(2j * np.pi / n * np.outer(at, line)) * np.where(line == 0, 1, 2) / n
    seen = np.tensordot(waves, lines, 1).real
    grid = fine.grid.scaled((1 / step, 1, 1))
    return degrade(fine, (2, 1, 1), named_degradation("kspace")), volume_of(seen, grid)


def volume_of(data: np.ndarray, grid: Grid) -> Volume:
    """Data from the corner of a grid on."""
    return Volume(data, Grid(data.shape, grid.affine))


def _tell(
    model: Model, case: str, scan: Volume, truth: Volume, name: str, noise: float, span: float
) -> None:
    """One row."""
    told = [name if a == (2 if name == "slice" else 0) else "kspace" for a in range(3)]
    plain = model.upsample(scan, like=truth.grid, acquisition=told, noise=noise, as_stored=True)
    agreeing = make_consistent(plain, scan, told, noise).volume
    cells = (
        f"{20 * np.log10(span / np.sqrt(np.mean((v.data - truth.data) ** 2))):.2f}"
        for v in (plain, agreeing)
    )
    print(f"| {case} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
