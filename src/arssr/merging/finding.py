"""How the person moved between two scans of one contrast."""

from dataclasses import replace

import numpy as np

from arssr.grid import Floats
from arssr.interpolation import resample
from arssr.merging.brightness import match
from arssr.merging.fit import SAME, fit, inside
from arssr.merging.poses import head_centre, in_common, register
from arssr.volume import Volume

_VOXELS_MM = 2.0  # on which brightness is compared
# Times as bright in one place as in another, against the first scan: from here on shading pulls.
# Scans that are not shaded have 1.01 to 1.05. Of two scans of a head, one shaded by a factor of 2
# from corner to corner, registration was 1.0 and 2.0 mm off (lh-01, ds002748-72); after two more
# turns it is off by up to 0.4 mm (six heads, benchmarks/merge_fit.py --only shaded).
_UNEVEN, _TURNS = 1.2, 2


def find_motion(first: Volume, other: Volume) -> Floats:
    """(4, 4) the rigid motion from the space of the first to that of another, RAS+ mm.

    It is sought from where headers say that they lie, then, where nothing fits, from centres of
    mass that lie on each other. Where one scan is shaded against the first, its brightness is
    matched and the motion found once more, as shading pulls.
    """
    centre = head_centre(first)
    motion = register(first, other, centre)
    fitted = fit(first, other, motion)
    if fitted < SAME:
        afresh = register(first, other, centre, afresh=True)
        fitted, motion = max((fitted, motion), (fit(first, other, afresh), afresh), key=_fitted)
    grid = first.grid.with_spacing(np.maximum(first.grid.spacing_mm, _VOXELS_MM).tolist())
    one = resample(first, grid).data
    for _ in range(_TURNS):
        there = in_common(other.grid, motion)
        placed = resample(replace(other, grid=there), grid).data
        level = match(one, placed, inside(there, grid).astype(np.float32), grid)
        if level.field.max() < _UNEVEN * level.field.min():
            break
        even = other.with_data(other.data * level.at(there), other.grid)
        again = register(first, even, centre, start=motion)
        fitted, motion = max((fitted, motion), (fit(first, other, again), again), key=_fitted)
    return motion


def _fitted(found: tuple[float, Floats]) -> float:
    return found[0]
