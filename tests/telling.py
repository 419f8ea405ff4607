"""Weights that tell half-widths."""

from pathlib import Path

from tests.engine.thin import lively_network
from tests.test_half_widths import head_of

from arssr.weights.files import save_weights
from arssr.weights.interval import KEY

WAYS = {"plain": 1.0, "consistent": 0.8}
FACTORS = {"kspace": [[2, 1.5], [4, 2.5]], "slice": [[2, 1.2]], "unknown": [[2, 2.0]]}
CARD = {
    "name": "lively",
    KEY: {"probability": 0.9, "air": 0.002, "factors": FACTORS, "ways": WAYS},
}


def telling_weights(folder: Path) -> Path:
    """Random weights with a head, as a file."""
    path = folder / "lively.safetensors"
    save_weights(path, lively_network("light"), CARD, spread=head_of())
    return path
