"""Teach shipped weights how far their results are from the truth (`--uncertainty`).

    python tools/teach_spread.py light --train DATA/train

Only a small head learns (`arssr.training.spread`): all else in the file stays as it is, the image
too. The recipe's mixture of scans is drawn once, from the images that the weights were taught
with, and kept in memory; `light` takes ten minutes on one core. Afterwards
`tools/calibrate.py --write` calibrates it: until then the weights tell no uncertainty. Weights
that are shipped anew (`tools/ship.py`) have no head until they are taught again.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from ship import SHIPPED

from arssr.cli.console import progress_bar
from arssr.files import find_images
from arssr.training.config import SamplingConfig
from arssr.training.data import load_items
from arssr.training.images import Resident
from arssr.training.spread import SpreadRecipe, lessons, teach_spread
from arssr.weights.files import load_weights, save_weights
from arssr.weights.interval import KEY

# As shipped weights are taught (docs/trainings.md).
SAMPLING = SamplingConfig(batch=8, patch=24, margin=3.0, unknown=0.25)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", help="the name of shipped weights, or a file")
    parser.add_argument("--train", type=Path, required=True, help="the folder of the images")
    parser.add_argument("--to", type=Path, help="another file; by default the same")
    parser.add_argument("--batches", type=int, default=SpreadRecipe.batches)
    asked = parser.parse_args()
    path = Path(asked.weights)
    if not path.suffix:
        path = SHIPPED / f"{asked.weights}.safetensors"
    network, card = load_weights(path)
    recipe = SpreadRecipe(batches=asked.batches)
    files = find_images([asked.train])
    images = Resident.plain(load_items(files, SAMPLING.patch), recipe.seed, SAMPLING.batch)
    with progress_bar(counted=True) as bar:
        task = bar.add_task("samples", total=recipe.batches)
        taught = lessons(
            network, images, SAMPLING, recipe, lambda done: bar.update(task, completed=done)
        )
        task = bar.add_task("steps", total=recipe.steps)
        losses: list[float] = []

        def on_step(done: int, loss: float) -> None:
            losses.append(loss)
            bar.update(task, completed=done)

        head = teach_spread(*taught, recipe, on_step)
    last = losses[-len(losses) // 10 :]
    loss = sum(last) / len(last)
    how = {**asdict(recipe), "images": len(files), "loss": round(loss, 4)}
    about = {"taught": how}
    save_weights(asked.to or path, network, {**card, KEY: about}, half=True, spread=head)
    print(f"{asked.to or path}: pinball loss of the logarithm {loss:.4f}")


if __name__ == "__main__":
    main()
