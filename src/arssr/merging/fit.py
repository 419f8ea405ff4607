"""Whether two scans show one person in one contrast."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from arssr.errors import ArSSRError
from arssr.grid import Floats, Grid
from arssr.interpolation import resample
from arssr.merging.poses import in_common
from arssr.volume import Volume

_SMOOTH_MM = 2.0  # so that noise and thick slices matter less
_BINS = 32
# After registration the correlation of one head's scans is 0.99 (OASIS, two sessions), that of two
# heads 0.83 to 0.86, that of a fetus which moves between thick stacks 0.87 to 0.93; of other
# contrasts it is 0.19 to 0.88, and mostly 0.1 to 0.5 below the correlation ratio.
_SAME = 0.93
# The same where slices may have moved within scans, of which 0.97 is left where every second slice
# of all scans has moved by 2 mm (benchmarks/merge.py lh-14 --crop 88 --interleaves 2).
_JAGGED = 0.9
_CONTRAST = 0.05
_DARK = 0.08  # of the range: darker is no head
_REACHES = 0.5
# Scans differ in brightness by factors, which leave standard deviation over mean as it is: of
# stacks of 4 and 8 voxels of the three heads of val these differ by up to 1.06. Fields and blur
# change them, but by more than about 1 / _SAME only where correlation is lost, too.
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
    sigma = _SMOOTH_MM / grid.spacing_mm
    a, b = (ndimage.gaussian_filter(x, sigma)[where].astype(np.float64) for x in (one, other))
    if len(a) < _BINS or not (a.std() > 0 and b.std() > 0):
        return 0.0, 0.0
    edges = np.quantile(a, np.linspace(0, 1, _BINS + 1)[1:-1])
    of = np.searchsorted(edges, a)
    number = np.maximum(np.bincount(of, minlength=_BINS), 1)
    means = np.bincount(of, b, _BINS) / number
    return float(np.corrcoef(a, b)[0, 1]), float(np.sqrt(np.var(means[of]) / np.var(b)))


def fits(first: Volume, other: Volume, motion: Floats) -> bool:
    """Whether a motion from the space of the first brings another scan's image onto it."""
    grid = first.grid.with_spacing(np.maximum(first.grid.spacing_mm, _SMOOTH_MM).tolist())
    there = in_common(other.grid, motion)
    one, placed = resample(first, grid), resample(replace(other, grid=there), grid)
    inside = _inside(there, grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)))
    return likeness(one.data, placed.data, _head(one.data) & inside, grid)[0] >= _SAME


def require_fit(
    views: Sequence[tuple[str, NDArray[np.float32], NDArray[np.float32]]],
    grid: Grid,
    jagged: bool = False,
) -> list[float]:
    """Refuse scans that do not show what the first shows; never is anything else averaged in.

    views: of each its name, what it looks like on the grid, and how far its word counts there.
    jagged: slices may have moved within scans. Returns the correlation of each with the first.
    """
    first_name, first, first_reach = views[0]
    if np.percentile(first, 99.95) <= 0:
        raise ArSSRError(f"{first_name}: nothing in it is above 0; {_ZERO}")
    head, found, least = _head(first), [1.0], _JAGGED if jagged else _SAME
    for name, image, reach in views[1:]:
        both = head & (first_reach > _REACHES) & (reach > _REACHES)
        if both.sum() < _LEAST_OVERLAP * head.sum():
            raise ArSSRError(f"{name}{_ELSEWHERE}")
        linear, any_function = likeness(first, image, both, grid)
        found.append(linear)
        if linear >= least:
            if not jagged:
                _require_same_zero(name, first, image, both, grid)
            continue
        if any_function - linear > _CONTRAST:
            raise ArSSRError(
                f"{name}: looks like another contrast than the first scan; merge scans of one "
                "contrast, or sharpen each on its own, on one grid, with arssr merge --separate "
                "(separate=True)"
            )
        raise ArSSRError(
            f"{name}: does not fit the first scan (their correlation is {linear:.3f}, of one head "
            f"it is above {least}): another person, a body that bends, or another contrast "
            "(arssr merge --separate)"
        )
    return found


def _require_same_zero(
    name: str,
    first: NDArray[np.float32],
    other: NDArray[np.float32],
    where: NDArray[np.bool_],
    grid: Grid,
) -> None:
    """Refuse a scan that no factor makes as bright as the first: its zero lies elsewhere."""
    sigma = _SMOOTH_MM / grid.spacing_mm
    one, two = (ndimage.gaussian_filter(image, sigma)[where] for image in (first, other))
    ratio = (two.std() * one.mean()) / (one.std() * two.mean())
    if not 1 / _SAME_ZERO < ratio < _SAME_ZERO:
        raise ArSSRError(
            f"{name}: no factor makes it as bright as the first scan, as its intensities do not "
            f"begin where those of the first do; {_ZERO} in both"
        )


def require_overlap_of_heads(name: str, first: Volume, other: Volume) -> None:
    """Refuse a scan of another contrast that shows next to nothing of what the first does."""
    head = np.argwhere(_head(first.data))
    if _inside(other.grid, first.grid.to_world(head)).sum() < _LEAST_OVERLAP * len(head):
        raise ArSSRError(f"{name}{_ELSEWHERE}")


def _inside(grid: Grid, points_ras_mm: Floats) -> NDArray[np.bool_]:
    """(…) which of the points (…, 3) lie in the field of view."""
    at = grid.to_index(points_ras_mm)
    return np.asarray(((at > -0.5) & (at < np.array(grid.shape) - 0.5)).all(axis=-1))


def _head(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(image > _DARK * float(np.percentile(image, 99.95)))
