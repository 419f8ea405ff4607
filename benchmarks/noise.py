"""How well the noise of scans is estimated, and what it does to results.

    python benchmarks/noise.py DATA [--parts steady added interpolated clean taught air results]
                                    [--images FILE …] [--model light]

DATA holds `train`, `val` and `clinical` (see the README there); --images are measured in place of
`val`.
Prints the Markdown tables of docs/noise.md, with noise in percent of the range of intensities:

steady: what is told of clinical scans, whole, cropped and padded with air, and what used to be;
added: sqrt(σ² with − σ² without) of Rician noise added to validation scans, over what was added;
interpolated: the estimate of noise of 4 % that was interpolated, over what it has become;
clean: what is found in noise-free images, where it should be 0;
taught: what is found in scans of training images that networks were taught to call noise-free;
air: noise of air, where it was not masked, beside that of tissue;
results: PSNR where noise is told exactly, estimated, as it used to be, called 0, and unknown.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from arssr.api import load_model
from arssr.degradation import KSpace, add_rician_noise, degrade, named_degradation
from arssr.grid import Grid
from arssr.intensity import Normalisation, finest_detail
from arssr.interpolation import Kind, resample
from arssr.noise import estimate_noise
from arssr.scan import as_measured
from arssr.volume import Volume

PARTS = ("steady", "added", "interpolated", "clean", "taught", "air", "results")
LEVELS = (0.02, 0.04, 0.06)
FLOOR = 0.005  # of the range: differences below this hardly change results, see docs/noise.md
USED_TO_BE_ANATOMY = 0.015
SIDE = 80  # voxels of a truth whose scan is super-resolved
TRUTHS = ("ds002748-72", "karawun", "m2208")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--images", nargs="+", type=Path)
    parser.add_argument("--model", default="light")
    options = parser.parse_args()
    clinical = read(sorted((options.data / "clinical").glob("*.nii.gz")))
    val = read(options.images or sorted((options.data / "val").glob("*.nii.gz")))
    for part in options.parts:
        started = time.perf_counter()
        match part:
            case "steady":
                print_steady(clinical)
            case "added":
                print_added(val)
            case "interpolated":
                print_interpolated(val[0])
            case "clean":
                print_clean(val)
            case "taught":
                print_taught(sorted((options.data / "train").glob("*.nii.gz")))
            case "air":
                print_air(clinical + val)
            case "results":
                print_results(val, options.model)
        print(f"\n{part}: {time.perf_counter() - started:.0f} s", flush=True)


def read(paths: Sequence[Path]) -> list[Volume]:
    """All of them."""
    return [Volume.read(path) for path in paths]


def used_to_be(volume: Volume) -> float:
    """What was told before: of tissue and air alike, less a constant for anatomy."""
    norm = Normalisation.fit(volume.data)
    found = finest_detail(norm.apply(volume.data))
    return norm.scale * max(found**2 - USED_TO_BE_ANATOMY**2, 0.0) ** 0.5


def range_of(volume: Volume) -> float:
    """From the darkest to the brightest, as networks see it."""
    return Normalisation.fit(volume.data).scale


def row(name: str, cells: Sequence[str]) -> None:
    """A row of a table."""
    print(f"| {name} |", " | ".join(cells), "|", flush=True)


def header(first: str, *others: str) -> None:
    """The head of a table."""
    print(f"\n| {first} |", " | ".join(others), "|")
    print("|---|" + "---:|" * len(others), flush=True)


# --- steady --------------------------------------------------------------------------------------


def part(volume: Volume, share: float) -> Volume:
    """The middle of each slice; all slices."""
    box = tuple(
        slice(int(n * (1 - share) / 2), int(n * (1 + share) / 2)) if n > SIDE else slice(0, n)
        for n in volume.grid.shape
    )
    return volume.with_data(volume.data[box], volume.grid.part(box))


def padded(volume: Volume, sigma: float) -> Volume:
    """In twice as much air in each slice, of Rayleigh noise of this σ."""
    width = [(n // 2, n // 2) if n > SIDE else (0, 0) for n in volume.grid.shape]
    air = np.ones(volume.data.shape, bool)
    data, air = np.pad(volume.data, width), np.pad(~air, width, constant_values=True)
    noise = add_rician_noise(np.zeros_like(data), sigma, np.random.default_rng(0))
    return Volume(np.where(air, noise, data), Grid(data.shape, volume.grid.affine))


def print_steady(scans: Sequence[Volume]) -> None:
    """Clinical scans, each and its parts."""
    ways: dict[str, Callable[[Volume, float], Volume]] = {
        "whole": lambda scan, _: scan,
        "crop": lambda scan, _: part(scan, 0.5),
        "crop to 0.7": lambda scan, _: part(scan, 0.7),
        "in masked air": lambda scan, _: padded(scan, 0.0),
        "in noisy air": padded,
    }
    header("scan", *ways, "range", "used to be: whole", "crop")
    for scan in scans:
        scale = range_of(scan)
        sigma = estimate_noise(as_measured(scan).volume)
        found = {
            name: estimate_noise(as_measured(way(scan, sigma)).volume) / scale
            for name, way in ways.items()
        }
        steady = all(
            abs(each - found["whole"]) < max(0.2 * found["whole"], FLOOR) for each in found.values()
        )
        before = [used_to_be(each) / scale for each in (scan, part(scan, 0.5))]
        cells = [f"{100 * each:.2f}" for each in found.values()]
        cells += [f"{scale:.0f}", *(f"{100 * each:.2f}" for each in before)]
        row(scan.name + ("" if steady else " (not steady)"), cells)


# --- added ---------------------------------------------------------------------------------------


def filled(volume: Volume) -> Volume:
    """Stored 1.4 times as fine along the first two axes: zeros in k-space."""
    data = volume.data
    for axis in (0, 1):
        n = data.shape[axis]
        stored = round(1.4 * n)
        positions = (np.arange(stored) + 0.5) * n / stored - 0.5
        matrix = KSpace().axis_matrix(n, positions, 1.0)
        data = np.moveaxis(np.tensordot(matrix, data, (1, axis)), 0, axis)
    shape = data.shape
    return volume.with_data(data.astype(np.float32), volume.grid.with_shape(shape))


def noisy(scan: Volume, level: float) -> Volume:
    """With Rician noise of this share of the range."""
    sigma = level * range_of(scan)
    data = add_rician_noise(scan.data, sigma, np.random.default_rng(0))
    return scan.with_data(data, scan.grid)


def stripped(scan: Volume, level: float) -> Volume:
    """With noise in what is no air, too."""
    return scan.with_data(np.where(scan.data > 0, noisy(scan, level).data, 0), scan.grid)


def print_added(volumes: Sequence[Volume]) -> None:
    """Each validation scan, in several forms."""
    same: Callable[[Volume], Volume] = lambda scan: scan  # noqa: E731
    forms: dict[str, tuple[Callable[[Volume], Volume], Callable[[Volume, float], Volume]]] = {
        "as it is": (same, noisy),
        "noise in the object only": (same, stripped),
        "slices of 4 voxels": (lambda v: degrade(v, (1, 1, 4), named_degradation("slice")), noisy),
        "slices of 2 × 2 × 2": (lambda v: degrade(v, 2, named_degradation("slice")), noisy),
        "k-space, 2 × 2 × 2": (lambda v: degrade(v, 2, named_degradation("kspace")), noisy),
    }
    header("scan", "form", "without", *(f"{level:.0%}" for level in LEVELS))
    within = total = 0
    for volume in volumes:
        for name, (form, noise) in forms.items():
            scan = form(volume)
            thens = {"": same, ", zero-filled": filled} if name == "as it is" else {"": same}
            for suffix, then in thens.items():
                bare, scale = estimate_noise(then(scan)), range_of(scan)
                ratios = []
                for level in LEVELS:
                    found = estimate_noise(then(noise(scan, level)))
                    ratios.append(max(found**2 - bare**2, 0.0) ** 0.5 / (level * scale))
                within += sum(abs(ratio - 1) <= 0.2 for ratio in ratios)
                total += len(ratios)
                cells = [name + suffix, f"{100 * bare / scale:.2f}"]
                row(volume.name, cells + [f"{ratio:.2f}" for ratio in ratios])
    print(f"\n{within} of {total} within 20 %")


def print_interpolated(volume: Volume) -> None:
    """A part of one scan with noise, on finer voxels."""
    clean = part(volume, 0.6)
    made, scale = noisy(clean, 0.04), range_of(clean)
    header("interpolation", "noise left", "estimate over that")
    kinds: tuple[Kind, ...] = ("linear", "cubic")
    for kind in kinds:
        for finer in (1.5, 2.0):
            grid = clean.grid.scaled(finer)
            scan, bare = resample(made, grid, kind), resample(clean, grid, kind)
            true = float(np.std((scan.data - bare.data)[bare.data > 0.3 * scale]))
            ratio = estimate_noise(scan) / true
            row(f"{kind}, {finer:g} × finer", [f"{100 * true / scale:.2f}", f"{ratio:.2f}"])


# --- clean, air ----------------------------------------------------------------------------------


def print_clean(volumes: Sequence[Volume]) -> None:
    """Noise-free scans: what a larger image averages out is nearly so."""
    forms = {
        "slices of 4": ("slice", (1.0, 1.0, 4.0)),
        "slices of 2 × 2 × 2": ("slice", 2.0),
        "k-space, 2 × 2 × 2": ("kspace", 2.0),
        "spline, 2 × 2 × 2": ("spline", 2.0),
    }
    header("volume", "as it is", *forms)
    for volume in volumes:
        scans = [volume, *(degrade(volume, s, named_degradation(d)) for d, s in forms.values())]
        cells = [f"{100 * estimate_noise(scan) / range_of(scan):.2f}" for scan in scans]
        row(volume.name, cells)


def print_taught(paths: Sequence[Path]) -> None:
    """Scans of training images, as they are drawn when no noise is added to them.

    Of a study with many images every ninth is taken.
    """
    studies: dict[str, list[Path]] = {}
    for path in paths:
        studies.setdefault(path.name.partition("-")[0], []).append(path)
    forms = [("kspace", 2.0), ("kspace", 3.0), ("kspace", (1.0, 1.0, 2.0))]
    forms += [("slice-trapezoid-gap25", 2.0), ("slice-trapezoid-gap25", (1.0, 1.0, 4.0))]
    forms += [("slice", (1.0, 1.0, 4.0)), ("spline", 2.0)]
    header("image", *(f"{name} {scale}" for name, scale in forms))
    found = []
    for study in studies.values():
        for path in study[::9]:
            truth = Volume.read(path)
            scans = [degrade(truth, scale, named_degradation(name)) for name, scale in forms]
            found.append([100 * estimate_noise(scan) / range_of(scan) for scan in scans])
            row(truth.name, [f"{each:.2f}" for each in found[-1]])
    row("median", [f"{each:.2f}" for each in np.median(found, axis=0)])


def print_air(scans: Sequence[Volume]) -> None:
    """Air is what is darker than 5 % of the range all around, and not constant."""
    header("scan", "share of the image", "SD / 0.655", "mean / 1.253", "tissue")
    for scan in scans:
        scale = range_of(scan)
        dark = ndimage.maximum_filter(scan.data, 9) < 0.05 * scale
        live = ndimage.minimum_filter(np.abs(np.diff(scan.data, axis=0, append=0)), 1) > 0
        live = ndimage.uniform_filter(live.astype(np.float32), 9) > 0.5
        air = scan.data[dark & live]
        cells = [f"{len(air) / scan.data.size:.1%}", "", "", ""]
        if len(air) > 1000:
            cells[1:3] = (
                f"{100 * air.std() / 0.655 / scale:.2f}",
                f"{air.mean() / scale * 79.8:.2f}",
            )
        cells[3] = f"{100 * estimate_noise(scan) / scale:.2f}"
        row(scan.name, cells)


# --- results -------------------------------------------------------------------------------------


def print_results(volumes: Sequence[Volume], weights: str) -> None:
    """Scans that are made of the middle of validation volumes, super-resolved."""
    model = load_model(weights, "cpu")
    header("volume", "scan", "added", "found", "exact", "estimated", "before", "0", "unknown")
    for volume in volumes:
        if not volume.name.startswith(TRUTHS):
            continue
        starts = [max(0, (n - SIDE) // 2) for n in volume.grid.shape]
        box = tuple(slice(start, start + SIDE) for start in starts)
        truth = volume.with_data(volume.data[box], volume.grid.part(box))
        for name, scale in (("slice", (1.0, 1.0, 4.0)), ("kspace", 2.0)):
            clean = degrade(truth, scale, named_degradation(name))
            for level in (0.0, *LEVELS[:2]):
                scan = noisy(clean, level) if level else clean
                told = (level * range_of(clean), "auto", used_to_be(scan), 0.0, None)
                results = [
                    model.upsample(scan, like=truth.grid, acquisition=name, noise=noise)
                    for noise in told
                ]
                found = estimate_noise(scan) / range_of(clean)
                cells = [f"{name}, {scale}", f"{level:.0%}", f"{100 * found:.2f}"]
                row(volume.name, cells + [f"{psnr(each, truth):.2f}" for each in results])


def psnr(result: Volume, truth: Volume) -> float:
    """In dB."""
    rms = np.sqrt(np.mean((result.data - truth.data) ** 2))
    return float(20 * np.log10(np.ptp(truth.data) / rms))


if __name__ == "__main__":
    main()
