"""The interval around a result that holds the truth with a stated probability.

A network's head says how far its values may be from the truth, relative to one another
(`networks.spread`). How wide the intervals must be in all was measured on images that neither the
network nor the head was taught with: of |error| / half-width over the voxels of their objects, the
quantile of that probability (split conformal prediction: Vovk et al. 2005; Angelopoulos and Bates
2021, arXiv 2107.07511; voxels of an image are not independent, so the promise is one for the mean
over many images). `tools/calibrate.py` measures it and writes docs/uncertainty.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from arssr.errors import ArSSRError

KEY = "uncertainty"  # of the card
PLAIN, CONSISTENT = "plain", "consistent"


@dataclass(frozen=True)
class Interval:
    """What makes intervals of a head's half-widths, for one way of computing the image.

    probability: the share of the voxels whose truth lies within value ± half-width. factor: what
    the head's half-widths are multiplied by. air: the least half-width, and that of voxels that
    were left to the interpolation, in normalised intensity.
    """

    probability: float
    factor: float
    air: float

    def half_widths_(self, spread: Tensor) -> Tensor:
        """Of what the head gives, in place; both in normalised intensity. 0 where it was not asked
        becomes `air`.
        """
        return spread.mul_(self.factor).clamp_min_(self.air)


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
    if "factors" not in known:
        raise ArSSRError(
            f"{name} was not taught to tell its uncertainty; leave --uncertainty out, or name "
            "weights that were, such as light"
        )
    if way not in known["factors"]:
        raise ArSSRError(
            f"the uncertainty of {name} is calibrated for {', '.join(known['factors'])}, not for "
            f"{way}; leave --uncertainty or that out"
        )
    return Interval(known["probability"], known["factors"][way], known["air"])
