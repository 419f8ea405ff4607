"""Whether the sampler keeps up: batches a second of it alone and of the training step, in one run.

python benchmarks/sampler.py HR_FOLDER [--device cuda] [--threads 1] [--workers 0 1 4 14]

Both take turns, so that whatever else the machine does disturbs both alike; then so many worker
processes draw what is not used. Target: five batches drawn on the device for each one used, or by
workers as many as are used.
"""

import argparse
import tempfile
import time
from contextlib import closing
from pathlib import Path

import torch

from arssr.files import find_images
from arssr.networks import ImplicitVoxelNetwork
from arssr.survey import named
from arssr.training.config import TrainConfig
from arssr.training.feed import AHEAD, Share, batches
from arssr.training.images import Images
from arssr.training.loop import Trainer
from arssr.training.records import describe_device
from arssr.training.rotation import training_images
from arssr.training.run import make_fabric
from arssr.training.sampler import batch

RECIPES = ("light", "rdn", "light-gpu", "rdn-gpu")
IMAGES = 6
BATCHES = 10  # drawn for each step
STEPS = {"light": 4}  # and one of the others
CUDA_STEPS = 50
TIMED = 10  # batches of each worker


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--recipes", nargs="*", default=RECIPES)
    parser.add_argument("--workers", type=int, nargs="*", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    workers = "".join(f"{n:>4} workers" for n in arguments.workers)
    print(f"{'recipe':10}{'sampler':>12}{'step':>12}{'ratio':>8}{workers}   batches a second")
    for name in arguments.recipes:
        config = TrainConfig.read(name)
        fabric = make_fabric(arguments.device, 1, 1, config.precision)
        paths = find_images([arguments.images])[:IMAGES]
        images = training_images(named(paths), config, fabric.device)
        with tempfile.TemporaryDirectory() as folder:
            network = ImplicitVoxelNetwork(config.model)
            trainer = Trainer(config, images, fabric, Path(folder), network)
        steps = CUDA_STEPS if fabric.device.type == "cuda" else STEPS.get(name, 1)
        drawn, used = seconds(trainer, steps)
        print(f"{name:10}{1 / drawn:12.1f}{1 / used:12.2f}{used / drawn:8.1f}", end="")
        shared = training_images(named(paths), config, shared=True)
        for count in arguments.workers:
            print(f"{1 / seconds_of_workers(shared, config, fabric.device, count):12.1f}", end="")
        print()
    print(f"{describe_device(fabric.device)}, {len(paths)} images")


def seconds_of_workers(
    images: Images, config: TrainConfig, device: torch.device, workers: int
) -> float:
    """What a batch takes, from workers that do nothing else (0: a thread of this process)."""
    ahead, timed = AHEAD * workers + 1, TIMED * max(1, workers)
    share, steps = Share(config.sampling, config.seed), range(ahead + timed + ahead)
    with closing(batches(images, share, steps, device, workers)) as feed:
        for _ in range(ahead):
            next(feed)
        started = time.perf_counter()
        for _ in range(timed):
            next(feed)
        return (time.perf_counter() - started) / timed


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
            data = batch(trainer.images, config.sampling, config.seed, abs(step) * BATCHES + number)
        between = clock()
        trainer._advance(data)
        if step >= 0:
            drawn += (between - started) / BATCHES
            used += clock() - between
    return drawn / steps, used / steps


if __name__ == "__main__":
    main()
