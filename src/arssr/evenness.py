"""Slices that differ in brightness from their neighbours, as those of 2D scans do, made even.

Slices are excited one after the other, often every second one first; between two neighbours the
magnetisation has recovered by another share, or the patient has moved. What comes of it is a gain:
the same factor everywhere in a slice. Anatomy is not the same everywhere in a slice, nor does it
stop at the next one. So

- a slice is compared with the mean of its two neighbours, in logarithms, where these two agree;
- in blocks: the median block says how much brighter it is, the scatter of the blocks how sure
  that is;
- of all slices together it is judged how large gains and anatomy are (the likeliest pair of
  standard deviations), and each gain is estimated accordingly. Where anatomy explains all there
  is, nothing is changed.

What varies slowly over many slices, as a coil's sensitivity does, is no band and stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.intensity import MEDIAN_OF_NORMAL
from arssr.volume import Volume

_AXES = "ijk"
_TISSUE = 0.2  # of the 98th percentile of what is above zero; darker is air, bone and liquid
_AGREE = 0.1  # the neighbours of a slice, to this share, once their medians are the same
_BLOCK_MM = 16.0
_OF_BLOCK = 0.2  # the share of a block's pixels that must be of use
_FEWEST_BLOCKS = 4
_FEWEST_SLICES = 5
_FEWEST_VOXELS = 100  # of use in a slice
_LEAST_ERROR = 1e-4
_DECIMALS = 5  # of factors, in files as in use: a file says by what exactly a scan was divided
# Standard deviations, of logarithms, among which the likeliest are looked for.
_GAINS = np.array([0.0, *np.geomspace(0.003, 0.3, 20)])
_ANATOMY = np.geomspace(0.003, 0.1, 12)
_MEDIAN_FROM_MEAN = np.sqrt(np.pi / 2)  # how much less sure a median is than a mean


@dataclass(frozen=True)
class Evened:
    """A scan whose slices are even, and what each was divided by, (n,) along `axis`.

    compared: how many slices had enough in common with their neighbours to be compared with them.
    """

    volume: Volume
    axis: int
    factors: NDArray[np.float64]
    compared: int

    @property
    def is_changed(self) -> bool:
        """Whether any slice was divided by anything but 1."""
        return bool((self.factors != 1).any())

    def describe(self) -> dict[str, Any]:
        """Plain values, for a file."""
        return {
            "in_words": self.in_words(),
            "axis": _AXES[self.axis],
            "factors": self.factors.tolist(),
        }

    def in_words(self) -> str:
        """One sentence for whoever asked for it.

        >>> from arssr.grid import Grid
        >>> scan = Volume(np.ones((2, 2, 3)), Grid((2, 2, 3), np.diag([1, 1, 5, 1])))
        >>> Evened(scan, 2, np.array([1.0, 1.08, 0.97]), 1).in_words()
        'slices along k were evened: divided by 0.97 to 1.08, the farthest from 1 is slice 1'
        """
        if not self.compared:
            return (
                f"slices along {_AXES[self.axis]} could not be compared with their neighbours, too "
                "little in them is above zero and alike: none was evened"
            )
        if not self.is_changed:
            return (
                f"no slice along {_AXES[self.axis]} is brighter or darker than its neighbours by "
                "one factor all over: nothing was changed"
            )
        off = np.abs(np.log(self.factors))
        return (
            f"slices along {_AXES[self.axis]} were evened: divided by {self.factors.min():.3g} to "
            f"{self.factors.max():.3g}, the farthest from 1 is slice {off.argmax()}"
        )


def even_slices(scan: Volume, expected: NDArray[np.float32] | None = None) -> Evened:
    """Divide each slice by what it is brighter than its neighbours, all over.

    Slices lie along the axis that headers name, or along that with the thickest voxels.
    expected: (I, J, K) what the scan would show if it were even, as far as that is known, but for
    what varies slowly from slice to slice; 0 where it is not. Slices are compared by how much
    brighter they are than that, so that anatomy drops out; where too little is known, as without.

    Raises ArSSRError where neither is there, and where slices are too few to be compared.
    """
    axis = _require_slice_axis(scan)
    count = scan.grid.shape[axis]
    if count < _FEWEST_SLICES:
        raise ArSSRError(
            f"{scan.name} has {count} slices: to even them (--even-slices, even_slices=True) "
            f"there must be at least {_FEWEST_SLICES}"
        )
    in_plane_mm = np.delete(scan.grid.spacing_mm, axis)
    slices = np.moveaxis(scan.data, axis, 0)
    brighter, errors = _brighter(slices, in_plane_mm)
    if expected is not None:
        against, its_errors = _brighter(slices, in_plane_mm, np.moveaxis(expected, axis, 0))
        known = np.isfinite(its_errors)
        brighter[known], errors[known] = against[known], its_errors[known]
    factors = np.exp(_gains(brighter, errors)).round(_DECIMALS)
    compared = int(np.isfinite(errors).sum())
    return Evened(_divided(scan, axis, factors), axis, factors, compared)


def evened_as(scan: Volume, told: Mapping[str, Any]) -> Volume:
    """The scan divided by what it was divided by before, as a file says it (`Evened.describe`)."""
    return _divided(scan, _AXES.index(told["axis"]), np.array(told["factors"]))


def _divided(scan: Volume, axis: int, factors: NDArray[np.float64]) -> Volume:
    """The scan; a new one where any factor is not 1."""
    if (factors == 1).all():
        return scan
    along = factors.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    return scan.with_data(scan.data / along, scan.grid)


def slice_axis(scan: Volume) -> int | None:
    """Along which axis slices follow one another, by headers or thickness; None for no slices."""
    if scan.slices is not None:
        return scan.slices.axis
    thickest = scan.grid.thick_axes(than_mm=float(np.sort(scan.grid.spacing_mm)[1]))
    return thickest[0] if thickest else None


def _require_slice_axis(scan: Volume) -> int:
    if (axis := slice_axis(scan)) is not None:
        return axis
    raise ArSSRError(
        f"{scan.name}: nothing says which axis its slices follow one another along, so they "
        "cannot be evened; leave --even-slices (even_slices=True) out"
    )


def _brighter(
    slices: NDArray[Any],
    in_plane_mm: NDArray[np.float64],
    expected: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much brighter each of n slices (n, I, J) is than the mean of its neighbours.

    Logarithms and their standard errors, (n,); the error is infinite where there is too little
    tissue, and at both ends.
    """
    size = np.maximum(1, np.round(_BLOCK_MM / in_plane_mm)).astype(int)
    brighter, errors = np.zeros(len(slices)), np.full(len(slices), np.inf)
    above_zero = slices[slices > 0]
    if not above_zero.size:
        return brighter, errors
    dark = _TISSUE * np.percentile(above_zero, 98)
    for n in range(1, len(slices) - 1):
        three: NDArray[Any] = slices[n - 1 : n + 2].astype(np.float32)
        tissue = (three > dark).all(axis=0)
        if expected is not None:
            said = expected[n - 1 : n + 2]
            tissue &= (said > dark).all(axis=0)
            three = three / np.maximum(said, dark)
        if np.count_nonzero(tissue) < _FEWEST_VOXELS:
            continue
        before, here, after = np.log(np.where(tissue, three, 1))
        across = after - before
        tissue &= np.abs(across - np.median(across[tissue])) < _AGREE
        blocks = _medians(here - (before + after) / 2, tissue, size)
        if len(blocks) >= _FEWEST_BLOCKS:
            brighter[n] = np.median(blocks)
            scatter = np.median(np.abs(blocks - brighter[n])) / MEDIAN_OF_NORMAL
            errors[n] = _MEDIAN_FROM_MEAN * scatter / np.sqrt(len(blocks)) + _LEAST_ERROR
    return brighter, errors


def _medians(
    values: NDArray[np.float32], chosen: NDArray[np.bool_], size: NDArray[np.int_]
) -> NDArray[np.float64]:
    """The median of the chosen values of each block (of `size`) that has enough of them."""
    found = []
    for i, j in product(*map(range, (0, 0), values.shape, size)):
        block = (slice(i, i + size[0]), slice(j, j + size[1]))
        if np.count_nonzero(chosen[block]) > _OF_BLOCK * size.prod():
            found.append(np.median(values[block][chosen[block]]))
    return np.array(found, float)


def _gains(brighter: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms of the gains of n slices, from how much brighter than its neighbours each seems.

    brighter = D·gains + anatomy + error, with D = (−½, 1, −½) along the slices, gains and anatomy
    independent, normal, of standard deviations that make what was seen likeliest; then the
    expectation of the gains, which is 0 where that of their standard deviation is.
    """
    sure = np.isfinite(errors)
    n = len(brighter)
    differences = (np.eye(n) - (np.eye(n, k=1) + np.eye(n, k=-1)) / 2)[sure]
    seen, squared = brighter[sure], errors[sure] ** 2

    def covariance(gain: float, anatomy: float) -> NDArray[np.float64]:
        return np.diag(squared + anatomy**2) + gain**2 * differences @ differences.T

    def unlikely(pair: tuple[float, float]) -> float:
        matrix = covariance(*pair)
        return float(np.linalg.slogdet(matrix)[1] + seen @ np.linalg.solve(matrix, seen))

    gain, anatomy = min(product(_GAINS, _ANATOMY), key=unlikely)
    expected = gain**2 * differences.T @ np.linalg.solve(covariance(gain, anatomy), seen)
    return np.asarray(expected, float)
