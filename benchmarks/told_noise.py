"""How much noise a network may be told: PSNR by the level that it is told.

    python benchmarks/told_noise.py ../shared/data/val/{m2208_T2w,karawun_FLAIR}.nii.gz

The middle of each volume (64 voxels a side) is degraded (k-space at 2×) and gets Rician noise of a
share of its range; each row is one such scan, brought back by cubic interpolation, by the network
as it is by default, and told levels as shares of the range. The limit on what it is told
(`weights.limits.most_noise`) does not hold here. Five minutes of one core for two volumes.
"""

import argparse
import math
import warnings
from unittest.mock import patch

import numpy as np
from merge import middle

from arssr import Volume, load_model
from arssr.degradation import degrade, named_degradation
from arssr.evaluation.metrics import score
from arssr.intensity import Normalisation
from arssr.interpolation import resample

_SIDE = 64
_NOISE = (0.03, 0.06, 0.1, 0.15, 0.2)
_TOLD = (0.06, 0.09, 0.12, 0.15, 0.2, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volumes", nargs="+")
    parser.add_argument("--model", default="light")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    model, random = load_model(asked.model), np.random.default_rng(0)
    columns = ("volume", "noise", "normalised", "cubic", "default", *_TOLD)
    print(f"| {' | '.join(map(str, columns))} |\n|{'---|' * len(columns)}")
    for path in asked.volumes:
        whole = Volume.read(path)
        truth = resample(whole, middle(whole.grid, _SIDE), "nearest")
        clean = degrade(truth, 2, named_degradation("kspace"))
        top = float(truth.data.max())
        for share in _NOISE:
            real, imaginary = share * top * random.normal(size=(2, *clean.data.shape))
            noisy = np.hypot(clean.data + real, imaginary).astype(np.float32)
            scan, unit = Volume(noisy, clean.grid), Normalisation.fit(noisy).scale
            made = [resample(scan, truth.grid), model.upsample(scan, like=truth.grid)]
            with patch("arssr.api.most_noise", return_value=math.inf):
                made += [model.upsample(scan, like=truth.grid, noise=t * unit) for t in _TOLD]
            decibels = [f"{score(truth, each)['psnr']:.2f}" for each in made]
            row = (truth_name(path), share, f"{share * top / unit:.3f}", *decibels)
            print("|", " | ".join(map(str, row)), "|", flush=True)


def truth_name(path: str) -> str:
    """The volume's name in the table."""
    return path.rpartition("/")[2].partition(".")[0]


if __name__ == "__main__":
    main()
