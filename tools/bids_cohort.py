"""Makes a small BIDS data set of crops of real scans, to try `arssr bids` on.

python tools/bids_cohort.py SCANS_FOLDER BIDS_DIR --count 20 --size 48
"""

import argparse
import json
from pathlib import Path

import numpy as np

from arssr.files import find_images
from arssr.grid import Grid
from arssr.volume import Volume


def crop(volume: Volume, size: int) -> Volume:
    """A cube of so many voxels from the middle, every voxel at its place."""
    start = [(n - min(n, size)) // 2 for n in volume.grid.shape]
    data = volume.data[tuple(slice(s, s + size) for s in start)]
    affine = volume.grid.affine.copy()
    affine[:3, 3] = volume.grid.to_world(start)
    return volume.with_data(np.ascontiguousarray(data), Grid(data.shape, affine))


def main() -> None:
    """Two sessions a subject, one scan a session, called T1w whatever they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scans", type=Path)
    parser.add_argument("bids_dir", type=Path)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--size", type=int, default=48)
    options = parser.parse_args()
    sources = find_images([options.scans])
    options.bids_dir.mkdir(parents=True)
    description = {"Name": "crops", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (options.bids_dir / "dataset_description.json").write_text(json.dumps(description))
    (options.bids_dir / "T1w.json").write_text('{"MagneticFieldStrength": 1.5}\n')
    for number in range(options.count):
        subject, session = f"sub-{number // 2 + 1:02}", f"ses-{'ab'[number % 2]}"
        path = options.bids_dir / subject / session / "anat" / f"{subject}_{session}_T1w.nii.gz"
        crop(Volume.read(sources[number % len(sources)]), options.size).write(path)


if __name__ == "__main__":
    main()
