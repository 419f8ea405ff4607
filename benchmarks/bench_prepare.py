"""What preparing a scan takes before a network sees it, part by part, and the mask of air against
scipy's filters; with --against, also what it takes in another checkout, in turn.

python benchmarks/bench_prepare.py [--size 256] [--rounds 5] [--noise 0.02] [--against OTHER/src]

The least of all rounds counts: others may use the machine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from arssr.api import Model, load_model
from arssr.engine.air import active_voxels
from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.noise import estimate_noise
from arssr.resolution import measure_resolution
from arssr.scan import as_measured
from arssr.volume import Volume

WHOLE = "all, as `arssr upsample` does it"


def head(size: int, noise: float) -> Volume:
    """The demo's head on size^3 voxels, with noise of this share of its range."""
    from arssr.evaluation.head import mni152_head
    from arssr.interpolation import resample

    scan = resample(mni152_head(), mni152_head().grid.with_shape((size,) * 3))
    sigma = noise * float(scan.data.max())
    added = np.random.default_rng(0).normal(0, sigma, (2, *scan.grid.shape))
    return scan.with_data(np.hypot(scan.data + added[0], added[1]), scan.grid)


def prepared(model: Model, scan: Volume) -> None:
    """A field, of which nothing is computed yet."""
    measured = as_measured(scan)
    try:
        model.field(measured)
    except ArSSRError:  # of a checkout where a field is made of a volume alone
        model.field(measured.volume)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def parts(model: Model, scan: Volume) -> dict[str, Callable[[], object]]:
    """What is measured."""
    norm = Normalisation.fit(scan.data)
    return {
        "resolution, from spectra": lambda: measure_resolution(scan),
        "range of intensities": lambda: Normalisation.fit(scan.data),
        "noise, and resolution for it": lambda: estimate_noise(scan),
        "normalised, mask of air": lambda: model.field(scan, normalisation=norm, noise=0.0),
        WHOLE: lambda: prepared(model, scan),
    }


def least(rounds: Iterable[dict[str, float]]) -> dict[str, float]:
    """Of each part."""
    rounds = list(rounds)
    return {name: min(each[name] for each in rounds) for name in rounds[0]}


def elsewhere(source: Path, data: Path) -> dict[str, float]:
    """A round with another checkout's package."""
    words = [sys.executable, __file__, "--one-round", str(data)]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    told = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
    return {name: float(s) for s, name in (line.split(" ", 1) for line in told.stdout.splitlines())}


def one_round(data: Path) -> dict[str, float]:
    """Each part once, in a process of its own."""
    samples = np.load(data)
    scan = Volume(samples, Grid(samples.shape, np.eye(4)))
    work = parts(load_model("light", "cpu", "float32"), scan)
    return {name: seconds(do) for name, do in work.items()}


def masks(scan: Volume) -> dict[str, float]:
    """The mask of air, in turn by scipy's filters; they have to agree."""
    image = Normalisation.fit(scan.data).apply(scan.data)
    found: list[np.ndarray] = []

    def filtered() -> None:
        highest = ndimage.maximum_filter(image, 5, mode="nearest")
        found.append(highest - ndimage.minimum_filter(image, 5, mode="nearest") > 0.01)

    names = {
        "mask of air by scipy's filters": filtered,
        "mask of air": lambda: found.append(active_voxels(torch.from_numpy(image))),
    }
    taken = {name: seconds(do) for name, do in names.items()}
    if not np.array_equal(*found):
        raise SystemExit("the masks differ")
    return taken


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--noise", type=float, default=0.02, help="share of the range")
    parser.add_argument("--against", type=Path, help="another checkout's src")
    parser.add_argument("--one-round", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_round:
        for name, taken in one_round(arguments.one_round).items():
            print(taken, name)
        return
    scan = head(arguments.size, arguments.noise)
    sources = [Path(__file__).parents[1] / "src", *filter(None, [arguments.against])]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "scan.npy"
        np.save(data, scan.data)
        turns = [
            (masks(scan), *(elsewhere(source.absolute(), data) for source in sources))
            for _ in range(arguments.rounds)
        ]
    compared, *found = map(least, zip(*turns, strict=True))
    print(f"{arguments.size}^3 voxels, {torch.get_num_threads()} threads; milliseconds")
    for name, taken in compared.items():
        print(f"{name:34}{1000 * taken:9.0f}")
    for name in found[0]:
        times = [each[name] for each in found]
        more = "".join(f"{1000 * t:9.0f}  {t / times[0]:.1f} times as long" for t in times[1:])
        print(f"{name:34}{1000 * times[0]:9.0f}{more}")


if __name__ == "__main__":
    main()
