"""What is evaluated: models and baselines behind one small interface."""

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from arssr.degradation import named_degradation
from arssr.errors import ArSSRError, ArSSRWarning
from arssr.evaluation.baselines import BASELINES, deconvolve, interpolate
from arssr.evaluation.protocol import Setting
from arssr.grid import Grid
from arssr.volume import Volume
from arssr.weights.licence import images_behind

if TYPE_CHECKING:
    from arssr.networks import ImplicitVoxelNetwork

Upsample = Callable[[Volume, Grid, Setting], Volume]
"""(low-resolution scan, grid of the truth, what was done to it) → the result on that grid."""


class Method(Protocol):
    """One way to a result; small enough to travel to a worker process."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    @property
    def weights_sha256(self) -> str:
        """Of the parameters; empty where there are none."""
        ...

    def told(self, setting: Setting) -> str:
        """The acquisition that it is told, or "unknown"; empty for one that cannot be told."""
        ...

    def load(self) -> Upsample:
        """Everything ready to run: what comes before the clock starts."""
        ...


@dataclass(frozen=True)
class Baseline:
    """Interpolation of some kind, or `wiener`; see `arssr.evaluation.baselines`."""

    name: str
    weights_sha256: str = ""

    def __post_init__(self) -> None:
        if self.name not in BASELINES:
            known = ", ".join(BASELINES)
            raise ArSSRError(f"unknown baseline {self.name!r}; known are {known}")

    def told(self, setting: Setting) -> str:
        """The Wiener filter is made for the degradation; the others know nothing."""
        return setting.acquisition if self.name == "wiener" else ""

    def load(self) -> Upsample:
        """See `Method.load`."""
        return self._upsample

    def _upsample(self, lr: Volume, grid: Grid, setting: Setting) -> Volume:
        if self.name != "wiener":
            return interpolate(self.name, lr, grid)
        degradation = named_degradation(setting.degradation)
        return deconvolve(lr, grid, setting.scale_ijk, degradation, setting.snr)


class Upsampler(Protocol):
    """The part of `arssr.Model` that is evaluated."""

    def upsample(
        self, image: Volume, *, like: Grid, acquisition: str, noise: str, ensemble: int
    ) -> Volume:
        """The image on the grid `like`."""
        ...


@dataclass(frozen=True)
class ModelMethod:
    """A model, told the acquisition or (`blind`) not, or that `measures` it in the scan (`auto`);
    it estimates the noise level itself.

    `open` returns the model; it is called once in every process that computes, so it and what it
    holds must be picklable where there are several. ensemble: see `Model.field`. images: what the
    weights, and those they started from, were trained on, as their card lists it.
    """

    model_name: str
    weights_sha256: str
    open: Callable[[], Upsampler] = field(compare=False)
    blind: bool = False
    ensemble: int = 1
    measures: bool = False
    images: tuple[Mapping[str, Any], ...] = field(default=(), compare=False, repr=False)

    @property
    def name(self) -> str:
        """With the marks of what it is not told and of an ensemble."""
        marks = ["blind"] * self.blind + ["auto"] * self.measures
        marks += [f"ensemble {self.ensemble}"] * (self.ensemble > 1)
        return f"{self.model_name} ({', '.join(marks)})" if marks else self.model_name

    def told(self, setting: Setting) -> str:
        """See `Method.told`."""
        if self.measures:
            return "auto"
        return "unknown" if self.blind else setting.acquisition

    def load(self) -> Upsample:
        """See `Method.load`."""
        model = self.open()

        def upsample(lr: Volume, grid: Grid, setting: Setting) -> Volume:
            with warnings.catch_warnings():  # whatever the range: that is what is measured here
                warnings.simplefilter("ignore", ArSSRWarning)
                return model.upsample(
                    lr,
                    like=grid,
                    acquisition=self.told(setting),
                    noise="auto",
                    ensemble=self.ensemble,
                )

        return upsample


def weights_method(
    name_or_path: str,
    device: str = "auto",
    blind: bool = False,
    ensemble: int = 1,
    measures: bool = False,
) -> ModelMethod:
    """Shipped weights by name, or a weight file. Raises ArSSRError where there are none."""
    from arssr.weights.registry import load

    weights = load(name_or_path)
    model = partial(_open_weights, name_or_path, device)
    sha = network_sha256(weights.network)
    images = tuple(images_behind(weights.card))
    return ModelMethod(weights.name, sha, model, blind, ensemble, measures, images)


def network_sha256(network: "ImplicitVoxelNetwork") -> str:
    """Of configuration and parameters: the same before and after a card enters the file."""
    import torch

    digest = hashlib.sha256(json.dumps(network.config.to_dict(), sort_keys=True).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def _open_weights(name_or_path: str, device: str) -> Upsampler:
    from arssr.api import load_model

    return load_model(name_or_path, device=device)
