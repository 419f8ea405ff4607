"""How images look (`arssr.domain`): those that weights know, and those that they should not take.

    python benchmarks/domain.py ../shared/data/{train,train_nc,val,clinical}/*.nii.gz \\
        ../shared/data/dicom/xa30-t1 [--thick ../shared/data/train_nc/*.nii.gz]

`--thick`: these as slices of 4 voxels, too. The tolerances in `arssr.weights.limits` rest on it.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage import data

from arssr.degradation import Slice, degrade
from arssr.domain import Look
from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.scan import as_measured
from arssr.volume import Volume

SHAPE = (120, 140, 100)


def made_up() -> dict[str, np.ndarray]:
    """Images that are none of MR, by what they are."""
    random = np.random.default_rng(0)
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij", sparse=True)
    radius = np.sqrt(i**2 + j**2 + k**2)
    ct = np.select([radius < 0.75, radius < 0.85, radius < 0.9], [40.0, 1000.0, 0.0], -1000.0)
    ct += np.where(radius < 0.75, 10 * ndimage.gaussian_filter(random.normal(size=SHAPE), 3), 0)
    blurred = ndimage.gaussian_filter(ct, 0.7)
    mix = ndimage.gaussian_filter(random.normal(size=SHAPE), 5)
    photograph = data.camera().astype(np.float32)
    return {
        "photograph": np.repeat(photograph[..., None], 30, axis=2),
        "photograph, small": np.repeat(photograph[::4, ::4, None], 60, axis=2),
        "CT": ct,
        "CT, noise of 5 HU": blurred + random.normal(0, 5, SHAPE),
        "CT, noise of 20 HU": blurred + random.normal(0, 20, SHAPE),
        "CT, noise of 50 HU": blurred + random.normal(0, 50, SHAPE),
        "label map": np.digitize(mix, np.quantile(mix, [0.5, 0.6, 0.7, 0.8, 0.9])),
        "noise, Gaussian": random.normal(size=SHAPE),
        "noise, Rician": np.hypot(*random.normal(size=(2, *SHAPE))),
        "noise, uniform": random.random(SHAPE),
    }


def main() -> None:
    """Print the table, and the range over the volumes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volumes", nargs="+", type=Path)
    parser.add_argument("--thick", nargs="+", type=Path, default=[])
    arguments = parser.parse_args()
    print("| image | roughness | peak | s |\n|---|---|---|---|")
    for path in arguments.volumes:
        try:
            _tell(f"{path.parent.name}/{path.name}", Volume.read(path))
        except ArSSRError as error:
            print(f"| {path.name} | {error} | | |")
    for path in arguments.thick:
        _tell(f"{path.name}, slices of 4", degrade(Volume.read(path), (1, 1, 4), Slice()))
    for name, samples in made_up().items():
        _tell(name, Volume(samples, Grid(samples.shape, np.eye(4))))


def _tell(name: str, scan: Volume) -> None:
    volume = as_measured(scan).volume
    units = Normalisation.fit(volume.data)
    started = time.process_time()
    look = Look.of(volume.data, units)
    spent = time.process_time() - started
    if look:
        print(f"| {name} | {look.roughness:.4f} | {look.peak:.3f} | {spent:.2f} |", flush=True)


if __name__ == "__main__":
    main()
