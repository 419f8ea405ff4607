"""What a person should know of weights, as sentences and lines."""

from collections.abc import Mapping, Sequence
from typing import Any

from arssr.files import counted
from arssr.weights.licence import NOT_STATED

_SCALES = {"scale": "per axis", "scale_of_one_thick_axis": "along one thick axis"}


def card_in_words(
    config: Mapping[str, Any], parameters: int, card: Mapping[str, Any]
) -> dict[str, str]:
    """What weights are, whose they are and what they were trained for; what is not known is "".

    config: that of the network (`ModelConfig.to_dict`).
    """
    valid, data = card.get("valid"), card.get("data")
    return {
        "network": f"{config['encoder']} encoder, {config['flavour']} flavour, "
        f"{parameters:,} parameters",
        "note": card.get("note") or "",
        "licence": card.get("licence", NOT_STATED),
        "credit": card.get("credit") or "",
        "trained for": valid_in_words(valid) if valid else "",
        "trained on": counted(len(data), "image") if data else "",
    }


def valid_in_words(valid: Mapping[str, Any]) -> str:
    """What weights were trained for (`limits.outside_valid_range`), as far as the card says.

    >>> valid_in_words({"scale": [1, 4], "spacing_mm": [0.8, 2]})
    'scale 1 to 4 per axis; towards voxels of 0.8 to 2 mm; slices without gaps'
    """
    scales = [f"{_range(valid[name])} {where}" for name, where in _SCALES.items() if name in valid]
    parts = [f"scale {', '.join(scales)}"] if scales else []
    if "spacing_mm" in valid:
        parts.append(f"towards voxels of {_range(valid['spacing_mm'])} mm")
    return "; ".join([*parts, _gaps(valid)])


def _gaps(valid: Mapping[str, Any]) -> str:
    """The gaps between slices that were seen, in words."""
    most = valid.get("slice_gap", [0.0, 0.0])[1]
    return f"slices up to {most:.0%} of their distance apart" if most else "slices without gaps"


def _range(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:g} to {bounds[1]:g}"
