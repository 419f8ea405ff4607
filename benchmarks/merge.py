"""Several thick scans of one head become one: what each step of `arssr merge` gains.

    python benchmarks/merge.py ../shared/data/val/karawun_FLAIR.nii.gz [--crop 96] [--noise 1 3]

Three orthogonal stacks of the truth, 4 of its voxels from slice to slice, of which 20 % are gaps,
with Rician noise, and moved by up to 5 mm and 5 degrees, which no header tells. They are read from
the continuous spline of the truth, point by point, by code of this file.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from arssr.api import Model, load_model
from arssr.evenness import even_slices
from arssr.formats.slices import Slices
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.merging.solve import Problem, conjugate_gradients
from arssr.merging.together import Together, bring_together, mean_of, stacks_on
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target
from arssr.volume import Volume

DISTANCE = 4  # voxels of the truth from slice to slice
GAP = 0.2  # of that, not covered
STEPS = 2  # points that are read per voxel of the truth, across a slice
REACH = 1.5  # of a Gaussian profile, in its width at half maximum
MOST_MM, MOST_DEGREES = 5.0, 5.0
BANDS = 0.05  # standard deviation of the logarithms of what slices are multiplied by
WITHIN_MM, WITHIN_DEGREES = 2.0, 2.0  # the same, of groups of slices within a stack
TV_WEIGHTS = (0.1, 0.3, 1.0, 3.0)  # times one over the noise
MARGIN = 16  # voxels of a piece that are not judged, as scans that moved do not show them
TISSUE = 0.05  # of a slice's pixels above a tenth of the range
TV_EDGE, TV_STEPS = 1e-3, 5  # of the range, below which nothing is an edge; reweightings


def motion_of(
    generator: np.random.Generator,
    centre_mm: np.ndarray,
    mm: float = MOST_MM,
    degrees: float = MOST_DEGREES,
) -> np.ndarray:
    """(4, 4) a rigid motion around a point: up to so much along and about each axis."""
    angles = np.radians(generator.uniform(-degrees, degrees, 3))
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        about = np.eye(3)
        about[a, a] = about[b, b] = np.cos(angle)
        about[a, b], about[b, a] = -np.sin(angle), np.sin(angle)
        turn = about @ turn
    motion = np.eye(4)
    motion[:3, :3] = turn
    motion[:3, 3] = centre_mm - turn @ centre_mm + generator.uniform(-mm, mm, 3)
    return motion


def apart(one: np.ndarray, other: np.ndarray, points_mm: np.ndarray) -> float:
    """By how many mm two motions differ, on average over points (n, 3)."""
    between = (one - other)[:3]
    return float(np.linalg.norm(points_mm @ between[:, :3].T + between[:, 3], axis=1).mean())


def stack_of(
    truth: Volume,
    seen: Grid,
    axis: int,
    motions: list[np.ndarray],
    sigma: float,
    generator: np.random.Generator,
    box: bool = False,
    told: bool = False,
) -> Volume:
    """A stack whose slices follow each other along an axis of the truth; Gaussian, or boxes.

    seen: the voxels of the truth that are its field of view. axis: 3 for none: samples of all of
    them. motions: from the space of the truth to that of the stack, of each of its interleaves.
    told: times of slices say which these are.
    """
    scale = np.ones(3)
    scale[axis:] = np.where(np.arange(axis, 3) == axis, 1 / DISTANCE, 1)
    grid = seen.scaled(scale.tolist())
    spline = ndimage.spline_filter(truth.data.astype(np.float32), 3, np.float32, mode="nearest")
    width = (1 - GAP) * DISTANCE
    n = int(np.ceil(REACH * width * STEPS)) if axis < 3 else 0
    offsets = np.arange(-n, n + 1) / STEPS
    weights = np.exp(-4 * np.log(2) * (offsets / width) ** 2)
    if box and n:
        weights = np.clip(STEPS * (width / 2 - np.abs(offsets)) + 0.5, 0, 1)
    data = np.zeros(grid.shape)
    for number, motion in enumerate(motions):
        to_truth = np.linalg.inv(motion @ truth.grid.affine) @ grid.affine
        part = np.zeros(grid.shape)
        for offset, weight in zip(offsets, weights / weights.sum(), strict=True):
            shift = np.zeros(3)
            shift[axis:][:1] = offset / DISTANCE
            part += weight * ndimage.affine_transform(
                spline,
                to_truth[:3, :3],
                to_truth[:3, 3] + to_truth[:3, :3] @ shift,
                output_shape=grid.shape,
                output=np.float32,
                mode="nearest",
                prefilter=False,
            )
        group = ((slice(None),) * axis + (slice(number, None, len(motions)),))[:3]
        data[group] = part[group]
    real, imaginary = (sigma * generator.standard_normal(grid.shape) for _ in range(2))
    noisy = np.hypot(data + real, imaginary) if sigma else data
    if axis == 3:
        return Volume(noisy, grid)
    mm = float(grid.spacing_mm[axis])
    times_s = tuple(60.0 * (k % len(motions)) + k / 9 for k in range(grid.shape[axis]))
    thickness = (1 - GAP) * mm
    return Volume(
        noisy, grid, slices=Slices(axis, thickness, mm, times_s=times_s if told else None)
    )


def main() -> None:
    """Print a row for each head and level of noise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volumes", nargs="+", type=Path)
    parser.add_argument("--crop", type=int, help="voxels of the middle along each axis, not all")
    parser.add_argument("--noise", type=float, nargs="+", default=[1.0, 3.0], help="%% of range")
    parser.add_argument(
        "--axes", default="210", help="along which slices lie, a digit each; 3: thin"
    )
    parser.add_argument("--still", action="store_true", help="nobody moves, and headers are right")
    parser.add_argument("--box", action="store_true", help="slices are boxes, not Gaussian")
    parser.add_argument(
        "--banded", default="", help="scans, from 0, whose slices differ in brightness by 5 %%"
    )
    parser.add_argument("--even-slices", action="store_true", help="even them before")
    parser.add_argument("--weights", default="light")
    parser.add_argument(
        "--interleaves",
        type=int,
        default=1,
        metavar="N",
        help="each stack's groups of slices move, by up to 2 mm and 2 degrees; without and with "
        "poses of their own, a row each",
    )
    parser.add_argument("--find", help="interleaves that are asked for: N or auto")
    parser.add_argument("--told", action="store_true", help="times of slices tell interleaves")
    parser.add_argument("--tv", action="store_true", help="least squares with total variation, too")
    arguments = parser.parse_args()
    model = load_model(arguments.weights, "cpu")
    names = ("head", "noise", "moved, mm", "off, mm", "brightness", "best single", "mean", "merged")
    names += ("TV", "s")
    if arguments.banded:
        names += ("bands left", "by neighbours alone")
    print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}", flush=True)
    for path in arguments.volumes:
        whole = Volume.read(path)
        for percent in arguments.noise:
            for line in rows(model, whole, percent, arguments):
                print(line, flush=True)


def rows(
    model: Model, whole: Volume, percent: float, arguments: argparse.Namespace
) -> Iterator[str]:
    """One head at one level of noise: what comes of it without and, if asked, with interleaves."""
    seen = middle(whole.grid, arguments.crop)
    truth = whole.with_data(resample(whole, seen, "nearest").data, seen)
    span = float(np.percentile(whole.data, 99.95))
    generator = np.random.default_rng(0)
    centre = seen.to_world((np.array(seen.shape) - 1) / 2)
    axes = [int(digit) for digit in arguments.axes]
    true = [np.eye(4)] + [
        np.eye(4) if arguments.still else motion_of(generator, centre) for _ in axes[1:]
    ]
    within = np.random.default_rng(1)
    groups = [
        [motion]
        + [
            motion @ motion_of(within, centre, WITHIN_MM, WITHIN_DEGREES)
            for _ in range(1, arguments.interleaves if axis < 3 else 1)
        ]
        for axis, motion in zip(axes, true, strict=True)
    ]
    scans = [
        stack_of(
            *(whole, seen, axis, motions, percent / 100 * span, generator),
            *(arguments.box, arguments.told),
        )
        for axis, motions in zip(axes, groups, strict=True)
    ]
    gains = {
        int(n): generator.normal(0, BANDS, scans[int(n)].grid.shape[axes[int(n)]])
        for n in arguments.banded
    }
    for n, logs in gains.items():
        scans[n] = multiplied(scans[n], axes[n], logs)
    inner = np.zeros(seen.shape, bool)
    margin = MARGIN if arguments.crop else 0
    inner[tuple(slice(margin, n - margin) for n in seen.shape)] = True
    head = inner & (ndimage.gaussian_filter(truth.data, 1) > 0.1 * span)
    points = seen.to_world(np.argwhere(head)[::101])

    def psnr(image: np.ndarray) -> float:
        return float(20 * np.log10(span / np.sqrt(np.mean((image - truth.data)[inner] ** 2))))

    moved = max(apart(motion, np.eye(4), points) for motions in groups for motion in motions)
    asked = [None, arguments.find or arguments.interleaves]
    for interleaves in asked if arguments.find or arguments.interleaves > 1 else asked[:1]:
        started = time.perf_counter()
        found = int(interleaves) if str(interleaves).isdigit() else interleaves
        request = Request(Target(like=seen), even_slices=arguments.even_slices)
        made = bring_together(model, request, scans, seen, not arguments.still, interleaves=found)
        seconds = time.perf_counter() - started
        off = []
        for each, motion, motions in zip(made.seen, made.motions, groups, strict=True):
            poses = [pose @ motion for pose in each.interleaves.motions]
            n = math.lcm(len(poses), len(motions))
            off.append(
                [apart(poses[g % len(poses)], motions[g % len(motions)], points) for g in range(n)]
            )
        off[0] = off[0][1:]  # the frame
        tv = f"{total_variation(made, scans, psnr):.2f}" if arguments.tv else ""
        cells = [
            whole.name if interleaves is None else f"interleaves {interleaves}",
            f"{percent:g} %",
            f"{moved:.1f}",
            ", ".join("/".join(f"{each:.3f}" for each in of_scan) for of_scan in off if of_scan),
            ", ".join(f"{level.at(seen)[head].mean() - 1:+.2%}" for level in made.levels[1:]),
            f"{max(psnr(view.sharp) for view in made.views):.2f}",
            f"{psnr(made.guess):.2f}",
            f"{psnr(made.solved.image.numpy()):.2f}",
            tv,
            f"{seconds:.0f}",
        ]
        if gains:
            told = [made.seen[n].facts.get("even_slices", {}).get("factors", 1.0) for n in gains]
            alone = [even_slices(scans[n]).factors for n in gains]
            for factors_of in (told, alone):
                left = [
                    bands_left(scans[n], axes[n], logs - np.log(factors))
                    for (n, logs), factors in zip(gains.items(), factors_of, strict=True)
                ]
                cells.append(", ".join(f"{each:.2%}" for each in left))
        yield f"| {' | '.join(cells)} |"


def multiplied(scan: Volume, axis: int, logs: np.ndarray) -> Volume:
    """A scan with each of its slices multiplied by a factor, whose logarithm is given."""
    along = np.exp(logs).reshape([-1 if a == axis else 1 for a in range(3)])
    return scan.with_data(scan.data * along, scan.grid)


def bands_left(scan: Volume, axis: int, logs: np.ndarray) -> float:
    """How far slices are from the mean of their neighbours: the standard deviation, of those that
    have tissue and whose neighbours do.
    """
    slices = np.moveaxis(scan.data, axis, 0)
    full = (slices > 0.1 * slices.max()).mean(axis=(1, 2)) > TISSUE
    bands = logs[1:-1] - (logs[:-2] + logs[2:]) / 2
    return float(bands[full[1:-1] & full[:-2] & full[2:]].std())


def total_variation(
    made: Together, scans: list[Volume], psnr: Callable[[np.ndarray], float]
) -> float:
    """PSNR of the same least squares with total variation instead of a network, at its best weight.

    Lagged diffusivity (Vogel and Oman 1996), begun at the mean of cubic interpolations; poses,
    brightness and noise are those that were found with the network. The weight is the one that is
    best against the truth, which ours is not told.
    """
    common = made.common
    poses = zip(scans, made.motions, made.levels, made.views, strict=True)
    placed = [
        (
            Volume(scan.data, Grid(scan.grid.shape, np.linalg.inv(by) @ scan.grid.affine)),
            level,
            view,
        )
        for scan, by, level, view in poses
    ]
    cubic = [resample(scan, common).data * level.at(common) for scan, level, _ in placed]
    start = mean_of(cubic, [view.reach for _, _, view in placed])
    with torch.inference_mode():
        stacks = stacks_on(common, made.seen, made.motions, made.levels, start, made.mask)
        chosen = torch.from_numpy(np.flatnonzero(made.mask))
        problem = Problem(stacks, common.shape, chosen)
        data = problem.spread(stack.apart for stack in stacks)
        best = -np.inf
        for weight in TV_WEIGHTS:
            found = _with_tv(
                problem, data, torch.from_numpy(start), chosen, weight / made.solved.stacks[0].noise
            )
            best = max(best, psnr(found.numpy()))
    return best


def _with_tv(
    problem: Problem, data: torch.Tensor, start: torch.Tensor, chosen: torch.Tensor, weight: float
) -> torch.Tensor:
    """x0 + d by a few steps of reweighted least squares."""
    image, correction = start.clone(), torch.zeros(len(chosen))
    edge = TV_EDGE * float(start.max())
    for _ in range(TV_STEPS):
        slopes = [image.diff(dim=axis, append=image.narrow(axis, -1, 1)) for axis in range(3)]
        each = weight / (sum(s.square() for s in slopes) + edge**2).sqrt()

        def rough(values: torch.Tensor, each: torch.Tensor = each) -> torch.Tensor:
            total = torch.zeros_like(values)
            for axis in range(3):
                slope = values.diff(dim=axis, append=values.narrow(axis, -1, 1)) * each
                total -= slope
                n = values.shape[axis] - 1
                total.narrow(axis, 1, n).add_(slope.narrow(axis, 0, n))
            return total

        def normal(part: torch.Tensor, rough: Callable = rough) -> torch.Tensor:
            whole = torch.zeros(start.shape)
            whole.view(-1)[chosen] = part
            return problem.normal(part) + rough(whole).flatten()[chosen]

        right = data - rough(start).flatten()[chosen]
        step, _ = conjugate_gradients(normal, right - normal(correction))
        correction = correction + step
        image = start.flatten().index_add(0, chosen, correction).view(start.shape)
    return image


def middle(grid: Grid, side: int | None) -> Grid:
    """So many voxels along each axis, or all."""
    starts = [max(0, (n - side) // 2) if side else 0 for n in grid.shape]
    return grid.part([slice(s, s + (side or n)) for s, n in zip(starts, grid.shape, strict=True)])


if __name__ == "__main__":
    main()
