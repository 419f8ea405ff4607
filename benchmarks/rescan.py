"""Is the detail that a model adds in the head? Two scans of one head, A and B, say it.

    D=../shared/data/train_nc
    python benchmarks/rescan.py $D/oasis-{1003,1023,1004,1024,1005,1025}_T1w.nii.gz \\
        -o runs/rescan --page

Of each pair of scans both are degraded and super-resolved, B onto A's grid in one interpolation
through the rigid transform that SimpleITK finds between the originals. By bands of frequency
(`arssr.evaluation.shells`) the agreement of both results, of each with the other's truth, and of
the two truths, which is the most that noise allows; and which share of what a model adds to cubic
interpolation is not in the other scan. A sharpening filter with the model's gain in each band is
measured, too. Prints tables; with --page writes those of docs/rescan.md and
docs/images/rescan.png. Three pairs take 105 s of one core with bfloat16. What is done is kept in
OUT.
"""

import argparse
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its customary name
from keeping import Kept
from rescan_tables import picture, tables
from scipy import ndimage
from whole import models_with_sha256

from arssr.api import Model
from arssr.degradation import KSpace
from arssr.errors import ArSSRWarning
from arssr.evaluation.protocol import Setting, parse_scale
from arssr.evaluation.shells import Bands, closed, invented, soft_mask
from arssr.evaluation.tables import write_tables
from arssr.files import replacing, sha256
from arssr.grid import Grid
from arssr.interpolation import SplineCoefficients, along_axes, resample
from arssr.scan import refined_axes
from arssr.transforms.registration import load_transform
from arssr.transforms.transform import Transform, resample_through
from arssr.volume import Volume
from arssr.weights.licence import images_behind

ROOT = Path(__file__).resolve().parents[1]
PAGE, PICTURE = ROOT / "docs/rescan.md", ROOT / "docs/images/rescan.png"
SETTINGS = tuple(
    Setting(name, parse_scale(scale))
    for name, scale in (("kspace", "2"), ("slice-box", "2"), ("slice-box", "1x1x4"))
)
EDGES = [*np.arange(8) / 8, 1.001]  # an edge of every scan's own band is among them
SEED = 22


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scans", type=Path, nargs="+", help="A B, or A B A B …")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=["light", "rdn"])
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    if len(options.scans) % 2:
        parser.error("scans come in pairs: A B, or A B A B …")
    warnings.simplefilter("ignore", ArSSRWarning)
    kept = Kept(options.out / "rescan.jsonl")
    models = models_with_sha256(options.models)
    rows = [
        row
        for first, second in zip(options.scans[::2], options.scans[1::2], strict=True)
        for row in of_pair(first, second, models, kept, options.out)
    ]
    print(tables(rows))
    if options.page:
        write_tables(PAGE, "benchmarks/rescan.py", tables(rows))
        picture(rows, PICTURE)


def of_pair(
    first: Path, second: Path, models: Mapping[Model, str], kept: Kept, folder: Path
) -> Iterable[dict[str, Any]]:
    """What `Compared.row` says of each model in each setting."""
    shas = sha256(first), sha256(second)
    pair = Pair.of(first, second, folder / f"{shas[0][:12]}-{shas[1][:12]}.tfm")
    for setting in SETTINGS:
        compared = Compared(pair, setting)
        for model, sha in models.items():
            seen = {image["sha256"] for image in images_behind(model.card)} & set(shas)
            question = (*shas, str(setting), model.name, sha[:12])
            row = kept.get(question, lambda m=model, c=compared: c.row(m))
            yield {
                "pair": f"{pair.a.name} + {pair.b.name}",
                "setting": str(setting),
                "weights": model.name + (" (has seen them)" if seen else ""),
                **row,
            }


@dataclass(frozen=True)
class Pair:
    """Two scans of one head, and where a point of the first lies in the second."""

    a: Volume
    b: Volume
    transform: Transform

    @classmethod
    def of(cls, first: Path, second: Path, registration: Path) -> "Pair":
        """Registered, unless that was done before."""
        a, b = Volume.read(first), Volume.read(second)
        if not registration.exists():
            found = registered(a, b)
            with replacing(registration) as temporary:
                sitk.WriteTransform(found, str(temporary))
        return cls(a, b, load_transform(registration, b.grid, a.grid))

    def b_on_a(self) -> Volume:
        """The truth of B on A's grid: its k-space at half the voxel size, then cubic there."""
        fine = self.b.grid.scaled(2)
        sinc = [
            KSpace().axis_matrix(n, (np.arange(m) + 0.5) / 2 - 0.5, 1.0)
            for n, m in zip(self.b.grid.shape, fine.shape, strict=True)
        ]
        points = self.a.grid.to_world(np.moveaxis(np.indices(self.a.grid.shape), 0, -1))
        at = fine.to_index(self.transform.map(points))
        return self.a.with_data(
            SplineCoefficients(along_axes(self.b.data, sinc)).at(at), self.a.grid
        )

    def a_in_b(self) -> Grid:
        """A's voxels where they lie in B's space."""
        return Grid(self.a.grid.shape, self.transform.matrix @ self.a.grid.affine)


def registered(a: Volume, b: Volume) -> sitk.Transform:
    """The rigid transform from A's space to B's, by the correlation of the originals."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # the same sums every time
    fixed, moving = a.to_sitk(), b.to_sitk()
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentagePerLevel([1.0, 0.5, 0.3], SEED)
    method.SetInterpolator(sitk.sitkBSpline)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 100)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SetInitialTransform(start, inPlace=False)
    return method.Execute(fixed, moving)


class Compared:
    """A pair in one setting: truths, scans and cubic interpolation, made when first asked for."""

    def __init__(self, pair: Pair, setting: Setting) -> None:
        self._pair, self._setting = pair, setting
        self._made = False

    def _make(self) -> None:
        pair, self._made = self._pair, True
        axes = [axis for axis, k in enumerate(self._setting.scale_ijk) if k > 1]
        again = pair.b_on_a()
        brain = ndimage.binary_fill_holes((_head(pair.a)) & _head(again))
        self._bands = Bands(soft_mask(brain), axes, EDGES)
        self._scan_a, self._scan_b = map(self._setting.measure, (pair.a, pair.b))
        self._truth_a, self._truth_b = map(self._waves, (pair.a, again))
        self._cubic_a = self._waves(resample(self._scan_a, pair.a.grid))
        self._cubic_b = self._waves(resample(self._scan_b, pair.a_in_b()))
        gain = self._bands.product(self._truth_a, self._truth_b).sum()  # of A's intensities
        gain /= self._bands.product(self._truth_b, self._truth_b).sum()
        self._truth_b, self._cubic_b = gain * self._truth_b, gain * self._cubic_b

    def _waves(self, image: Volume) -> np.ndarray:
        return self._bands.spectrum(image.data.astype(np.float64))

    def row(self, model: Model) -> dict[str, Any]:
        """Agreements by band of the model's results and of cubic's; what was invented and found."""
        if not self._made:
            self._make()
        agreement, pair = self._bands.correlation, self._pair
        told = refined_axes(self._setting.acquisition, self._scan_a.grid, pair.a.grid)
        a = self._waves(model.upsample(self._scan_a, like=pair.a.grid, acquisition=told))
        field = model.field(self._scan_b, acquisition=told)
        # at the voxels' centres: twice along each axis, as `upsample` does, takes 8 times as long
        b = self._waves(resample_through(field, pair.transform, pair.a.grid, samples=1))
        row: dict[str, Any] = {"truths": agreement(self._truth_a, self._truth_b).tolist()}
        for name, (x, y) in {"model": (a, b), "cubic": (self._cubic_a, self._cubic_b)}.items():
            row[name] = {
                "results": agreement(x, y).tolist(),
                "others": (
                    (agreement(x, self._truth_b) + agreement(y, self._truth_a)) / 2
                ).tolist(),
            }
        row["added"] = {
            "model": self._added(a),
            "sharpened": self._added(self._bands.shaped(self._cubic_a, a)),
            "truth": self._added(self._truth_a),
        }
        return row

    def _added(self, result: np.ndarray) -> dict[str, Any]:
        """Of what a result of A adds to cubic: the invented share, by band and in all; its energy
        as a share of what was missing; by how much it lowers cubic's error.
        """
        added, missing = result - self._cubic_a, self._truth_a - self._cubic_a
        again = self._truth_b - self._cubic_b
        by_band, whole = invented(self._bands, added, again)
        energy = self._bands.product(added, added).sum()
        return {
            "invented": by_band.tolist(),
            "whole": whole,
            "energy": float(energy / self._bands.product(missing, again).sum()),
            "closed": closed(self._bands, added, missing, again),
        }


def _head(image: Volume) -> np.ndarray:
    return image.data > 0.1 * np.percentile(image.data, 99.95)


if __name__ == "__main__":
    main()
