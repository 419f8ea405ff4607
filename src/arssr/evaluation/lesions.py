"""Lesions of known size and contrast, put into a high-resolution image, and what comes back of
them after it was degraded and super-resolved.

All is measured on differences: that of two results, with and without the lesions, against that of
the two truths. Anatomy, noise and errors that are there in both cases drop out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from arssr.grid import Floats, Shape
from arssr.volume import Volume

NEAR = 2.0  # input voxels from a lesion's surface: what differs farther away is false structure
_AT_THE_LESION = 1.0  # input voxels within which its peak is looked for
_ELONGATED = (1.0, 1.0, 2.0)  # axes of an ellipsoid, before they are brought to the volume wanted
_INSIDE = 0.8  # share of a lesion that must lie in tissue
_TRIES = 2000  # places that are tried for a lesion
_LINES = 16  # by which a voxel is sampled along its first two axes; the third is exact
_TISSUE = 0.4  # of the foreground's median: what is darker is air, bone or (T1w, FLAIR) fluid
_FOREGROUND = 0.1  # of the 99.95th percentile, as in `degradation.degrade`


@dataclass(frozen=True)
class Lesion:
    """An ellipsoid of one contrast.

    centre_ijk: in voxels of the truth, fractions allowed. form: (3, 3), takes offsets from the
    centre, in voxels of the truth, to those from the centre of the unit sphere. diameter: in
    input voxels, of the sphere of the same volume. contrast: what is added, in the image's units.
    """

    centre_ijk: Floats
    form: Floats
    diameter: float
    contrast: float

    @classmethod
    def sphere(
        cls, centre_ijk: Sequence[float], radius: float, diameter: float, contrast: float
    ) -> "Lesion":
        """A sphere with this radius in voxels of the truth."""
        return cls(np.asarray(centre_ijk, float), np.eye(3) / radius, diameter, contrast)

    @property
    def reach_ijk(self) -> Floats:
        """(3,) how far it extends from its centre along each axis, in voxels of the truth."""
        reach: Floats = np.linalg.norm(np.linalg.inv(self.form), axis=1)
        return reach

    @property
    def volume(self) -> float:
        """In voxels of the truth."""
        return 4 / 3 * math.pi / abs(float(np.linalg.det(self.form)))


def occupied(lesion: Lesion, shape: Shape) -> tuple[tuple[slice, slice, slice], Floats]:
    """Which share of each voxel a lesion takes: a box of the image, and the shares in it.

    Along the third axis that is exact, along the others the mean over 16 × 16 lines a voxel.
    """
    first = np.maximum(np.floor(lesion.centre_ijk - lesion.reach_ijk + 0.5), 0).astype(int)
    last = np.minimum(np.floor(lesion.centre_ijk + lesion.reach_ijk + 0.5), np.array(shape) - 1)
    i, j, k = (slice(a, max(b + 1, a)) for a, b in zip(first, last.astype(int), strict=True))
    x, y = (
        (np.arange(s.start, s.stop)[:, None] + (np.arange(_LINES) + 0.5) / _LINES - 0.5).ravel() - c
        for s, c in zip((i, j), lesion.centre_ijk, strict=False)
    )
    metric = lesion.form.T @ lesion.form  # |form · offset|² = offsetᵀ · metric · offset
    across = (
        metric[0, 0] * x[:, None] ** 2 + metric[1, 1] * y**2 + 2 * metric[0, 1] * x[:, None] * y - 1
    )
    lean = metric[0, 2] * x[:, None] + metric[1, 2] * y
    root = lean**2 - metric[2, 2] * across
    half = np.sqrt(np.maximum(root, 0)) / metric[2, 2]
    middle = lesion.centre_ijk[2] - lean / metric[2, 2]
    planes = np.arange(k.start, k.stop)
    top = np.minimum((middle + half)[..., None], planes + 0.5)
    bottom = np.maximum((middle - half)[..., None], planes - 0.5)
    inside = np.where(root[..., None] > 0, np.maximum(top - bottom, 0), 0)
    lines = inside.reshape(i.stop - i.start, _LINES, j.stop - j.start, _LINES, len(planes))
    return (i, j, k), lines.mean(axis=(1, 3))


def with_lesions(truth: Volume, lesions: Sequence[Lesion]) -> Volume:
    """The image with lesions added, each voxel by the share that they take of it.

    Nothing gets darker than the darkest voxel of the image.
    """
    data = truth.data.astype(np.float64)
    for lesion in lesions:
        box, share = occupied(lesion, truth.grid.shape)
        data[box] += lesion.contrast * share
    return truth.with_data(np.maximum(data, truth.data.min()), truth.grid)


def tissue_of(image: NDArray[np.floating]) -> tuple[NDArray[np.bool_], float]:
    """Where there is tissue, and its median intensity."""
    foreground = image > _FOREGROUND * np.percentile(image, 99.95)
    tissue = image > _TISSUE * np.median(image[foreground])
    return tissue, float(np.median(image[tissue]))


def scattered(
    truth: Volume,
    scale_ijk: Sequence[float],
    diameters: Sequence[float],
    contrasts: Sequence[float],
    seed: int,
) -> list[Lesion]:
    """A lesion of every diameter and contrast, at random places in tissue, as far as they fit.

    Half of them, by chance, are spheres, the others ellipsoids twice as long as wide, turned at
    random. Between any two surfaces there are twice `NEAR` input voxels, about.

    scale_ijk: voxels of the truth per input voxel. diameters: in input voxels; where these are
    longer along one axis, of their longest side. contrasts: as shares of the tissue's median.
    """
    generator = np.random.default_rng(seed)
    tissue, median = tissue_of(truth.data)
    places = np.argwhere(tissue)
    clear = 2 * NEAR * np.asarray(scale_ijk)
    found: list[Lesion] = []
    for diameter in sorted(diameters, reverse=True):  # the large ones first, or they never fit
        for contrast in contrasts:
            elongated = np.array(_ELONGATED if generator.random() < 0.5 else (1.0, 1.0, 1.0))
            radii = diameter * max(scale_ijk) / 2 * elongated / np.prod(elongated) ** (1 / 3)
            turn = Rotation.random(random_state=generator).as_matrix()
            form = np.diag(1 / radii) @ turn
            for at in generator.choice(places, _TRIES):
                centre = at + generator.uniform(-0.5, 0.5, 3)
                lesion = Lesion(centre, form, diameter, contrast * median)
                if _fits(lesion, tissue, found, clear):
                    found.append(lesion)
                    break
    return found


def _fits(
    lesion: Lesion, tissue: NDArray[np.bool_], others: Sequence[Lesion], clear: Floats
) -> bool:
    """Whether a lesion lies in tissue, inside the image and far from the others."""
    at, reach = lesion.centre_ijk, lesion.reach_ijk
    if (at - reach < -0.5).any() or (at + reach > np.array(tissue.shape) - 0.5).any():
        return False
    for other in others:
        if (((at - other.centre_ijk) / (reach + other.reach_ijk + clear)) ** 2).sum() < 1:
            return False
    box, share = occupied(lesion, tissue.shape)
    return float((share * tissue[box]).sum()) >= _INSIDE * float(share.sum())


class Recovery(NamedTuple):
    """What a result shows of one lesion; the truth itself has 1, 1, 1, 1, 0.

    All are shares of what the truth shows. contrast: the mean difference over the lesion, each
    voxel weighted by how much of it the lesion takes. peak: the largest difference up to one input
    voxel from it. signal: the sum of differences up to `NEAR` input voxels from it. volume: there,
    voxels that differ by at least half of the truth's largest difference, what a reader outlines
    at half of the contrast. false_peak: the largest absolute difference farther away (and nearer
    to it than to any other lesion), over the truth's largest at the lesion.
    """

    contrast: float
    peak: float
    signal: float
    volume: float
    false_peak: float


class Comparison:
    """The difference that lesions make to a truth, against which those of results are measured."""

    def __init__(
        self, truth: Volume, lesions: Sequence[Lesion], scale_ijk: Sequence[float]
    ) -> None:
        self.lesions = tuple(lesions)
        self._truth = with_lesions(truth, lesions).data.astype(np.float64) - truth.data
        owner = np.zeros(truth.grid.shape, np.int32)
        for number, lesion in enumerate(lesions, 1):
            box, share = occupied(lesion, truth.grid.shape)
            owner[box][share > 0] = number
        self._away, nearest = ndimage.distance_transform_edt(
            owner == 0, sampling=1 / np.asarray(scale_ijk), return_indices=True
        )
        self._owner = owner[tuple(nearest)]

    def of(self, difference: NDArray[np.floating]) -> list[Recovery]:
        """What a result shows of each lesion.

        difference: (I, J, K), the result with the lesions less that without, on the truth's grid.
        """
        return [
            self._of_one(difference, number, math.copysign(1, lesion.contrast))
            for number, lesion in enumerate(self.lesions, 1)
        ]

    def false_energy(self, difference: NDArray[np.floating]) -> float:
        """The energy of all that differs farther than `NEAR` from any lesion, of the truth's."""
        far = difference[self._away > NEAR].astype(np.float64)
        return float((far**2).sum() / (self._truth**2).sum())

    def _of_one(self, difference: NDArray[np.floating], number: int, sign: float) -> Recovery:
        own = self._owner == number
        away = self._away[own]
        true, seen = sign * self._truth[own], sign * difference[own].astype(np.float64)
        near, far = away <= NEAR, away > NEAR
        highest = true.max()
        return Recovery(
            contrast=float((seen * true).sum() / (true**2).sum()),
            peak=float(seen[away <= _AT_THE_LESION].max() / highest),
            signal=float(seen[near].sum() / true.sum()),
            volume=float((seen[near] >= highest / 2).sum() / (true >= highest / 2).sum()),
            false_peak=float(np.abs(seen[far]).max(initial=0) / highest),
        )


def smallest_surviving(contrasts: Mapping[float, float], share: float) -> float | None:
    """The diameter from which on every lesion keeps that share of its contrast, on average.

    contrasts: diameter → mean. Linear in between; the smallest diameter where all of them keep
    it, and None where the largest does not.

    >>> smallest_surviving({1: 0.4, 2: 0.8, 3: 0.9}, 0.5)
    1.25
    """
    known = sorted(contrasts.items(), reverse=True)
    if known[0][1] < share:
        return None
    for (above, more), (below, less) in pairwise(known):
        if less < share:
            return below + (above - below) * (share - less) / (more - less)
    return known[-1][0]
