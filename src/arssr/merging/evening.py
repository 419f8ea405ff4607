"""Slices that are brighter or darker than what the other scans say of them, made even.

Anatomy that differs from slice to slice is in the other scans as well: what is left are gains. Of
bands of 3.6 to 7.7 % in six stacks of two heads 0.3 to 0.9 % were left, where slices were compared
with their neighbours alone 0.8 to 2.4 % (`python benchmarks/merge.py VOLUME … --crop 80 --noise 1
--banded 012 --even-slices`, lh-14 and m2208 of val).
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from arssr.evenness import Evened, even_slices, slice_axis
from arssr.grid import Floats, Grid
from arssr.interpolation import resample
from arssr.merging.brightness import Brightness
from arssr.merging.poses import in_common
from arssr.merging.sampling import Sampling, coefficients_of
from arssr.merging.seen import Seen
from arssr.volume import Volume

# Of slices that lie nearly as a scan's own do (the cosine between them), the bands would be taken
# for its own: it is not compared with these.
_ALIKE = 0.7
_KNOWN = 0.7  # how far others must see a voxel for its word to count: from 0 where they end to 1


def evened(
    number: int,
    seen: Sequence[Seen],
    motions: Sequence[Floats],
    lit: Sequence[NDArray[np.float32]],
    reaches: Sequence[NDArray[np.float32]],
    level: Brightness,
    common: Grid,
) -> Evened | None:
    """One of several scans with even slices; None if it has no slices.

    lit, reaches: what each scan makes of the common grid, as bright as the first, and how far its
    word counts there. level: the brightness of the scan. Where no other scan has other slices, they
    are compared with their neighbours. Raises ArSSRError as `even_slices` does.
    """
    each = seen[number]
    if slice_axis(each.scan) is None:
        return None
    own = _across(each, motions[number])
    others = [
        n
        for n, other in enumerate(seen)
        if n != number and abs(float(own @ _across(other, motions[n]))) < _ALIKE
    ]
    if not others:
        return even_slices(each.scan)
    reach = np.max([reaches[n] for n in others], axis=0)
    mean = np.average([lit[n] for n in others], 0, [reaches[n] for n in others])
    expected, known = (_measured(each, image, motions[number], common) for image in (mean, reach))
    there = in_common(known.grid, motions[number])
    said = np.where(known.data > _KNOWN, expected.data / level.at(there), 0)
    return even_slices(each.scan, resample(known.with_data(said, known.grid), each.scan.grid).data)


def _across(seen: Seen, motion: Floats) -> Floats:
    """(3,) the direction across the slices of a scan in the common space; 0 if it has none."""
    axis = slice_axis(seen.scan)
    if axis is None:
        return np.zeros(3)
    along: Floats = in_common(seen.scan.grid, motion).affine[:3, axis]
    return along / np.linalg.norm(along)


def _measured(seen: Seen, image: NDArray[np.float32], motion: Floats, common: Grid) -> Volume:
    """What a scan would have measured of an image on the common grid."""
    sampling = Sampling(common, seen.sharp.grid, motion)
    read = sampling.read(coefficients_of(torch.from_numpy(np.asarray(image, np.float32))))
    measured = seen.acquisition.measure(read)
    return Volume(measured.numpy(), seen.acquisition.grid)
