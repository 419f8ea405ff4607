"""What becomes of small lesions: contrast and volume that cubic interpolation and models recover.

    python benchmarks/lesions.py ../shared/data -o runs/lesions

Spheres and ellipsoids of known contrast and of 0.5 to 4 input voxels are put into the scans of
DATA/val, and into two of DATA/train_nc for weights that have not seen these; degraded, brought
back, and compared with the same without lesions (`arssr.evaluation.lesions`). Then the real
lesions of `outlines.json`. Writes the tables of docs/lesions.md, docs/images/lesions.png and
OUT/cards.json, from which `tools/lesion_cards.py` brings the cards up to date. Takes 230 s of one
core with bfloat16, most of them `rdn`'s. What is done is kept in OUT: interrupted, it goes on; run
again, it only writes.
"""

import argparse
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from keeping import Kept
from lesion_tables import Found, picture, smallest_of, tables
from outlined import measured, outlines
from whole import Whole, models_with_sha256

from arssr.api import Model
from arssr.errors import ArSSRWarning
from arssr.evaluation.lesions import Comparison, scattered, tissue_of, with_lesions
from arssr.evaluation.protocol import Setting, combine
from arssr.evaluation.tables import write_tables
from arssr.files import find_images, replacing, sha256
from arssr.interpolation import resample
from arssr.scan import refined_axes
from arssr.volume import Volume
from arssr.weights.licence import images_behind

ROOT = Path(__file__).resolve().parents[1]
PAGE, PICTURE = ROOT / "docs/lesions.md", ROOT / "docs/images/lesions.png"
DEGRADATIONS = ("kspace", "slice-box", "slice-trapezoid-gap25")
# Not the gap at 2: voxels of half a slice cannot tell it from a box.
SETTINGS = combine(DEGRADATIONS[:2], [2]) + combine(DEGRADATIONS, [3, 4])
SETTINGS += combine(DEGRADATIONS[1:], ["1x1x4"])
AUTO = ("2", "1x1x4")  # scales at which models judge the acquisition, too
DIAMETERS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
CONTRASTS = (0.5, -0.5, 0.2, -0.2)  # of the tissue's median
SIDE, THIN_SIDE = 24, 64  # voxels of the scan along an axis; where it is not degraded
EXAMPLE, SHOWN = "val/karawun_FLAIR.nii.gz", SETTINGS[-2]  # in the picture
AROUND = 14  # voxels to each side of a lesion there
EXTERNAL = ("oasis-1003_T1w", "oasis-1010_T1w")


@dataclass(frozen=True)
class Scan:
    """A high-resolution scan, where it came from."""

    volume: Volume
    sha: str
    external: bool


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=["light", "rdn"])
    options = parser.parse_args()
    warnings.simplefilter("ignore", ArSSRWarning)
    kept = Kept(options.out / "lesions.jsonl")
    models = models_with_sha256(options.models)
    found = list(synthetic(scans(options.data), models, kept))
    real = list(outlined(options.data, models, kept))
    write_tables(PAGE, "benchmarks/lesions.py", tables(found, real))
    picture(found, dict(examples(options.data, models, kept)), PICTURE)
    own = [each for each in found if not each.external and not each.auto]
    cards = {sha: smallest_of(own, model.name) for model, sha in models.items()}
    with replacing(options.out / "cards.json") as temporary:
        temporary.write_text(json.dumps(cards, indent=1) + "\n", encoding="utf-8")


def scans(data: Path) -> list[Scan]:
    """Those of val, and the external ones."""
    paths = find_images([data / "val"])
    paths += [data / "train_nc" / f"{name}.nii.gz" for name in EXTERNAL]
    return [Scan(Volume.read(p), sha256(p), p.parent.name == "train_nc") for p in paths]


def cropped(volume: Volume, setting: Setting, margin: int) -> Volume:
    """Around the middle of the tissue, in whole voxels of the scan; larger by a margin."""
    middle = np.argwhere(tissue_of(volume.data)[0]).mean(axis=0)
    box = []
    for n, k, at in zip(volume.grid.shape, setting.scale_ijk, middle, strict=True):
        side = (SIDE * k if k > 1 else THIN_SIDE) + 2 * margin
        size = int(min(side, n) // k * k)
        start = int(np.clip(round(at - size / 2), 0, n - size))
        box.append(slice(start, start + size))
    return volume.with_data(volume.data[tuple(box)], volume.grid.part(box))


def synthetic(scans: Sequence[Scan], models: Mapping[Model, str], kept: Kept) -> Iterable[Found]:
    """Every lesion in every setting by every method."""
    for scan in scans:
        for setting in SETTINGS:
            pair = Pair(scan.volume, setting, seed=int(scan.sha[:8], 16))
            about = (scan.volume.name, scan.sha[:12], str(setting))
            answers = {("cubic", False): kept.get((*about, "cubic"), pair.by_cubic)}
            for model, sha in models.items():
                if scan.sha in {image["sha256"] for image in images_behind(model.card)}:
                    continue
                asked = (*about, model.name, sha[:12])
                told = kept.get(asked, lambda m=model, p=pair: p.by(m, p.named))
                answers[model.name, False] = told
                if setting.scale in AUTO:
                    answers[model.name, True] = kept.get(
                        (*asked, "auto"), lambda m=model, p=pair, t=told: p.by_auto(m, t)
                    )
            for (name, auto), rows in answers.items():
                for row in rows:
                    yield Found(scan.volume.name, scan.external, setting, name, auto, *row)


class Pair:
    """A crop with and without lesions, both degraded; made when the first method asks."""

    def __init__(self, whole: Volume, setting: Setting, seed: int, margin: int = 0) -> None:
        self._uncut, self._setting, self._seed, self._margin = whole, setting, seed, margin
        self._truth = cropped(whole, setting, margin)

    @cached_property
    def _comparison(self) -> Comparison:
        scale = self._setting.scale_ijk
        box = [slice(self._margin, n - self._margin) for n in self._truth.grid.shape]
        inner = self._truth.with_data(self._truth.data[tuple(box)], self._truth.grid.part(box))
        lesions = scattered(inner, scale, DIAMETERS, CONTRASTS, self._seed)
        shifted = [replace(x, centre_ijk=x.centre_ijk + self._margin) for x in lesions]
        return Comparison(self._truth, shifted, scale)

    @cached_property
    def _scans(self) -> tuple[Volume, Volume]:
        """Without and with lesions."""
        after = with_lesions(self._truth, self._comparison.lesions)
        return self._setting.measure(self._truth), self._setting.measure(after)

    @cached_property
    def _whole(self) -> Whole:
        return Whole.of(self._setting.measure(self._uncut))

    @property
    def named(self) -> tuple[str, ...]:
        """The acquisition of each axis, as what it is a kind of."""
        return refined_axes(self._setting.acquisition, self._scans[0].grid, self._truth.grid)

    def by_cubic(self) -> list[list[float]]:
        """See `_rows`."""
        before, after = (resample(scan, self._truth.grid).data for scan in self._scans)
        return self._rows(after - before)

    def by(self, model: Model, told: Sequence[str]) -> list[list[float]]:
        """See `_rows`."""
        before, after = (
            self._whole.upsample(model, scan, self._truth.grid, told).data for scan in self._scans
        )
        return self._rows(after - before)

    def by_auto(self, model: Model, named: list[list[float]]) -> list[list[float]]:
        """Where the scan says of itself what it was `named`, the answer is the same."""
        told = self._whole.scan.acquisition("auto", self._uncut.grid, model.card)
        return named if tuple(told) == self.named else self.by(model, told)

    def true_planes(self) -> list[list[list[int]]]:
        """See `_planes`."""
        return self._planes(with_lesions(self._truth, self._comparison.lesions))

    def planes(self, model: Model | None) -> list[list[list[int]]]:
        """See `_planes`; None is cubic interpolation."""
        scan, grid = self._scans[1], self._truth.grid
        if model is None:
            return self._planes(resample(scan, grid))
        return self._planes(self._whole.upsample(model, scan, grid, self.named))

    def _planes(self, image: Volume) -> list[list[list[int]]]:
        """Across the first axis, around the first lesion of each diameter."""
        data = np.rint(image.data).astype(int)
        firsts = {x.diameter: x for x in reversed(self._comparison.lesions)}
        found = []
        for _, lesion in sorted(firsts.items()):
            i, j, k = np.rint(lesion.centre_ijk).astype(int)
            beside = slice(j - AROUND, j + AROUND + 1), slice(k - AROUND, k + AROUND + 1)
            found.append(data[i, *beside].tolist())
        return found

    def _rows(self, difference: np.ndarray) -> list[list[float]]:
        """Lesion by lesion: diameter, contrast (of the tissue's median), what is recovered, and
        the energy of false structure, which is that of all of them.
        """
        median = tissue_of(self._truth.data)[1]
        false = self._comparison.false_energy(difference)
        recovered = self._comparison.of(difference)
        return [
            [x.diameter, round(x.contrast / median, 3), *(round(r, 5) for r in (*each, false))]
            for x, each in zip(self._comparison.lesions, recovered, strict=True)
        ]


def examples(data: Path, models: Mapping[Model, str], kept: Kept) -> Iterable[tuple[str, list]]:
    """Method → planes around bright lesions, one of every diameter, of one scan in one setting."""
    path = data / EXAMPLE
    pair = Pair(Volume.read(path), SHOWN, seed=int(sha256(path)[:8], 16), margin=AROUND + 1)
    yield "truth", kept.get((EXAMPLE, str(SHOWN), "truth"), pair.true_planes)
    for model, sha in ((None, ""), *models.items()):
        name = "cubic" if model is None else model.name
        question = (EXAMPLE, str(SHOWN), f"{name}, planes", sha[:12])
        yield name, kept.get(question, lambda m=model: pair.planes(m))


def outlined(data: Path, models: Mapping[Model, str], kept: Kept) -> Iterable[dict[str, Any]]:
    """Real lesions by cubic and each model."""
    for outline in outlines():
        scan, sha = Volume.read(data / outline.file), sha256(data / outline.file)
        inside = outline.of(scan)
        mm3 = float(inside.sum() * scan.grid.spacing_mm.prod())
        for model, weights in ((None, ""), *models.items()):
            name = "cubic" if model is None else model.name
            question = (*map(str, vars(outline).values()), sha[:12], name, weights[:12])
            rows = kept.get(question, lambda m=model, s=scan, i=inside: measured(s, i, m))
            for setting, contrast, volume in rows:
                yield {
                    "lesion": f"{outline.name}, {mm3:.0f} mm³",
                    "setting": setting,
                    "method": name,
                    "contrast": contrast,
                    "volume": volume,
                }


if __name__ == "__main__":
    main()
