"""How much to regularise: the discrepancy principle (Morozov 1966).

Of all solutions the smoothest is taken that leaves no more of the data unexplained than their
noise.
"""

import math
from collections.abc import Callable

from scipy.optimize import brentq

_DECADES = 40.0  # of e: from nothing left to nothing explained


def ridge_leaving(left: Callable[[float], float], noise: float, least: float) -> float | None:
    """λ for which `left(λ)`, the size of the residual, which grows with λ, is that of the noise.

    least: the smallest λ, which is taken where even that leaves more. None where no more than the
    noise is there to be explained.
    """

    def excess(log_ridge: float) -> float:
        return left(math.exp(log_ridge)) - noise

    low, high = math.log(least), math.log(least) + _DECADES
    if excess(low) >= 0:
        return least
    return None if excess(high) <= 0 else math.exp(brentq(excess, low, high, xtol=1e-2))
