"""Weights that tell half-widths."""

from pathlib import Path

from tests.engine.thin import lively_network
from tests.test_half_widths import head_of

from arssr.weights.files import save_weights
from arssr.weights.interval import KEY

FACTORS = {"plain": 1.5, "consistent": 1.25}
CARD = {"name": "lively", KEY: {"probability": 0.9, "air": 0.002, "factors": FACTORS}}


def telling_weights(folder: Path) -> Path:
    """Random weights with a head, as a file."""
    path = folder / "lively.safetensors"
    save_weights(path, lively_network("light"), CARD, spread=head_of())
    return path
