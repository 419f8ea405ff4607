"""Whether two scans show one person in one contrast."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from arssr.errors import ArSSRError
from arssr.grid import Floats, Grid
from arssr.interpolation import resample
from arssr.merging.poses import in_common
from arssr.volume import Volume

_SMOOTH_MM = 2.0  # so that noise and thick slices matter less
_WINDOW_MM = 6.0  # standard deviation of the Gaussian windows in which scans are compared
_WORST = 0.1  # of the head: it may fit worse, as lesions grow and jaws move
_FLAT = 1e-3  # of an image's variance: where there is less, in both, there is nothing to compare
_BINS = 32
# One head has 0.83 and more (stacks of 6 mm with noise of 5 %, one shaded by a factor of 3; 0.87
# shaded by less, or with every second slice moved by 2 mm), two heads of one scanner up to 0.67,
# fetal stacks up to 0.71; the plain correlation of these is 0.88 and more, up to 0.90 and up to
# 0.93 (benchmarks/merge_fit.py).
SAME = 0.8
_CONTRAST = 0.05
_DARK = 0.12  # of the range: darker is no head, as noise of 5 % makes air 0.06
_REACHES = 0.5
# Scans differ in brightness by factors, which leave standard deviation over mean as it is: of
# stacks of 4 and 8 voxels of the three heads of val these differ by up to 1.06. Fields and blur
# change them: by less than this where one of two scans is shaded by a factor of 2
# (benchmarks/merge_fit.py).
_SAME_ZERO = 1.3
_ELSEWHERE = ": shows next to nothing of what the first scan shows"
_ZERO = "add or subtract what makes air 0"
_LEAST_OVERLAP = 0.05  # of the first scan's head


def likeness(
    one: NDArray[np.float32], other: NDArray[np.float32], where: NDArray[np.bool_], grid: Grid
) -> tuple[float, float]:
    """Of two images on a grid, in a mask: how far one is a multiple of the other, and how far it
    is any function of it.

    The correlation coefficient, and the root of the correlation ratio (Roche et al. 1998), which
    is as high for other contrasts of the same anatomy.
    """
    a, b = (_smooth(image, grid)[where].astype(np.float64) for image in (one, other))
    if len(a) < _BINS or not (a.std() > 0 and b.std() > 0):
        return 0.0, 0.0
    edges = np.quantile(a, np.linspace(0, 1, _BINS + 1)[1:-1])
    of = np.searchsorted(edges, a)
    number = np.maximum(np.bincount(of, minlength=_BINS), 1)
    means = np.bincount(of, b, _BINS) / number
    return float(np.corrcoef(a, b)[0, 1]), float(np.sqrt(np.var(means[of]) / np.var(b)))


def local_correlation(
    one: NDArray[np.float32], other: NDArray[np.float32], where: NDArray[np.bool_], grid: Grid
) -> float:
    """Of two images on a grid: the correlation in Gaussian windows of 6 mm that all but a tenth of
    a mask exceed.

    Local cross-correlation (Avants et al. 2008) knows neither factors nor smooth fields, nor the
    coarse shape that all heads share; what a small part exceeds knows where one image bends. 1 for
    equal images, 0 where nothing is to be compared.
    """
    steps = tuple(slice(None, None, max(1, int(_SMOOTH_MM / mm))) for mm in grid.spacing_mm)
    sigma = _WINDOW_MM / (grid.spacing_mm * [step.step for step in steps])
    inside = where[steps]
    if not inside.any():
        return 0.0
    a, b = (_even(_smooth(image, grid)[steps], inside) for image in (one, other))

    def around(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(ndimage.gaussian_filter(image * inside, sigma, truncate=3)[inside])

    share = around(np.ones_like(a))
    mean_a, mean_b = around(a) / share, around(b) / share
    both = around(a * b) / share - mean_a * mean_b + _FLAT
    alone = [around(x * x) / share - m * m for x, m in ((a, mean_a), (b, mean_b))]
    var_a, var_b = (np.maximum(variance, 0) + _FLAT for variance in alone)
    return float(np.quantile(both / np.sqrt(var_a * var_b), _WORST))


def fit(first: Volume, other: Volume, motion: Floats) -> float:
    """How well a motion from the space of the first brings another scan's image onto it, as
    `local_correlation` tells."""
    grid = first.grid.with_spacing(np.maximum(first.grid.spacing_mm, _SMOOTH_MM).tolist())
    there = in_common(other.grid, motion)
    one, placed = resample(first, grid), resample(replace(other, grid=there), grid)
    both = shown(one.data, grid) & inside(there, grid)
    return local_correlation(one.data, placed.data, both, grid)


def require_fit(
    views: Sequence[tuple[str, NDArray[np.float32], NDArray[np.float32]]],
    grid: Grid,
    jagged: bool = False,
) -> list[float]:
    """Refuse scans that do not show what the first shows; never is anything else averaged in.

    views: of each its name, what it looks like on the grid, and how far its word counts there.
    jagged: slices may have moved within scans. Returns the `local_correlation` of each with the
    first.
    """
    first_name, first, first_reach = views[0]
    if np.percentile(first, 99.95) <= 0:
        raise ArSSRError(f"{first_name}: nothing in it is above 0; {_ZERO}")
    head, found = shown(first, grid), [1.0]
    for name, image, reach in views[1:]:
        both = head & (first_reach > _REACHES) & (reach > _REACHES)
        if both.sum() < _LEAST_OVERLAP * head.sum():
            raise ArSSRError(f"{name}{_ELSEWHERE}")
        found.append(local_correlation(first, image, both, grid))
        if found[-1] < SAME:
            _refuse(name, found[-1], *likeness(first, image, both, grid))
        if not jagged:
            _require_same_zero(name, first, image, both, grid)
    return found


def _refuse(name: str, local: float, linear: float, any_function: float) -> NoReturn:
    if any_function - linear > _CONTRAST:
        raise ArSSRError(
            f"{name}: looks like another contrast than the first scan; merge scans of one "
            "contrast, or sharpen each on its own, on one grid, with arssr merge --separate "
            "(separate=True)"
        )
    raise ArSSRError(
        f"{name}: does not fit the first scan (in a tenth of what both show they correlate by less "
        f"than {local:.3f}; of one head that is above {SAME}): another person, a body that bends, "
        "or another contrast (arssr merge --separate)"
    )


def _require_same_zero(
    name: str,
    first: NDArray[np.float32],
    other: NDArray[np.float32],
    where: NDArray[np.bool_],
    grid: Grid,
) -> None:
    """Refuse a scan that no factor makes as bright as the first: its zero lies elsewhere."""
    one, two = (_smooth(image, grid)[where] for image in (first, other))
    ratio = (two.std() * one.mean()) / (one.std() * two.mean())
    if not 1 / _SAME_ZERO < ratio < _SAME_ZERO:
        raise ArSSRError(
            f"{name}: no factor makes it as bright as the first scan, as its intensities do not "
            f"begin where those of the first do; {_ZERO} in both"
        )


def require_overlap_of_heads(name: str, first: Volume, other: Volume) -> None:
    """Refuse a scan of another contrast that shows next to nothing of what the first does."""
    head = np.argwhere(shown(first.data, first.grid))
    if _inside(other.grid, first.grid.to_world(head)).sum() < _LEAST_OVERLAP * len(head):
        raise ArSSRError(f"{name}{_ELSEWHERE}")


def inside(grid: Grid, other: Grid) -> NDArray[np.bool_]:
    """Which voxels of another grid lie in the field of view of a grid."""
    return _inside(grid, other.to_world(np.moveaxis(np.indices(other.shape), 0, -1)))


def _inside(grid: Grid, points_ras_mm: Floats) -> NDArray[np.bool_]:
    """(…) which of the points (…, 3) lie in the field of view."""
    at = grid.to_index(points_ras_mm)
    return np.asarray(((at > -0.5) & (at < np.array(grid.shape) - 0.5)).all(axis=-1))


def shown(image: NDArray[np.float32], grid: Grid) -> NDArray[np.bool_]:
    """Which voxels are no air. Smoothed, as a tenth of the range is within noise of 5 %."""
    smooth = _smooth(image, grid)
    return np.asarray(smooth > _DARK * float(np.percentile(smooth, 99.95)))


def _smooth(image: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    return np.asarray(ndimage.gaussian_filter(image, _SMOOTH_MM / grid.spacing_mm))


def _even(image: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """With a mean of 0 and a variance of 1 in a mask."""
    mean, deviation = float(image[where].mean()), float(image[where].std())
    return np.asarray((image - mean) / (deviation or 1.0))
