"""Whether the sampler keeps up: batches a second of it alone and of the training step, in one run.

python benchmarks/sampler.py HR_FOLDER [--device cuda] [--threads 1]

Both take turns, so that whatever else the machine does disturbs both alike. Target: at least 5
batches drawn for each one used.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from arssr.files import find_images
from arssr.networks import ImplicitVoxelNetwork
from arssr.training.config import TrainConfig
from arssr.training.data import load_items
from arssr.training.loop import Trainer
from arssr.training.run import describe_device, make_fabric
from arssr.training.sampler import batch

RECIPES = ("light", "rdn")
IMAGES = 6
BATCHES = 10  # drawn for each step
STEPS = {"light": 4, "rdn": 1}
CUDA_STEPS = 50


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{'recipe':8}{'sampler':>12}{'step':>12}{'ratio':>8}   batches a second")
    for name in RECIPES:
        config = TrainConfig.read(name)
        fabric = make_fabric(arguments.device, 1, 1, config.precision)
        paths = find_images([arguments.images])[:IMAGES]
        items = load_items(paths, config.sampling.patch, device=fabric.device)
        with tempfile.TemporaryDirectory() as folder:
            network = ImplicitVoxelNetwork(config.model)
            trainer = Trainer(config, items, fabric, Path(folder), network)
        drawn, used = seconds(trainer, CUDA_STEPS if fabric.device.type == "cuda" else STEPS[name])
        print(f"{name:8}{1 / drawn:12.1f}{1 / used:12.2f}{used / drawn:8.1f}")
    print(f"{describe_device(fabric.device)}, {len(items)} images")


def seconds(trainer: Trainer, steps: int) -> tuple[float, float]:
    """What a batch takes to draw, and what a step on it takes."""
    cuda = trainer.fabric.device.type == "cuda"

    def clock() -> float:
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    config, drawn, used = trainer.config, 0.0, 0.0
    for step in range(-1, steps):  # the first warms up
        started = clock()
        for number in range(BATCHES):
            data = batch(trainer.items, config.sampling, config.seed, abs(step) * BATCHES + number)
        between = clock()
        trainer._advance(data)
        if step >= 0:
            drawn += (between - started) / BATCHES
            used += clock() - between
    return drawn / steps, used / steps


if __name__ == "__main__":
    main()
