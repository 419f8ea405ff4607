"""A registered scan, super-resolved in one interpolation or in two: PSNR of the same result.

python benchmarks/transform.py FOLDER [WEIGHTS]

Each image of the folder stands for the object itself, at half the voxel size of everything that is
compared, so that turning it costs (almost) nothing that the comparison could see. Both the high
resolution scan that is degraded and the truth in the reference's space are k-space crops of it,
before and after a known rigid transform (written and read as an ITK file). Border voxels and air
are left out.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its customary name

from arssr.api import Model, load_model
from arssr.degradation import degrade, named_degradation
from arssr.files import find_images
from arssr.grid import Grid
from arssr.interpolation import Kind, resample
from arssr.transforms.registration import load_transform
from arssr.transforms.transform import Transform, resample_through
from arssr.volume import Volume

CASES = {
    "slice 1x1x3": ("slice", (1.0, 1.0, 3.0), ("kspace", "kspace", "slice")),
    "kspace 2": ("kspace", (2.0, 2.0, 2.0), ("kspace",) * 3),
}
DEGREES, SHIFT_MM = (6.0, -4.0, 9.0), (2.3, -3.1, 1.7)
LONGEST = 176  # voxels of the object along an axis, cut from its middle
MARGIN = 10  # voxels at the border of the reference that are not compared


def middle(volume: Volume) -> Volume:
    """The middle of a volume, LONGEST voxels at most along each axis and an even number."""
    sizes = [min(n // 2 * 2, LONGEST) for n in volume.grid.shape]
    i, j, k = (
        slice((n - size) // 2, (n - size) // 2 + size)
        for n, size in zip(volume.grid.shape, sizes, strict=True)
    )
    return volume.with_data(volume.data[i, j, k], volume.grid.part((i, j, k)))


def rigid(truth: Grid, folder: Path) -> Transform:
    """A rotation about the middle of the image and a shift, through an ITK file."""
    centre = truth.to_world((np.array(truth.shape) - 1) / 2) * [-1, -1, 1]
    angles = np.radians(DEGREES).tolist()
    transform = sitk.Euler3DTransform(centre.tolist(), *angles, SHIFT_MM)
    sitk.WriteTransform(transform, str(folder / "rigid.tfm"))
    return load_transform(folder / "rigid.tfm", truth, truth)


def turned(grid: Grid, transform: Transform) -> Grid:
    """Where the voxels of a grid in the reference's space lie in the scan's."""
    return Grid(grid.shape, transform.matrix @ grid.affine)


def ways(
    model: Model, scan: Volume, grid: Grid, transform: Transform, told: tuple[str, ...]
) -> dict[str, Callable[[], Volume]]:
    """How to come from the scan to the reference's grid."""

    def once(samples: int = 2) -> Volume:
        return resample_through(model.field(scan, acquisition=told), transform, grid, samples)

    def resample_first() -> Volume:
        there = resample(scan, turned(scan.grid, transform))
        return model.upsample(there.with_data(there.data, scan.grid), like=grid, acquisition=told)

    def super_resolve_first(kind: Kind = "cubic") -> Volume:
        fine = model.upsample(scan, like=grid, acquisition=told)
        return resample(fine, turned(grid, transform), kind)

    return {
        "one interpolation": once,
        "… at the voxels' centres only": lambda: once(1),
        "resample, then super-resolve": resample_first,
        "super-resolve, then resample": super_resolve_first,
        "… trilinear, as ANTs and flirt": lambda: super_resolve_first("linear"),
        "cubic alone": lambda: resample(scan, turned(grid, transform)),
    }


def psnr(result: Volume, truth: Volume) -> float:
    """In dB over the reference's inner voxels, air left out."""
    inner = (slice(MARGIN, -MARGIN),) * 3
    highest = float(np.percentile(truth.data, 99.95))
    seen = truth.data[inner] > 0.05 * highest
    error = (result.data[inner] - truth.data[inner])[seen]
    return 20 * np.log10(highest) - 10 * np.log10(float(np.mean(error.astype(np.float64) ** 2)))


def main() -> None:
    """Print the table."""
    images = find_images([Path(sys.argv[1])])
    images = [path for path in images if min(Volume.read(path).grid.shape) > 6 * MARGIN]
    model = load_model(sys.argv[2] if len(sys.argv) > 2 else "light")
    for case, (name, scale, told) in CASES.items():
        scores: dict[str, list[float]] = {}
        for path in images:
            body = middle(Volume.read(path))
            with tempfile.TemporaryDirectory() as folder:
                transform = rigid(body.grid, Path(folder))
            there = resample(body, turned(body.grid, transform)).data
            truth = degrade(body.with_data(there, body.grid), 2.0, named_degradation("kspace"))
            sharp = degrade(body, 2.0, named_degradation("kspace"))
            scan = degrade(sharp, scale, named_degradation(name))
            for way, work in ways(model, scan, truth.grid, transform, told).items():
                scores.setdefault(way, []).append(psnr(work(), truth))
        print(f"{case}, PSNR in dB: " + ", ".join(path.name.split(".")[0] for path in images))
        for way, values in scores.items():
            print(f"  {way:32}" + "".join(f"{v:8.2f}" for v in values) + f"{np.mean(values):10.2f}")


if __name__ == "__main__":
    main()
