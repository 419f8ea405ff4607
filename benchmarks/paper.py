"""The paper's recipe and ours, from nothing, on the same cores: how far does an hour take them?

    python benchmarks/paper.py DATA/train DATA/val -o runs/paper --minutes 60 --steps 26000

Images are brought to a range from 0 to 1 first, for the paper's recipe trains on intensities as
they are and its scans were of one scanner. `light` trains on the volumes, `paper` on patches of
40³ that `arssr prepare` cuts, each on one thread. `paper`, whose rate is halved after 200 epochs
at the earliest, is stopped after so many minutes of processor time; `light`, whose rate falls to
nothing, takes so many steps and says how long they took. Runs that are there are kept. The table
is of patches of DATA/val (`arssr.training.validation`), gain over cubic interpolation in dB.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import torch

from arssr.files import find_images, stem
from arssr.training.config import SamplingConfig
from arssr.training.data import load_items
from arssr.training.validation import Validation
from arssr.volume import Volume
from arssr.weights.files import load_weights

_PERCENTILE = 99.95  # that becomes 1
_SIDE = 16  # voxels of an image at least


def to_unit_range(images: Path, out: Path) -> Path:
    """A copy of all images of a folder, their intensities from about 0 to 1."""
    for path in find_images([images]):
        target = out / f"{stem(path)}.nii"
        if not target.exists():
            scan = Volume.read(path)
            data = scan.data / np.percentile(scan.data, _PERCENTILE)
            # the integers that the file has would be 0 and 1
            scan.with_data(data, scan.grid).stored_as("float32").write(target)
    return out


def arssr(*words: str | Path) -> psutil.Popen:
    """The command, on one thread."""
    command = [sys.executable, "-m", "arssr", *map(str, words)]
    return psutil.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})


def finish(process: psutil.Popen, seconds: float = float("inf")) -> None:
    """Wait for a training; ask it to save and end after so many seconds of processor time."""
    while process.poll() is None:
        spent = process.cpu_times()
        if spent.user + spent.system >= seconds:
            process.send_signal(signal.SIGINT)
            process.wait()
            return
        time.sleep(1)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)


def judge(weights: Path, val: Path) -> dict[str, float]:
    """What `Validation` says of weights on all images of a folder."""
    network, card = load_weights(weights)
    items = load_items(find_images([val]), _SIDE, network.config.normalises)
    found = Validation(items, SamplingConfig())(network.eval())
    return {"steps": card["steps"], **found}


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("val", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--steps", type=int, default=26_000, help="of light")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    out = arguments.out
    train = to_unit_range(arguments.train, out / "train")
    val = to_unit_range(arguments.val, out / "val")
    patches = out / "patches" / "hr_train"
    if not patches.exists():
        finish(arssr("prepare", train, "-o", patches.parent, "--val-share", "0"))
    runs = {
        "light": (train, "--steps", str(arguments.steps)),
        "paper": (patches,),
    }
    print("| recipe | steps | " + " | ".join(COLUMNS) + " |")
    print("| --- | ---: |" + " ---: |" * len(COLUMNS))
    for recipe, (images, *rest) in runs.items():
        folder = out / recipe
        if not folder.exists():
            training = arssr("train", images, "-o", folder, "--config", recipe, *rest)
            finish(training, 60 * arguments.minutes if recipe == "paper" else float("inf"))
        found = judge(folder / "weights.safetensors", val)
        numbers = " | ".join(f"{found[column]:+.2f}" for column in COLUMNS.values())
        print(f"| `{recipe}` | {found['steps']:,} | {numbers} |", flush=True)


COLUMNS = {
    **{f"spline {k}×": f"gain/spline_{k}x" for k in (2, 3, 4)},
    **{f"kspace {k}×": f"gain/kspace_{k}x" for k in (2, 3, 4)},
    **{f"slice {k}×": f"gain/slice_{k}x" for k in (2, 3, 4)},
}


if __name__ == "__main__":
    main()
