"""What many small scans cost beyond their computing: `arssr upsample FOLDER`, against the fields of
the same volumes read from memory, in one run.

python benchmarks/bench_folder.py [--volumes 100] [--size 48] [--scale 2] [--device auto]

Computing and the command take turns, and medians are shown, so that a machine that slows down
strikes both alike; processor time tells where others share the machine. Start-up (Python, torch,
weights, the first convolution) is the command on one volume, less that volume's share of the
computing.
Target: at most 1.10 without start-up.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arssr.api import Model, load_model
from arssr.evaluation.head import mni152_head
from arssr.files import find_images
from arssr.grid import Grid
from arssr.volume import Volume


def cut(head: Volume, size: int, count: int, folder: Path) -> None:
    """Write cubes of the head, at places of their own, each at most half air."""
    rng, written = np.random.default_rng(0), 0
    while written < count:
        first = [int(rng.integers(n - size + 1)) for n in head.grid.shape]
        data = head.data[tuple(slice(start, start + size) for start in first)]
        if (data > 0).mean() > 0.5:
            grid = Grid(data.shape, head.grid.affine)
            Volume(data, grid).stored_as("int16").write(folder / f"{written:03}.nii.gz")
            written += 1


def clock() -> NDArray[np.float64]:
    """Seconds that have passed, and of processor time (2,), ended child processes included."""
    now = os.times()
    spent = now.user + now.system + now.children_user + now.children_system
    return np.array([now.elapsed, spent])


def computing(model: Model, volumes: list[Volume], scale: float) -> NDArray[np.float64]:
    """What `clock` says of the field of every volume, read on its finer grid."""
    started = clock()
    for volume in volumes:
        grid = volume.grid.scaled(scale)
        model.field(volume, towards=grid).on(grid)
    return clock() - started


def command(folder: Path, *options: str) -> NDArray[np.float64]:
    """What `clock` says from the start of `arssr upsample` on a folder to its end."""
    words = [sys.executable, "-m", "arssr.cli.main", "upsample", str(folder), *options]
    started = clock()
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([*words, "-o", out], check=True, stderr=subprocess.DEVNULL)
        return clock() - started


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volumes", type=int, default=100)
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--times", type=int, default=3, help="each; the median counts")
    parser.add_argument("--scale", type=float, default=2.0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--model", default="light")
    arguments = parser.parse_args()
    model = load_model(arguments.model, arguments.device)
    with tempfile.TemporaryDirectory() as name:
        many, one = Path(name) / "many", Path(name) / "one"
        for folder, count in ((many, arguments.volumes), (one, 1)):
            cut(mni152_head(), arguments.size, count, folder)
        volumes = [Volume.read(path) for path in find_images([many])]
        words = ("--scale", str(arguments.scale), "--device", arguments.device)
        words += ("--model", arguments.model)
        computing(model, volumes[:1], arguments.scale)  # warms up
        turns = [
            (
                computing(model, volumes, arguments.scale),
                command(many, *words),
                command(one, *words),
            )
            for _ in range(arguments.times)  # in turn: others may use the machine
        ]
    pure, whole, alone = np.median(turns, axis=0)
    start_up = alone - pure / len(volumes)
    print(f"{len(volumes)} volumes of {arguments.size}^3 voxels at {arguments.scale:g}x, {model}")
    print(f"{'':28}{'seconds':>9}{'/ computing':>13}{'processor':>11}{'/ computing':>13}")
    for what, spent in (
        ("computing", pure),
        ("start-up", start_up),
        ("the command", whole),
        ("the command, less start-up", whole - start_up),
    ):
        columns = zip(spent, spent / pure, strict=True)
        print(f"{what:28}" + "".join(f"{s:9.2f}{ratio:13.3f}  " for s, ratio in columns))


if __name__ == "__main__":
    main()
