"""How often the truth lies within the intervals of `--uncertainty`; calibrates them.

    python tools/calibrate.py light --val DATA/val --test DATA/train_nc --work runs/calibration
    python tools/calibrate.py light --val … --test … --work … --write

The middle of each volume (`SIDE` voxels) is measured in every way of `SETTINGS` and brought back;
voxels nearer than `MARGIN` to a face that was cut are not counted. What is counted is kept in the
folder `--work`, so that an interrupted run goes on. Volumes of `--val` calibrate, those of `--test`
never do. With `--write` factors and coverage go into the card of the weights, and the tables into
docs/uncertainty.md. On one core of a busy machine the first run of `light` took half an hour.
"""

import argparse
import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from calibration_tables import (
    AIR,
    BRIGHTNESS,
    MARGIN,
    PROBABILITY,
    RIVALS,
    SIDE,
    Counted,
    report,
)
from numpy.typing import NDArray

from arssr.api import Model
from arssr.cli.console import stderr
from arssr.consistency import make_consistent
from arssr.ensemble import flips
from arssr.errors import ArSSRError
from arssr.evaluation.coverage import Scores
from arssr.evaluation.methods import network_sha256
from arssr.evaluation.protocol import Setting, parse_scale
from arssr.field import VoxelField
from arssr.files import find_images, stem
from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.volume import Volume
from arssr.weights.files import load_spread, load_weights
from arssr.weights.interval import CONSISTENT, PLAIN, Interval, way_of
from arssr.weights.registry import Weights, shipped

RAW = Interval(PROBABILITY, air=0.0)  # as the head tells them; 0 where air was skipped
_LEAST_SPREAD = 1e-3  # of the range: members that agree by chance are not sure
UNTOLD = "unknown"


@dataclass(frozen=True)
class Case:
    """A way to measure a volume; `in_all_ways`: brought back in every way of computing."""

    setting: Setting
    in_all_ways: bool = False
    is_told: bool = True

    def __str__(self) -> str:
        return f"{self.setting}{'' if self.is_told else ', not told'}"

    @classmethod
    def of(cls, degradation: str, scale: str, snr: float | None = None, **how: bool) -> "Case":
        return cls(Setting(degradation, parse_scale(scale), snr), **how)


SETTINGS = (
    Case.of("kspace", "2", in_all_ways=True),
    Case.of("kspace", "3"),
    Case.of("kspace", "4", in_all_ways=True),
    Case.of("kspace-apodised", "3"),
    Case.of("slice", "2", in_all_ways=True),
    Case.of("slice", "3"),
    Case.of("slice", "4"),
    Case.of("slice", "1x1x4", in_all_ways=True),
    Case.of("slice-box", "1x1x4"),
    Case.of("slice-trapezoid", "1x1x3"),
    Case.of("slice-gap20", "1x1x4"),
    Case.of("spline", "2"),
    Case.of("spline", "3", in_all_ways=True),
    Case.of("spline", "4"),
    Case.of("kspace", "2", 20, in_all_ways=True),
    Case.of("slice", "2", 20),
    Case.of("slice", "1x1x4", 20, in_all_ways=True),
    Case.of("spline", "3", 20),
    Case.of("kspace", "2", is_told=False),
    Case.of("slice", "1x1x4", is_told=False),
)
# Volumes that never calibrate: there are many, and only one way is put to the test.
TESTED = tuple(
    Case(c.setting, is_told=c.is_told)
    for c in SETTINGS
    if str(c) in ("kspace 2", "kspace 4", "slice 3", "slice 1x1x4", "spline 3", "kspace 2, SNR 20")
)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", help="the name of shipped weights, or a file")
    parser.add_argument("--val", type=Path, required=True, help="volumes that calibrate")
    parser.add_argument("--test", type=Path, help="volumes that never do")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is counted")
    parser.add_argument("--write", action="store_true", help="into the card and the page")
    asked = parser.parse_args()
    path = shipped().get(asked.weights, Path(asked.weights))
    network, card = load_weights(path)
    model = Model(Weights(card["name"], network, card, path))
    key = _key(path)
    val = list(count_all(model, find_images([asked.val]), SETTINGS, asked.work / key))
    test = []
    if asked.test:
        test = list(count_all(model, find_images([asked.test]), TESTED, asked.work / key))
    report(path, val, test, asked.write)


def _key(path: Path) -> str:
    """Of network and head."""
    network, head = load_weights(path)[0], load_spread(path)
    digest = hashlib.sha256(network_sha256(network).encode())
    for _, tensor in sorted(head.state_dict().items()) if head else ():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:12]


def count_all(
    model: Model, paths: Sequence[Path], cases: Sequence[Case], folder: Path
) -> Iterator[Counted]:
    """What is counted of every volume in every case, as far as it is not known already."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        for number, case in enumerate(cases):
            name, known = stem(path), folder / f"{stem(path)} {case}.npz"
            if known.exists():
                yield Counted.read(known, name, str(case))
                continue
            counted = count(model, _middle(Volume.read(path)), case, number)
            kept = Counted(name, str(case), counted)
            kept.write(known)
            stderr.print(f"{name}: {case}", markup=False)
            yield kept


def _middle(volume: Volume) -> Volume:
    starts = [max(0, (n - SIDE) // 2) for n in volume.grid.shape]
    box = tuple(slice(start, start + SIDE) for start in starts)
    return volume.with_data(volume.data[box], volume.grid.part(box))


def count(model: Model, truth: Volume, case: Case, seed: int) -> dict[tuple[str, int], Scores]:
    """Scores of the middle of a volume, by way of computing and level of brightness."""
    scan = case.setting.measure(truth, np.random.default_rng(seed))
    told = case.setting.acquisition if case.is_told else UNTOLD
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        field = model.field(scan, towards=truth.grid, acquisition=told, interval=RAW)
    inner = tuple(slice(MARGIN, n - MARGIN) if n == SIDE else slice(None) for n in truth.grid.shape)
    span = Normalisation.fit(truth.data)
    right = truth.data[inner].astype(np.float64)
    levels = np.digitize((right - span.offset) / span.scale, BRIGHTNESS)
    found: dict[tuple[str, int], Scores] = {}

    def take(way: str, values: NDArray[np.float32], half_widths: NDArray[np.float32]) -> None:
        error = np.abs(values[inner] - right) / span.scale
        h = half_widths[inner] / span.scale
        skipped = h <= 0
        if way == PLAIN:
            found[AIR, 0] = Scores.of(error[skipped], np.ones(int(skipped.sum())))
        for level in range(len(BRIGHTNESS) + 1):
            here = (levels == level) & ~skipped
            found[way, level] = Scores.of(error[here], h[here])

    members = [_read(field, truth.grid)]
    take(PLAIN, *members[0])
    if not case.in_all_ways:
        return found
    if field.noise is not None:
        sigma = field.noise * field.normalisation.scale
        image = truth.with_data(members[0][0], truth.grid)
        with suppress(ArSSRError):  # another field of view
            agreeing = make_consistent(image, scan, field.acquisition_ijk, sigma)
            take(CONSISTENT, agreeing.volume.data, members[0][1])
    members += [_read(_flipped(model, field, flip), truth.grid) for flip in flips(8)[1:]]
    for count_of in (4, 8):
        values, half_widths = (np.mean([m[n] for m in members[:count_of]], axis=0) for n in (0, 1))
        take(way_of(count_of), values, half_widths)
    for rival, count_of in RIVALS.items():
        values = np.mean([m[0] for m in members[:count_of]], axis=0)
        spread = np.std([m[0] for m in members[:count_of]], axis=0) + _LEAST_SPREAD * span.scale
        take(rival, values, np.where(members[0][1] > 0, spread, 0))
    return found


def _read(field: VoxelField, grid: Grid) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    values, half_widths = field.on_with_half_widths(grid)
    return values.data, half_widths.data


def _flipped(model: Model, field: VoxelField, axes: Sequence[int]) -> VoxelField:
    """The field of the flipped scan, as an ensemble has it."""
    scan = field.volume
    turned = scan.with_data(np.flip(scan.data, tuple(axes)), scan.grid.flipped(axes))
    told = field.told_noise
    return model.field(
        turned,
        acquisition=field.acquisition_ijk,
        noise=None if told is None else told * field.normalisation.scale,
        normalisation=field.normalisation,
        interval=RAW,
    )


if __name__ == "__main__":
    main()
