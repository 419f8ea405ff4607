"""Two real scans of one head become one: what `arssr merge` gains where motion and noise are real.

    D=../shared/data/train_nc
    python benchmarks/merge_rescan.py $D/oasis-{1003,1023,1004,1024,1005,1025}_T1w.nii.gz

A and B were scanned one after the other. A is made thick along k, B along i (4 voxels, box
profile); nothing is moved, and no noise is added, as both scans have their own. Each result is
compared with A, whose noise the thick scan of A has in part, and with B, put onto A's grid as in
rescan.py, whose noise the thick scan of B has. "B for A" is how well B itself does: more cannot be
asked of both at once. PSNR in dB under the brain; "off" is the mean distance over the brain to the
rigid transform that is found between the whole scans. Three pairs take 70 s of one core with
bfloat16.
"""

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
from rescan import Pair
from scipy import ndimage

from arssr.api import Model, load_model
from arssr.errors import ArSSRWarning
from arssr.evaluation.protocol import Setting, parse_scale
from arssr.formats.slices import Slices
from arssr.interpolation import resample
from arssr.merging.together import bring_together
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target
from arssr.volume import Volume

THICK = 4  # voxels from slice to slice
SMOOTH_MM = 20.0  # over which B is made as bright as A, to be compared
TISSUE = 0.1  # of the range


def main() -> None:
    """Print a row for each pair."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scans", type=Path, nargs="+", help="A B, or A B A B …")
    parser.add_argument("--axes", default="20", help="along which A is thick, and B")
    parser.add_argument("--kind", default="slice-box", help="of `arssr evaluate`")
    parser.add_argument("--weights", default="light")
    options = parser.parse_args()
    if len(options.scans) % 2:
        parser.error("scans come in pairs: A B, or A B A B …")
    warnings.simplefilter("ignore", ArSSRWarning)
    model = load_model(options.weights, "cpu")
    names = ("scans", "off, mm", "compared with", "B for A", "cubic A", "A", "B", "mean", "merged")
    print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}", flush=True)
    axes = tuple(int(digit) for digit in options.axes)
    for first, second in zip(options.scans[::2], options.scans[1::2], strict=True):
        with tempfile.TemporaryDirectory() as folder:
            pair = Pair.of(first, second, Path(folder) / "found.tfm")
        for line in rows(model, pair, axes, options.kind):
            print(line, flush=True)


def rows(model: Model, pair: Pair, axes: tuple[int, ...], kind: str) -> list[str]:
    """One pair, compared with A and with B."""
    thick = [
        made_thick(scan, axis, kind) for scan, axis in zip((pair.a, pair.b), axes, strict=True)
    ]
    made = bring_together(model, Request(Target(like=pair.a.grid)), thick, pair.a.grid)
    truth, again = pair.a.data, pair.b_on_a().data
    brain = ndimage.binary_fill_holes(truth > TISSUE * np.percentile(truth, 99.95))
    again = again * as_bright(truth, again, brain, pair.a)
    points = pair.a.grid.to_world(np.argwhere(brain)[::101])
    there = points @ made.motions[1][:3, :3].T + made.motions[1][:3, 3]
    off = float(np.linalg.norm(there - pair.transform.map(points), axis=1).mean())
    images = {
        "B for A": again,
        "cubic A": resample(thick[0], pair.a.grid).data,
        "A": made.views[0].sharp,
        "B": made.views[1].sharp * made.levels[1].at(made.common),
        "mean": made.guess,
        "merged": made.solved.image.numpy(),
    }
    span = float(np.percentile(truth, 99.95))
    lines = []
    for name, reference in (("A", truth), ("B", again)):
        cells = [
            "" if image is reference else f"{psnr(image, reference, brain, span):.2f}"
            for image in images.values()
        ]
        head = [f"{pair.a.name} + {pair.b.name}", f"{off:.2f}", name]
        lines.append(f"| {' | '.join(head + cells)} |")
    return lines


def made_thick(scan: Volume, axis: int, kind: str) -> Volume:
    """The scan with thick slices along an axis, whose thickness is told as a header does."""
    scale = "x".join(str(THICK if a == axis else 1) for a in range(3))
    made = Setting(kind, parse_scale(scale)).measure(scan)
    mm = float(made.grid.spacing_mm[axis])
    return Volume(made.data, made.grid, slices=Slices(axis, mm, mm))


def as_bright(truth: np.ndarray, other: np.ndarray, brain: np.ndarray, like: Volume) -> np.ndarray:
    """What another image is multiplied by to be as bright as the truth, smoothly."""
    sigma = SMOOTH_MM / like.grid.spacing_mm
    of, by = (ndimage.gaussian_filter(np.where(brain, x, 0), sigma) for x in (truth, other))
    return of / np.maximum(by, 1e-3 * by.max())


def psnr(image: np.ndarray, reference: np.ndarray, where: np.ndarray, span: float) -> float:
    """In dB, of voxels within the mask."""
    return float(20 * np.log10(span / np.sqrt(np.mean((image - reference)[where] ** 2))))


if __name__ == "__main__":
    main()
