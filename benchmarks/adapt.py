"""What `arssr adapt` is worth: volumes made thick, adapted to, and compared with the truth.

python benchmarks/adapt.py DATA/val/*_T1w.nii.gz [--weights light --minutes 3]
"""

import argparse
from pathlib import Path

from arssr.api import Model, load_model
from arssr.degradation import degrade, named_degradation
from arssr.evaluation.metrics import score
from arssr.interpolation import resample
from arssr.training.adapt import MINUTES, adapt
from arssr.training.run import make_fabric
from arssr.volume import Volume
from arssr.weights.registry import Weights, load

THICK = (1.0, 1.0, 4.0)


def row(path: Path, weights: Weights, minutes: float) -> str:
    """One volume: a line of the table."""
    truth = Volume.read(path)
    scan = degrade(truth, THICK, named_degradation("slice"))
    found = adapt(scan, weights, make_fabric("cpu", 1, 1, "auto"), minutes=minutes)
    adapted = Model(Weights(weights.name, found.network, found.card, weights.path), "cpu")
    results = [
        resample(scan, truth.grid),
        load_model(weights.path, "cpu").upsample(scan, like=truth.grid),
        adapted.upsample(scan, like=truth.grid),
    ]
    scores = " / ".join(f"{score(truth, result)['psnr']:.2f}" for result in results)
    gains = f"{found.gain_before:+.2f} → {found.gain_after:+.2f} dB"
    return f"| {path.name.split('.')[0]} | {found.card['steps']} | {gains} | {scores} |"


def main() -> None:
    """Print the table of docs/adapt.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volumes", nargs="+", type=Path)
    parser.add_argument("--weights", default="light")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    arguments = parser.parse_args()
    weights = load(arguments.weights)
    names = f"cubic / `{weights.name}` / adapted"
    print(f"| scan | steps | held-out gain, before → after | true PSNR, {names} |")
    print("|---|---|---|---|")
    for path in arguments.volumes:
        print(row(path, weights, arguments.minutes), flush=True)


if __name__ == "__main__":
    main()
