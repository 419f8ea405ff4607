"""Whether the slices of a scan are Gaussian or nearer to a box: the other scans tell."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from arssr.grid import Floats, Grid
from arssr.merging.brightness import Brightness
from arssr.merging.seen import Seen
from arssr.merging.stacks import stacks_on

# Of the difference that trapezoids make, what Gaussians miss holds 0.05 to 0.54 where slices are
# Gaussian, 0.66 to 0.94 where they are boxes (two or three orthogonal stacks of the heads of val,
# noise of 1 %, benchmarks/merge.py --crop 64), 1.2 by a thin scan, and 0.2 to 0.6 of either kind by
# repeats in one direction, which cannot tell.
_NARROWER = 0.65


def with_profile(
    each: Seen,
    motion: Floats,
    level: Brightness,
    others: Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]],
    common: Grid,
) -> Seen:
    """A scan with the slice profile that explains it better by what the others say.

    others: images on the common grid, each with a mask of where it counts. What else is wrong with
    them does not matter: it is asked how much of the difference between the two profiles is in what
    Gaussians miss, of all images together. (Their mean has half of what one shows and another does
    not, and what it lacks looks like narrower slices.)

    Trapezoids are narrower than Gaussians. Taken for Gaussians they are sharpened far too much
    (an error of up to 1.7 times that of a single scan's result, tests/merging/test_merge.py).
    """
    if not each.profiles:
        return each
    wide, narrow = (replace(each, acquisition=profile) for profile in each.profiles)
    missed, difference = 0.0, 0.0
    for image, mask in others:
        where = ([motion], [level], image, mask)
        [of_wide], [of_narrow] = (stacks_on(common, [one], *where) for one in (wide, narrow))
        change = (of_wide.apart - of_narrow.apart).double()
        missed += float((of_wide.apart.double() * change).sum())
        difference += float(change.square().sum())
    return narrow if missed > _NARROWER * difference else wide
