"""Groups of slices that moved against each other within a stack.

2D scans are often acquired interleaved: slices 0, N, 2N, … first, then 1, N + 1, …, and who moves
in between moves one group against the other. Where times of slices tell in which passes they were
measured, groups are these. The pose of each is refined on its measured samples themselves: steps of
Gauss and Newton on ‖M (g A(T) x − y)‖², x being what the other scans say at the poses known so far,
a few rounds over all scans. That is done on coarser voxels, which are fewer and tell as well of
motions of parts of a millimetre.

What others say is needed from another direction: slices of one stack that lie beside each other
hardly overlap, and say of each other only that anatomy is smooth.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, stats
from scipy.spatial.transform import Rotation
from torch import Tensor

from arssr.errors import ArSSRError
from arssr.field import ReportProgress, silent
from arssr.grid import Floats, Grid
from arssr.interpolation import resample
from arssr.merging.brightness import Brightness
from arssr.merging.posed import Interleaves, Posed
from arssr.merging.poses import in_common
from arssr.merging.profiles import with_profile
from arssr.merging.sampling import coefficients_of
from arssr.merging.seen import Seen
from arssr.merging.solve import solve
from arssr.merging.stack import fine_grid
from arssr.merging.stacks import head_mask, mean_of, stacks_on
from arssr.volume import Volume

Asked = int | Literal["auto"]

_FEWEST = 3  # slices in each
_CROSSING = np.cos(np.radians(30))  # of two normals; less is another direction
# Voxels are so large, or half of what it is from slice to slice where that is less.
_VOXELS_MM = 2.0
# Rounds: first others' results are only averaged, and compared after a wide Gaussian within slices,
# which finds what lies farther off than details are large; then what others measured is fitted
# as well, until nothing moves any more. Of three groups each, off by 1.1 to 2.5 mm, in a piece of
# karawun with slices 3.2 mm apart 0.04 mm were left at most, without Gaussians 0.16 mm
# (benchmarks/merge.py --crop 88 --noise 1 --interleaves 3). Each round is that many steps for each
# scan.
_MEANS, _ROUNDS, _STEPS = 2, 6, 2
_SMOOTH_MM = 4.0, 2.0
_STILL_MM = 0.05
_RADIUS_MM = 50.0  # at which a rotation is as long as a shift
_SMALL_MM = 0.1  # by which tangents are taken
_SEEN = 0.99  # of what is measured, where an image says what motion changed
# Of `auto`: groups must explain more per pose than slices do that move each on its own, by a test
# of F. In pieces of karawun and m2208 at rest (70 and 88 mm, 22 slices, noise of 1 and 3 %) the
# smallest chance was 5e-4; where groups had moved by 0.4 to 2.5 mm, at most 7e-7, and the right
# number had the largest F.
_AMONG = (2, 3, 4)
_BY_CHANCE, _MOVED_MM = 1e-5, 0.1
# Of passes that are told: this share of neighbours at least is of different ones. Three passes of
# neighbours, which explain what varies slowly from slice to slice, had chances of 2e-6 and 8e-6 in
# a piece of lh-14 at rest (64 mm, noise of 1 and 3 %), five interleaved ones of 0.1 and 0.2.
_INTERLEAVED = 0.5
_COUNTS = 0.05  # of the brightest slice; one with less tells nothing


def require_interleaves(asked: object, separate: bool, even_slices: bool) -> None:
    """Refuse what is no number of interleaves, and scans that tell nothing of each other."""
    if asked is None:
        return
    if asked != "auto" and not (isinstance(asked, int) and asked > 1):
        raise ArSSRError(f"interleaves are 2 or more, or auto, not {asked}")
    if separate:
        raise ArSSRError(
            "interleaves are found by what scans of one contrast say of each other; they do not "
            "go with --separate (separate=True)"
        )
    if even_slices:
        raise ArSSRError(
            "slices that moved cannot be told from uneven ones; interleaves do not go with "
            "--even-slices (even_slices=True)"
        )


def most_interleaves(asked: Asked, scan: Volume) -> int:
    """How many a scan may have."""
    if asked != "auto":
        return asked
    return max(*_AMONG, 1 + max(_passes(scan), default=0))


def find_interleaves(
    seen: Sequence[Seen],
    motions: Sequence[Floats],
    levels: Sequence[Brightness],
    common: Grid,
    asked: Asked,
    centre: Floats,
    progress: ReportProgress = silent,
) -> tuple[list[Seen], list[Floats]]:
    """The scans with their interleaves, and the motions from the common space to the first of each.

    The common space is then that of the first interleaves of the first scan. asked: how many there
    are in each scan that has slices; auto: the passes that times of slices tell, or 2 to 4, where
    these surely moved, else one. If there is one in all, motions are those that were given.
    centre: (3,) of the head.

    Raises ArSSRError where no scan has enough slices, or none that another scan crosses.
    """
    fewest = _FEWEST * (min(_AMONG) if asked == "auto" else asked)
    stacks = _stacks_that_are_crossed(seen, fewest)
    if not stacks and asked != "auto":
        raise ArSSRError(
            "no scan can be divided into interleaves (--interleaves, interleaves=): that takes one "
            f"of {fewest} thick slices or more, and beside it a thin one or one of slices in "
            "another direction"
        )
    if not stacks:
        return list(seen), list(motions)
    distances = (float(seen[n].scan.grid.spacing_mm[seen[n].interleaves.axis]) for n in stacks)
    voxels_mm = min(_VOXELS_MM, min(distances) / 2)
    coarse = common.with_spacing(np.maximum(common.spacing_mm, voxels_mm).tolist())
    search = _Search.begin(seen, motions, levels, coarse, centre)
    if asked != "auto":
        for number in stacks:
            search.divide(number, search.seen[number].interleaves.divided(asked))
    for turn in range(_MEANS + _ROUNDS):
        fit, smooth_mm = turn >= _MEANS, _SMOOTH_MM[int(turn >= _MEANS)]
        farthest = 0.0
        for number in range(len(seen)):
            progress("interleaves", (turn + number / len(seen)) / (_MEANS + _ROUNDS))
            image = search.of_others(number, fit)
            search.take_profile(number, image)
            if asked == "auto" and number in stacks:
                search.divide_if_clear(number, image, smooth_mm)
            for _ in range(_STEPS):
                farthest = max(farthest, search.step(number, image, smooth_mm))
        search.place()
        if fit and farthest < _STILL_MM:
            break
    if all(each.interleaves.count == 1 for each in search.seen):
        return list(seen), list(motions)
    found = zip(seen, search.seen, strict=True)
    return [replace(each, interleaves=by.interleaves) for each, by in found], search.motions


def unmoved(each: Seen, motion: Floats, level: Brightness, image: Tensor, common: Grid) -> Volume:
    """The scan as it would be, had all its slices lain where those of its first interleaves did.

    image: the merged one, which says what their motion changed.
    """
    where = (each.acquisition, common, each.sharp.grid, motion)
    moved, still = (Posed(*where, i) for i in (each.interleaves, each.interleaves.divided(1)))
    coefficients = coefficients_of(image)
    changed = still.measure(coefficients) - moved.measure(coefficients)
    changed *= (still.seen_share() > _SEEN) & (moved.seen_share() > _SEEN)
    grid = each.acquisition.grid
    changed /= torch.from_numpy(level.at(in_common(grid, motion)))
    onto_scan = resample(Volume(changed.numpy(), grid), each.scan.grid).data
    data = np.maximum(each.scan.data + onto_scan, each.scan.data.min())
    return each.scan.with_data(data, each.scan.grid)


@dataclass
class _Search:
    """What is known so far, on coarse voxels.

    lit, reaches: what each scan alone says, and how much that counts.
    """

    seen: list[Seen]
    motions: list[Floats]
    levels: Sequence[Brightness]
    lit: list[NDArray[np.float32]]
    reaches: list[NDArray[np.float32]]
    mask: NDArray[np.bool_]
    coarse: Grid
    centre: Floats

    @classmethod
    def begin(
        cls,
        seen: Sequence[Seen],
        motions: Sequence[Floats],
        levels: Sequence[Brightness],
        coarse: Grid,
        centre: Floats,
    ) -> "_Search":
        """Each scan at its motion, in one piece."""
        coarser = [_on_coarse(each, coarse) for each in seen]
        nothing = np.zeros(coarse.shape, np.float32)
        images, everywhere = [nothing] * len(seen), np.ones(coarse.shape, bool)
        search = cls(coarser, list(motions), levels, images, images[:], everywhere, coarse, centre)
        search.place()
        noise = max(each.noise * of.factor for each, of in zip(coarser, levels, strict=True))
        search.mask = head_mask(mean_of(search.lit, search.reaches), noise, coarse)
        return search

    def place(self) -> None:
        """Make the first scan's first group the frame, and put there what each scan alone says, its
        slices in one piece, at the mean of their motions.
        """
        to_common = np.linalg.inv(self.motions[0])
        self.motions = [motion @ to_common for motion in self.motions]
        for number, (each, motion) in enumerate(zip(self.seen, self.motions, strict=True)):
            mean = np.mean(each.interleaves.motions, axis=0) @ motion
            self.lit[number] = each.on(self.coarse, mean) * self.levels[number].at(self.coarse)
            self.reaches[number] = each.reach(self.coarse, mean)

    def of_others(self, number: int, fit: bool) -> Tensor:
        """The image that all scans but one make: their mean, or what fits what they measured."""
        by = [n for n in range(len(self.seen)) if n != number]
        guess = mean_of([self.lit[n] for n in by], [self.reaches[n] for n in by])
        if not fit:
            return torch.from_numpy(guess)
        stacks = stacks_on(
            self.coarse,
            [self.seen[n] for n in by],
            [self.motions[n] for n in by],
            [self.levels[n] for n in by],
            guess,
            self.mask,
        )
        return solve(stacks, torch.from_numpy(guess), self.mask).image

    def take_profile(self, number: int, image: Tensor) -> None:
        """Take its slices for Gaussians or trapezoids, as the others tell: a wrong profile biases
        poses. Boxes taken for Gaussians on a phantom (`interleaves_that_moved` of the tests): off
        by up to 0.44 mm; with this 0.22 mm, as where slices are Gaussian.
        """
        each, motion, level = self.seen[number], self.motions[number], self.levels[number]
        others = [(image.numpy(), self.mask)]
        self.seen[number] = with_profile(each, motion, level, others, self.coarse)

    def divide(self, number: int, slices: Interleaves) -> None:
        """Take a scan for one of such interleaves, which have not moved yet."""
        self.seen[number] = replace(self.seen[number], interleaves=slices)

    def divide_if_clear(self, number: int, image: Tensor, smooth_mm: float) -> None:
        """Take it for as many as surely move for themselves, if that was not done yet."""
        each = self.seen[number]
        slices, passes = each.interleaves, _passes(each.scan)
        if slices.count > 1:
            return
        columns, left = self._tangents(number, image, smooth_mm)
        others = [axis for axis in range(3) if axis != slices.axis]
        bright = columns[-1].square().sum(dim=others)
        n = int((bright > _COUNTS * bright.max()).sum())
        _, by_one = _steps(columns, left, slices)
        _, by_each = _steps(columns, left, slices.divided(len(bright)))
        clearest = 0.0
        counts = [count for count in _AMONG if len(bright) >= _FEWEST * count]
        for divided in [slices.by_passes(passes)] if passes else map(slices.divided, counts):
            count = divided.count
            if n <= count:
                continue
            small, explained = _steps(columns, left, divided)
            more, rest = (explained - by_one) / (count - 1), (by_each - explained) / (n - count)
            ratio = more / max(rest, 1e-30)
            degrees = len(columns) * (count - 1), len(columns) * (n - count)
            apart = np.linalg.norm(small - small.mean(axis=0), axis=1).max()
            if stats.f.sf(ratio, *degrees) < _BY_CHANCE and apart > _MOVED_MM and ratio > clearest:
                clearest = ratio
                self.divide(number, divided)

    def step(self, number: int, image: Tensor, smooth_mm: float) -> float:
        """Move each group of a scan to where it explains more of what it measured.

        Returns by how many mm the farthest was moved, see `_small`.
        """
        each, motion = self.seen[number], self.motions[number]
        columns, left = self._tangents(number, image, smooth_mm)
        small, _ = _steps(columns, left, each.interleaves)
        moved = [
            of_group @ motion @ _small(by, self.centre)
            for of_group, by in zip(each.interleaves.motions, small, strict=True)
        ]
        relative = tuple(pose @ np.linalg.inv(moved[0]) for pose in moved)
        slices = replace(each.interleaves, motions=relative)
        self.seen[number], self.motions[number] = replace(each, interleaves=slices), moved[0]
        return float(np.linalg.norm(small, axis=1).max())

    def _tangents(self, number: int, image: Tensor, smooth_mm: float) -> tuple[Tensor, Tensor]:
        """How what a scan measures of an image changes with six motions and a factor, (7, I, J, K);
        and what is left to explain, (I, J, K); in units of the noise, as far as it counts, after a
        Gaussian within slices.
        """
        each, motion = self.seen[number], self.motions[number]
        level, guess = self.levels[number], image.numpy()
        [stack] = stacks_on(self.coarse, [each], [motion], [level], guess, self.mask)
        coefficients, weights = coefficients_of(image), stack.counts / stack.noise
        fine = each.sharp.grid

        def measured(along: Floats) -> Tensor:
            there = motion @ _small(along, self.centre)
            posed = Posed(each.acquisition, self.coarse, fine, there, each.interleaves)
            return posed.measure(coefficients) * weights

        still = measured(np.zeros(6))
        moved = [(measured(_SMALL_MM * by) - still) / _SMALL_MM for by in np.eye(6)]
        sigma = smooth_mm / each.acquisition.grid.spacing_mm
        sigma[each.interleaves.axis] = 0
        smooth = [
            torch.from_numpy(ndimage.gaussian_filter(x.numpy(), sigma, mode="constant"))
            for x in (*moved, still, stack.apart)
        ]
        return torch.stack(smooth[:-1]), smooth[-1]


def _stacks_that_are_crossed(seen: Sequence[Seen], fewest: int) -> list[int]:
    """The numbers of scans that have so many slices, and of whose motion others can tell."""
    normals = [_normal(each) for each in seen]
    found = []
    for number, (each, normal) in enumerate(zip(seen, normals, strict=True)):
        if normal is None or each.scan.grid.shape[each.interleaves.axis] < fewest:
            continue
        others = [other for n, other in enumerate(normals) if n != number]
        if any(other is None or abs(float(other @ normal)) < _CROSSING for other in others):
            found.append(number)
    return found


def _passes(scan: Volume) -> tuple[int, ...]:
    """In which pass each slice was measured; () where that is not told, one has too few slices, or
    they are not interleaved.
    """
    passes = () if scan.slices is None else scan.slices.passes
    if not passes or np.bincount(passes).min() < _FEWEST:
        return ()
    return passes if np.mean(np.diff(passes) != 0) > _INTERLEAVED else ()


def _normal(each: Seen) -> Floats | None:
    """(3,) at right angles to the slices of a 2D acquisition; None where there are none, or where
    what was measured is no longer on them.
    """
    scan, axis = each.scan, each.interleaves.axis
    three_d = scan.slices is not None and scan.slices.three_d
    if not each.profiles or three_d or each.acquisition.grid.shape[axis] != scan.grid.shape[axis]:
        return None
    across = np.linalg.inv(scan.grid.affine[:3, :3])[axis]
    return np.asarray(across / np.linalg.norm(across))


def _on_coarse(each: Seen, coarse: Grid) -> Seen:
    """A scan as it was measured of, and looks on, a coarser grid."""
    fine = fine_grid(each.scan.grid, coarse)
    profiles = tuple(profile.onto(fine) for profile in each.profiles)
    acquisition = profiles[0] if profiles else each.acquisition.onto(fine)
    return replace(
        each,
        sharp=resample(each.sharp, fine),
        acquisition=acquisition,
        profiles=profiles,
        measured=acquisition.measured(each.measured),
        noise=each.noise * acquisition.noise_left,
    )


def _steps(columns: Tensor, left: Tensor, interleaves: Interleaves) -> tuple[Floats, float]:
    """(N, 6) by how many mm each group moves, see `_small`; and the squares that this explains."""
    small, explained = [], 0.0
    for number in range(interleaves.count):
        where = interleaves.of(number)
        of_group = columns[(slice(None), *where)].flatten(1).double()
        right = of_group @ left[where].flatten().double()
        step = torch.linalg.lstsq(of_group @ of_group.mT, right[:, None]).solution[:, 0]
        small.append(step[:6].numpy())
        explained += float(step @ right)
    return np.array(small), explained


def _small(along: Floats, centre: Floats) -> Floats:
    """(4, 4) a motion of so many mm along three axes, and at `_RADIUS_MM` about them."""
    turn = Rotation.from_rotvec(along[3:] / _RADIUS_MM).as_matrix()
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = turn, centre + along[:3] - turn @ centre
    return motion
