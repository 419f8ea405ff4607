"""How well the true resolution of scans is measured, and what `upsample` gains by it.

    python benchmarks/resolution.py DATA [--parts recognised native filled told]
                                         [--volumes m2208 lumbar] [--model light]

DATA holds `train`, `val` and `clinical` (see the README there). Prints Markdown tables:

recognised: axes of validation files cut to a share of their band and zero-filled again, in 8 bits;
native: what is said of files as they are, and how many axes of `train` are soft;
filled: PSNR of validation scans that were degraded and zero-filled by 2 in plane, super-resolved
    as they are stored, as they were measured, and from there in two steps, the plane first, each
    told what it is;
told: PSNR where the acquisition is told, measured (`auto`) and unknown.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from arssr.api import Model, load_model
from arssr.degradation import KSpace, degrade, named_degradation
from arssr.evaluation.metrics import Reference
from arssr.resolution import Resolution, measure_resolution
from arssr.scan import as_measured
from arssr.volume import Volume

PARTS = ("recognised", "native", "filled", "told")
SHARES = (0.5, 0.6, 0.7, 0.8, 0.85)
NATIVE = ("train/niimath", "train/coregqa", "val/karawun", "train/uih2", "clinical/")
FILLED = {"kspace 2x2x2": ("kspace", 2.0), "in plane 2, slices 4": ("slice", 4.0)}
TOLD = (("kspace", 2.0), ("slice", (1.0, 1.0, 4.0)), ("slice", 2.0), ("spline", 2.0))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--volumes", nargs="+", default=[""], help="Beginnings of names in val.")
    parser.add_argument("--model", default="light")
    options = parser.parse_args()
    started = time.perf_counter()
    paths = [
        path
        for path in sorted((options.data / "val").glob("*.nii.gz"))
        if path.name.startswith(tuple(options.volumes))
    ]
    if "recognised" in options.parts:
        print_recognised(paths)
    if "native" in options.parts:
        print_native(options.data)
    if {"filled", "told"} & set(options.parts):
        model = load_model(options.model)
        if "filled" in options.parts:
            print_filled(model, paths)
        if "told" in options.parts:
            print_told(model, paths)
    print(f"\n{time.perf_counter() - started:.0f} s", flush=True)


def refilled(data: np.ndarray, axis: int, n_kept: int, n_stored: int) -> np.ndarray:
    """Along an axis only the `n_kept` innermost lines of k-space, among `n_stored` in all."""
    n = data.shape[axis]
    keep = KSpace().axis_matrix(n, (np.arange(n_kept) + 0.5) * n / n_kept - 0.5, n / n_kept)
    fill = KSpace().axis_matrix(n_kept, (np.arange(n_stored) + 0.5) * n_kept / n_stored - 0.5, 1.0)
    filled = np.tensordot(fill @ keep, data, (1, axis))
    return np.moveaxis(filled, 0, axis).astype(np.float32)


def print_recognised(paths: Sequence[Path]) -> None:
    """By how much the share is wrong."""
    print("\n| volume |", " | ".join(f"{share:g}" for share in SHARES), "|")
    print("|---|" + "---|" * len(SHARES))
    within = total = 0
    for path in paths:
        volume = Volume.read(path)
        cells = []
        for share in SHARES:
            errors = []
            for axis in range(3):
                n = volume.data.shape[axis]
                kept = round(share * n)
                data = np.clip(np.rint(refilled(volume.data, axis, kept, n)), 0, 255)
                found = measure_resolution(volume.with_data(data, volume.grid)).axes[axis]
                right = found.ending == "sharp"
                errors.append(found.share - kept / n if right else np.inf)
                within += right and abs(errors[-1]) <= 0.05
                total += 1
            cells.append(" ".join(f"{error:+.3f}" for error in errors))
        print(f"| {volume.name} |", " | ".join(cells), "|", flush=True)
    print(f"\n{within} of {total} axes sharp and within 0.05")


def print_native(data: Path) -> None:
    """The verdicts on files as they are."""
    print("\n| file | i | j | k | seconds |\n|---|---|---|---|---|")
    soft, axes = 0, 0
    for path in sorted(data.glob("*/*.nii.gz")):
        name = path.relative_to(data).as_posix()
        if not name.startswith((*NATIVE, "train/")):
            continue
        volume = Volume.read(path)
        started = time.perf_counter()
        found = measure_resolution(volume)
        seconds = time.perf_counter() - started
        if name.startswith("train/"):
            soft += sum(axis.is_soft for axis in found.axes)
            axes += 3
        if name.startswith(NATIVE):
            print(f"| {name} |", " | ".join(_cells(found)), f"| {seconds:.2f} |", flush=True)
    print(f"\n{soft} of {axes} axes of train are soft")


def _cells(found: Resolution) -> list[str]:
    return [f"{axis.ending} {axis.share:.2f}" for axis in found.axes]


def print_filled(model: Model, paths: Sequence[Path]) -> None:
    """Stored twice as fine in plane as measured: before and after."""
    print("\n| volume | scan | found | as stored, dB | as measured, dB | gain | in two steps, dB |")
    print("|---|---|---|---|---|---|---|")
    gains = []
    for path in paths:
        truth = Volume.read(path)
        reference = Reference(truth)
        for name, (through, thickness) in FILLED.items():
            scan = degrade(truth, (1, 1, thickness), named_degradation(through))
            scan = degrade(scan, (2, 2, 1), KSpace())
            i, j, k = scan.grid.shape
            filled = refilled(refilled(scan.data, 0, i, 2 * i), 1, j, 2 * j)
            scan = scan.with_data(filled, scan.grid.with_shape((2 * i, 2 * j, k)))
            before, after = (
                reference.score(model.upsample(scan, like=truth.grid, as_stored=stored))["psnr"]
                for stored in (True, False)
            )
            measured = as_measured(scan)
            start = measured.volume if measured else scan
            plane = model.upsample(start, like=scan.grid, acquisition="kspace", as_stored=True)
            stepped = model.upsample(plane, like=truth.grid, acquisition=through, as_stored=True)
            in_steps = reference.score(stepped)["psnr"]
            gains.append(after - before)
            found = ", ".join(_cells(measure_resolution(scan)))
            print(
                f"| {truth.name} | {name} | {found} | {before:.2f} | {after:.2f} "
                f"| {after - before:+.2f} | {in_steps:.2f} |",
                flush=True,
            )
    print(f"\nmean gain {np.mean(gains):+.2f} dB, least {np.min(gains):+.2f} dB")


def print_told(model: Model, paths: Sequence[Path]) -> None:
    """What it is worth to know the acquisition, and how much of it `auto` finds."""
    print("\n| volume | scan | auto says | told, dB | auto | unknown | told − auto |", end="")
    print(" auto − unknown |\n|---|---|---|---|---|---|---|---|")
    for path in paths:
        truth = Volume.read(path)
        reference = Reference(truth)
        for name, scale in TOLD:
            scan = degrade(truth, scale, named_degradation(name))
            told, auto, unknown = (
                reference.score(model.upsample(scan, like=truth.grid, acquisition=what))["psnr"]
                for what in (name, "auto", "unknown")
            )
            says = " ".join(as_measured(scan).acquisition("auto", truth.grid, model.card))
            print(
                f"| {truth.name} | {name} {np.ravel(scale).tolist()} | {says} | {told:.2f} "
                f"| {auto:.2f} | {unknown:.2f} | {told - auto:+.2f} | {auto - unknown:+.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
