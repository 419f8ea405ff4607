"""Do two scans show one head in one contrast? What `arssr merge` measures of pairs that do and
do not.

    python benchmarks/merge_fit.py [--only "other"] [--weights light] [--keep runs/merge_fit.jsonl]

Pairs of images of ../shared/data, made thick, noisy, moved, cut and shaded, on voxels of 2.5 mm:
registered as `arssr merge` does it (with fewer samples) and compared as it does. Scans are
interpolated (cubic); --weights takes a network instead. A pair takes 3 to 5 s of one core, all
about 6 minutes; answers are kept, so that a run that was cut off goes on.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from keeping import Kept
from merge import apart, motion_of
from scipy import ndimage

from arssr.api import Model, load_model
from arssr.degradation import add_rician_noise, degrade, named_degradation
from arssr.errors import ArSSRError
from arssr.field import silent
from arssr.formats.slices import Slices
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.merging import poses
from arssr.merging.finding import find_motion
from arssr.merging.fit import likeness, local_correlation, require_fit, shown
from arssr.merging.poses import in_common
from arssr.merging.seen import see
from arssr.merging.stack import fading, fine_grid
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target
from arssr.volume import Volume

DATA = Path(__file__).parents[2] / "shared/data"
COMMON_MM = 2.5
IN_PLANE_MM = 1.25
SAMPLED = 15_000  # of the images, by registration: a tenth, which costs some hundredths of a mm
FINE = 4  # voxels of the truth, resampled, from slice to slice
HEADS = (
    "ds002748-72_T1w",
    "oasis-1003_T1w",
    "lh-05_T1w",
    "m2208_T2w",
    "karawun_FLAIR",
    "lumbar_T2w",
)
WHOLE = ("lh-05_T1w", "uih2_T1w")  # with a neck
SCANNERS = {  # heads of different people in one contrast on one scanner
    "ds002748": [f"ds002748-{n:02d}_T1w" for n in range(1, 15)],
    "lh": [f"lh-{n:02d}_T1w" for n in range(1, 7)],
    "OASIS": [f"oasis-{n}_T1w" for n in range(1000, 1008)],
}
MIXED = [
    ("m2307_T2w", "stroke_T2w"),
    ("openms-07_FLAIR", "openms-19_FLAIR"),
    ("fnndsc10y_T1w", "saganon_T1w"),
    ("niimath_T1w", "coregqa_T1w"),
]


@dataclass(frozen=True)
class How:
    """A scan that is made of a sharp one.

    axis: along which slices lie; 3 for none. mm: from slice to slice. percent: the noise, of the
    range. most: of motion, in mm and degrees along and about each axis. share: of the field of
    view that is left along the slices. shade: how many times brighter one corner is than the
    opposite one. within: by how much every second slice moves besides.
    """

    axis: int
    mm: float
    percent: float
    most: float = 0.0
    share: float = 1.0
    shade: float = 1.0
    within: float = 0.0


CASES = {
    "4 mm, noise 1 %": (How(2, 4, 1), How(0, 4, 1, most=5)),
    "6 mm, noise 5 %": (How(2, 6, 5), How(1, 6, 5, most=5)),
    "moved by up to 15 mm and 15°": (How(2, 6, 3), How(0, 6, 3, most=15)),
    "half the field of view": (How(2, 5, 3), How(0, 5, 3, most=5, share=0.5)),
    "a thin one, noise 5 %": (How(2, 5, 5), How(3, IN_PLANE_MM, 5, most=5)),
    "shaded by a factor of 2": (How(2, 5, 3), How(0, 5, 3, most=5, shade=2)),
    "shaded by a factor of 3, part, 6 mm, noise 5 %": (
        How(1, 6, 5),
        How(0, 6, 5, most=5, share=0.6, shade=3),
    ),
    "every second slice of both moved by 2 mm and 2°": (
        How(2, 4, 1, within=2),
        How(0, 4, 1, most=5, within=2),
    ),
}
GAPPED = named_degradation("slice-gap20")
THICK = CASES["6 mm, noise 5 %"]


def main() -> None:
    """Print what was found of each group of pairs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="groups whose name has this in it")
    parser.add_argument("--weights", help="a network makes scans fine, not cubic interpolation")
    parser.add_argument("--spacing", type=float, default=COMMON_MM, help="mm, of the comparison")
    parser.add_argument("--keep", type=Path, default=Path("runs/merge_fit.jsonl"))
    arguments = parser.parse_args()
    poses._SAMPLED = SAMPLED
    model = load_model(arguments.weights, "cpu") if arguments.weights else None
    kept = Kept(arguments.keep)
    groups: dict[str, list[list]] = {}
    for group, name, make in pairs():
        if arguments.only not in group:
            continue
        question = (group, name, arguments.weights or "cubic", f"{arguments.spacing:g} mm")
        answer = kept.get(question, lambda make=make: compared(*make(), model, arguments.spacing))
        groups.setdefault(group, []).append(answer)
    print(
        "| pairs | number | correlation | in windows: least | median | most | merged | off, mm |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for group, answers in groups.items():
        whole, local = (np.array([answer[n] for answer in answers]) for n in (0, 1))
        off = [answer[3] for answer in answers if answer[3] is not None]
        cells = [
            group,
            f"{len(answers)}",
            f"{whole.min():.2f} to {whole.max():.2f}",
            *(f"{value:.2f}" for value in (local.min(), np.median(local), local.max())),
            f"{sum(answer[2] == '' for answer in answers)}",
            f"{max(off):.1f}" if off else "",
        ]
        print(f"| {' | '.join(cells)} |")
    told = [a[2] for group, some in groups.items() if group.startswith("another") for a in some]
    wrongly = sum("another contrast than" in why for why in told)
    print(f"\n{wrongly} of {len(told)} pairs of two heads are taken for two contrasts")


Pair = tuple[Volume, Volume, np.ndarray | None]


def pairs() -> Iterator[tuple[str, str, Callable[[], Pair]]]:
    """Of each pair its group, its name, and what makes it: two scans and, where it is known, the
    motion from the space of the first to that of the second.
    """
    for n in (1003, 1004, 1005):
        both = f"oasis-{n}_T1w", f"oasis-{n + 20}_T1w"
        yield "one head, two sessions", f"{n}", lambda both=both: as_they_are(*both)
        yield "one head, two sessions", f"{n} thick", lambda both=both: made(*both, THICK)
    for scanner, heads in SCANNERS.items():
        for number, both in enumerate(zip(heads[::2], heads[1::2], strict=True)):
            yield (
                f"another head, same scanner ({scanner}): 6 mm, noise 5 %",
                " ".join(both),
                lambda both=both: made(*both, THICK),
            )
            if number % 2 == 0:
                yield (
                    f"another head, same scanner ({scanner}): thin",
                    " ".join(both),
                    lambda both=both: as_they_are(*both),
                )
    for both in MIXED:
        yield "another head, same contrast", " ".join(both), lambda both=both: as_they_are(*both)
    for one, other in (("T1w", "T2w"), ("T1w", "FLAIR"), ("T2w", "FLAIR")):
        both = f"stroke_{one}", f"stroke_{other}"
        yield "one head, another contrast", " ".join(both), lambda both=both: as_they_are(*both)
        name = f"{one} {other} thick"
        yield "one head, another contrast", name, lambda both=both: made(*both, THICK)
    both = "openms-01_study1_T1W", "openms-01_study1_FLAIR"
    yield "one head, another contrast", " ".join(both), lambda both=both: as_they_are(*both)
    for one, other in ((1, 3), (1, 5), (3, 5)):
        both = f"fetal_run-{one}_T2w", f"fetal_run-{other}_T2w"
        yield f"fetal stacks {one} and {other}", "", lambda both=both: as_they_are(*both)
    for case, hows in CASES.items():
        for head in HEADS:
            yield f"one head: {case}", head, lambda head=head, hows=hows: made(head, head, hows)
    for degrees in (5, 10):
        for head in WHOLE:
            yield (
                f"one head: its neck bends by {degrees}°",
                head,
                lambda head=head, degrees=degrees: made(
                    head, head, CASES["4 mm, noise 1 %"], degrees
                ),
            )


def read(name: str) -> Volume:
    """An image of ../shared/data."""
    [path] = DATA.glob(f"*/{name}.nii.gz")
    return Volume.read(path)


def as_they_are(one: str, other: str) -> Pair:
    """Two images."""
    return read(one), read(other), None


def made(one: str, other: str, hows: Sequence[How], bent: float = 0.0) -> Pair:
    """Two scans that are made of images. bent: degrees by which the second's neck bends."""
    generator = np.random.default_rng(0)
    first, second = read(one), read(other)
    whole = bend(second, bent) if bent else second
    (scan, _), (moved, motion) = (
        stack(truth, how, generator) for truth, how in zip((first, whole), hows, strict=True)
    )
    is_known = one == other and not hows[1].within
    return scan, moved, motion if is_known else None


def stack(truth: Volume, how: How, generator: np.random.Generator) -> tuple[Volume, np.ndarray]:
    """The scan, and the motion from the space of the truth to that of the scan."""
    grid = truth.grid
    centre = grid.to_world((np.array(grid.shape) - 1) / 2)
    motions = [np.eye(4)]
    if how.most:
        motions = [motion_of(generator, centre, how.most, how.most)]
    if how.within:
        motions.append(motions[0] @ motion_of(generator, centre, how.within, how.within))
    spacing = np.full(3, IN_PLANE_MM)
    spacing[how.axis :][:1] = how.mm / FINE if how.axis < 3 else IN_PLANE_MM
    fine = grid.with_spacing(spacing.tolist())
    if how.share < 1:
        n = fine.shape[how.axis]
        start = round((1 - how.share) * n * generator.uniform())
        box = [slice(0, length) for length in fine.shape]
        box[how.axis] = slice(start, start + round(how.share * n))
        fine = fine.part(box)
    shaded = truth.data * shading(grid, how.shade, generator)
    sigma = how.percent / 100 * float(np.percentile(shaded, 99.95))
    groups = []
    for motion in motions:
        seen = resample(Volume(shaded, Grid(grid.shape, motion @ grid.affine)), fine)
        scale = tuple(FINE if axis == how.axis else 1 for axis in range(3))
        groups.append(seen if how.axis == 3 else degrade(seen, scale, GAPPED))
    data = groups[0].data.copy()
    for number, group in enumerate(groups):
        slices = (slice(None),) * how.axis + (slice(number, None, len(groups)),)
        data[slices[:3]] = group.data[slices[:3]]
    noisy = add_rician_noise(data, sigma, generator)
    if how.axis == 3:
        return Volume(noisy, groups[0].grid), motions[0]
    told = Slices(how.axis, 0.8 * how.mm, how.mm)
    return Volume(noisy, groups[0].grid, slices=told), motions[0]


def shading(grid: Grid, factor: float, generator: np.random.Generator) -> np.ndarray:
    """(I, J, K) so many times brighter in one corner than in the opposite one."""
    direction = generator.standard_normal(3)
    direction /= np.abs(direction).sum()
    sides = (np.linspace(-0.5, 0.5, n) * d for n, d in zip(grid.shape, direction, strict=True))
    along = sum(np.meshgrid(*sides, indexing="ij", sparse=True))
    return np.asarray(factor**along, np.float32)


def bend(whole: Volume, degrees: float) -> Volume:
    """A head that nods: what lies in the lower third turns about the left-right axis, the more
    the lower it is.
    """
    points = whole.grid.to_world(np.moveaxis(np.indices(whole.grid.shape), 0, -1))
    y, z = points[..., 1], points[..., 2]
    pivot_y, pivot_z = float(np.median(y)), float(np.quantile(z, 1 / 3))
    below = np.clip((pivot_z - z) / (pivot_z - z.min()), 0, 1)
    turn = np.radians(degrees) * below
    dy, dz = y - pivot_y, z - pivot_z
    points[..., 1] = pivot_y + np.cos(turn) * dy - np.sin(turn) * dz
    points[..., 2] = pivot_z + np.sin(turn) * dy + np.cos(turn) * dz
    at = np.moveaxis(whole.grid.to_index(points), -1, 0)
    return whole.with_data(ndimage.map_coordinates(whole.data, at, order=3), whole.grid)


def compared(
    first: Volume, second: Volume, true: np.ndarray | None, model: Model | None, mm: float
) -> list:
    """The correlation over 2 mm, `local_correlation`, why it is refused, and how far it lies off,
    in mm, on average over the head.
    """
    common = first.grid.with_spacing(mm)
    request = Request(Target(like=common))
    sharp = [
        see(model, request, scan, common, silent).sharp
        if model
        else resample(scan, fine_grid(scan.grid, common))
        for scan in (first, second)
    ]
    motions = [np.eye(4), find_motion(*sharp)]
    points = common.to_world(np.moveaxis(np.indices(common.shape), 0, -1))
    views = []
    for scan, image, motion in zip((first, second), sharp, motions, strict=True):
        there = in_common(scan.grid, motion)
        data = resample(Volume(image.data, in_common(image.grid, motion)), common).data
        views.append((scan.label, data, fading(there, there.to_index(points))))
    (_, one, reach), (_, two, other_reach) = views
    both = shown(one, common) & (np.minimum(reach, other_reach) > 0.5)
    why = ""
    try:
        require_fit(views, common)
    except ArSSRError as error:
        why = str(error)
    off = None
    if true is not None:
        off = apart(motions[1], true, points[both][::101])
    whole = likeness(one, two, both, common)[0]
    return [whole, local_correlation(one, two, both, common), why, off]


if __name__ == "__main__":
    main()
