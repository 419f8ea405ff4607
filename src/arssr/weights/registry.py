"""The weights that ship with the package, and loading any weights by name or path."""

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from arssr.errors import ArSSRError
from arssr.files import sha256
from arssr.networks import ImplicitVoxelNetwork, ModelConfig
from arssr.networks.encoders import ENCODERS
from arssr.networks.spread import SpreadHead
from arssr.weights.files import load_reference, load_spread, load_weights
from arssr.weights.interval import KEY
from arssr.weights.names import shipped as shipped


class Card(dict[str, Any]):
    """What is known about weights: a dictionary, of which `repr` tells no more than fits on a line.

    >>> Card(name="light", licence="CC BY 4.0", recipe={"steps": 100000}, data=["many"])
    Card(light, CC BY 4.0; with recipe, data)
    """

    def __repr__(self) -> str:
        said = ", ".join(str(self[key]) for key in ("name", "licence") if key in self)
        others = ", ".join(key for key in self if key not in ("name", "licence"))
        return f"Card({'; with '.join(each for each in (said, others) if each)})"


@dataclass(frozen=True)
class Weights:
    """A network, what is known about it, and the file it came from."""

    name: str
    network: ImplicitVoxelNetwork
    card: dict[str, Any]
    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "card", Card(self.card))

    def __repr__(self) -> str:
        return f"Weights({self.name}, {self.path})"

    @property
    def normalises(self) -> bool:
        """Whether the network sees normalised intensities; otherwise those that files have, which
        is what networks of the paper's flavour were taught here (other programs normalise).
        """
        return self.network.config.normalises or "recipe" not in self.card

    @cached_property
    def sha256(self) -> str:
        """Hash of the file."""
        return sha256(self.path)

    @cached_property
    def spread(self) -> SpreadHead | None:
        """The head of the file that tells half-widths, if it has one and they are calibrated."""
        return load_spread(self.path) if KEY in self.card else None


def encoder_name(spelling: str) -> str:
    """Our name of an encoder, whichever way the reference spells it (SRResNet, SRResnet)."""
    if spelling.lower() not in ENCODERS:
        raise ArSSRError(f"unknown encoder {spelling!r}; known are RDN, ResCNN, SRResNet and light")
    return spelling.lower()


def load(name_or_path: str | Path, config: ModelConfig | None = None) -> Weights:
    """Shipped weights by name, a `.safetensors` file, or a reference `.pkl`.

    config: what a `.pkl` is made of; by default the encoder that fits, with the paper's sizes.
    """
    text = str(name_or_path)
    files = shipped()
    if text.lower() in files:
        path = files[text.lower()]
        return Weights(text.lower(), *load_weights(path), path)
    path = Path(name_or_path)
    if path.suffix == ".safetensors":
        return Weights(path.stem, *load_weights(path), path)
    if path.suffix in (".pkl", ".pt", ".pth"):
        network = load_reference(path, config)
        return Weights(path.stem, network, {}, path)
    if path.exists():
        raise ArSSRError(f"{path} is no weight file (.safetensors, .pkl)")
    if path.suffix or len(path.parts) > 1:
        raise ArSSRError(f"{path}: there is no such file")
    near = get_close_matches(text.lower(), files, 1)
    question = f"; did you mean {near[0]}?" if near else ""
    known = ", ".join(files) or "none"
    raise ArSSRError(
        f"no weights {text!r}: neither shipped ({known}) nor a .safetensors or .pkl file{question}"
    )
