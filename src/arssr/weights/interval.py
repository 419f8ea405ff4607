"""The interval around a result that holds the truth with a stated probability.

A network's head says how far its values may be from the truth, relative to one another
(`networks.spread`). How wide the intervals must be in all was measured on images that neither the
network nor the head was taught with: of `|error| / half-width` over the voxels of their objects,
the quantile of that probability (split conformal prediction: Vovk et al. 2005; Angelopoulos and
Bates 2021, arXiv 2107.07511; voxels of an image are not independent, so the promise is one for the
mean over many images). `tools/calibrate.py` measures it and writes docs/uncertainty.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from arssr.errors import ArSSRError
from arssr.networks import UNKNOWN

KEY = "uncertainty"  # of the card
PLAIN, CONSISTENT = "plain", "consistent"


@dataclass(frozen=True)
class Interval:
    """What makes intervals of a head's half-widths, for one way of computing the image.

    probability: the share of the voxels whose truth lies within value ± half-width. air: the least
    half-width, and that of voxels that were left to the interpolation, in normalised intensity.
    factors: what the head's half-widths are multiplied by: of each acquisition, told along the
    axis that is refined most, at some scales along it, ascending; without any, 1. share: all of
    these are multiplied by, as this way of computing has larger or smaller errors. coverage: what
    it came to on each validation volume, by the factors of the others.
    """

    probability: float
    air: float
    factors: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    share: float = 1.0
    coverage: Sequence[float] = ()

    def factor(self, acquisition_ijk: Sequence[str], cell_ijk: Sequence[float]) -> float:
        """That of a scan told so, read in voxels of this size, in voxels of the scan.

        >>> interval = Interval(0.9, 0.002, {"slice": [[2, 1.0], [4, 1.5]]}, share=0.5)
        >>> interval.factor(("kspace", "kspace", "slice"), (1, 1, 1 / 3))
        0.625
        """
        axis = int(np.argmin(cell_ijk))
        known = self.factors.get(acquisition_ijk[axis], self.factors.get(UNKNOWN))
        if not known:
            return self.share
        scales, factors = zip(*known, strict=True)
        return self.share * float(np.interp(1 / cell_ijk[axis], scales, factors))

    def half_widths_(self, spread: Tensor, factor: float) -> Tensor:
        """Of what the head gives, in place; both in normalised intensity. 0 where it was not asked
        becomes `air`.
        """
        return spread.mul_(factor).clamp_min_(self.air)


def way_of(ensemble: int = 1, consistent: bool = False) -> str:
    """The name, in cards, of a way of computing an image.

    >>> way_of(), way_of(ensemble=4), way_of(4, consistent=True)
    ('plain', 'ensemble 4', 'ensemble 4, consistent')
    """
    parts = [f"ensemble {ensemble}"] * (ensemble > 1) + [CONSISTENT] * consistent
    return ", ".join(parts) or PLAIN


def interval_of(card: Mapping[str, Any], way: str = PLAIN) -> Interval:
    """The interval that a card has for a way of computing.

    Raises ArSSRError where the weights tell no half-widths, or not calibrated ones this way.
    """
    name, known = card.get("name", "the model"), card.get(KEY, {})
    if "ways" not in known:
        raise ArSSRError(
            f"{name} was not taught to tell its uncertainty; leave --uncertainty out, or name "
            "weights that were, such as light"
        )
    if way not in known["ways"]:
        raise ArSSRError(
            f"the uncertainty of {name} is calibrated for {', '.join(known['ways'])}, not for "
            f"{way}; leave --uncertainty or that out"
        )
    left_out = known.get("left_out", {}).get(way, {}).get("volumes", {})
    return Interval(
        known["probability"],
        known["air"],
        known["factors"],
        known["ways"][way],
        tuple(left_out.values()),
    )
