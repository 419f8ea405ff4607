"""What any program should know of weights, whatever computes with them."""

from importlib.metadata import version
from typing import Any

from arssr.weights.registry import Weights

_OF_CARD = ("name", "about", "licence", "credit", "valid", "slices")


def about(weights: Weights) -> dict[str, Any]:
    """Name, origin, configuration, and of the card what licence and limits are, as plain values."""
    return {
        "arssr": version("arssr"),
        "name": weights.name,
        "sha256": weights.sha256,
        "config": weights.network.config.to_dict(),
        "card": {key: weights.card[key] for key in _OF_CARD if key in weights.card},
    }
