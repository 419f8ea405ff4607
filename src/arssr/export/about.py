"""What any program should know of weights, whatever computes with them."""

import math
from importlib.metadata import version
from typing import Any

from arssr.weights.limits import most_noise
from arssr.weights.registry import Weights

_OF_CARD = ("name", "about", "licence", "credit", "valid", "slices")


def about(weights: Weights) -> dict[str, Any]:
    """Name, origin, configuration, and of the card what licence and limits are, as plain values.

    most_noise: that the network may be told, in normalised intensity; None where nobody knows.
    """
    noise = most_noise(weights.card)
    return {
        "arssr": version("arssr"),
        "name": weights.name,
        "sha256": weights.sha256,
        "config": weights.network.config.to_dict(),
        "most_noise": noise if math.isfinite(noise) else None,
        "card": {key: weights.card[key] for key in _OF_CARD if key in weights.card},
    }
