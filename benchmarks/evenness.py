"""How well bands across slices are found, and what is left alone.

    python benchmarks/evenness.py ../shared/data

Volumes of val, all sharp and 3D, become stacks of 4 mm slices (`slice`) along each of two axes,
multiplied by gains that are known: none, random ones of 5 %, and ±5 % in turn. What is printed is
how far slices are from the mean of their neighbours because of these gains, before and after, as
standard deviations, where slices and their neighbours have tissue; without gains, by what the scan
was changed. Of the thick scans of clinical/ nobody knows the gains: the estimates are printed.
Two minutes on one core.
"""

import argparse
from pathlib import Path

import numpy as np

from arssr.degradation import degrade, named_degradation
from arssr.errors import ArSSRError
from arssr.evenness import even_slices
from arssr.files import find_images
from arssr.volume import Volume, read_quietly

SIZE = 0.05
TISSUE = 0.05  # of a slice's pixels above a tenth of the range


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with val/ and clinical/")
    data = parser.parse_args().data
    print("| stack | unchanged: largest factor | random 5 % | after | ±5 % in turn | after |")
    print("|---|---|---|---|---|---|")
    for path in find_images([data / "val"]):
        truth = read_quietly(path)
        for axis in (0, 2):
            print(row(truth, axis))
    print("\n| scan | estimated gains: standard deviation | largest |\n|---|---|---|")
    for path in find_images([data / "clinical"]):
        try:
            logs = np.log(even_slices(read_quietly(path)).factors)
        except ArSSRError as error:
            print(f"| {path.name} | {error} | |")
            continue
        print(f"| {path.name} | {logs.std():.2%} | {np.abs(logs).max():.2%} |")


def row(truth: Volume, axis: int) -> str:
    """One stack of slices of a truth, without gains and with two kinds of them."""
    scale = [1.0, 1.0, 1.0]
    scale[axis] = max(1.0, 4 / truth.grid.spacing_mm[axis])
    stack = degrade(truth, scale, named_degradation("slice"))
    count = stack.grid.shape[axis]
    random = np.random.default_rng(0)
    cells = [f"{truth.name} {'ijk'[axis]}"]
    for gains in (
        np.zeros(count),
        random.normal(0, SIZE, count),
        SIZE * (-1.0) ** np.arange(count),
    ):
        along = np.exp(gains).reshape([-1 if a == axis else 1 for a in range(3)])
        found = np.log(even_slices(stack.with_data(stack.data * along, stack.grid)).factors)
        if not gains.any():
            cells.append(f"{np.abs(found).max():.2%}")
        else:
            seen = has_tissue(stack, axis)
            cells += [f"{bands(left)[seen].std():.2%}" for left in (gains, gains - found)]
    return f"| {' | '.join(cells)} |"


def bands(logs: np.ndarray) -> np.ndarray:
    """How far each slice but the first and last is from the mean of its neighbours."""
    return logs[1:-1] - (logs[:-2] + logs[2:]) / 2


def has_tissue(stack: Volume, axis: int) -> np.ndarray:
    """Whether slices, but for the first and last, and their neighbours do."""
    slices = np.moveaxis(stack.data, axis, 0)
    full = (slices > 0.1 * slices.max()).mean(axis=(1, 2)) > TISSUE
    return full[1:-1] & full[:-2] & full[2:]


if __name__ == "__main__":
    main()
