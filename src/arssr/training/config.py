"""A training run, described by its configuration alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from arssr.degradation import named_degradation
from arssr.errors import ArSSRError
from arssr.networks import ModelConfig
from arssr.shipped import read_yaml, shipped_yaml

_SHARES = (
    *("own_view", "unknown", "anisotropic", "thick", "noisy", "contrast", "turned"),
    *("gaussian", "gapped", "apodised"),
)
_SECTIONS = ("model", "sampling")
_RANGES = {"ramp": 1.0, "gap": 0.9, "apodisation": 1.0}  # and what a degradation allows at most


@dataclass(frozen=True)
class SamplingConfig:
    """How training samples are drawn from high-resolution volumes.

    Lengths are in low-resolution voxels. A sample is a low-resolution patch of `patch` voxels a
    side, simulated with `context` voxels around it and questioned at `points` high-resolution
    voxels that keep `margin` voxels from its faces. With probability `own_view` the patch is an
    image of its own instead: no context, no margin, real faces (always so in the paper).
    """

    batch: int = 4
    patch: int = 12
    points: int = 1500
    context: float = 6.0
    margin: float = 2.0
    own_view: float = 0.15
    acquisitions: Mapping[str, float] = field(
        default_factory=lambda: {"kspace": 0.38, "slice": 0.39, "spline": 0.23}
    )
    gaussian: float = 0.5  # share of `slice` with a Gaussian profile; the others are trapezoids …
    ramp: tuple[float, float] = (0.0, 0.2)  # … with ramps of this share of their width (0: a box)
    gapped: float = 0.45  # share of `slice` with gaps between the slices …
    gap: tuple[float, float] = (0.0, 0.3)  # … of this share of their distance
    apodised: float = 0.2  # share of `kspace` with an apodisation …
    apodisation: tuple[float, float] = (0.0, 0.8)  # … of this strength (1: Hamming's window)
    unknown: float = 0.2  # share of samples whose acquisition is not told; likewise the noise
    scale: tuple[float, float] = (1.0, 4.0)
    scale_step: float | None = None  # None: any real scale
    anisotropic: float = 0.3  # share with an independent scale per axis
    thick: float = 0.2  # share with one thick axis, scale `scale[0]` … `thick_scale`
    thick_scale: float = 6.0
    noisy: float = 0.4  # share with Rician noise
    noise: float = 0.06  # its largest standard deviation, in normalised intensity
    contrast: float = 0.5  # share with a random contrast
    turned: float = 1.0  # share flipped and with axes permuted at random

    def __post_init__(self) -> None:
        low, high = self.scale
        if min(self.batch, self.patch, self.points) < 1:
            raise ArSSRError("batch, patch and points must be at least 1")
        if not (1 <= low <= high and self.thick_scale >= low):
            raise ArSSRError("scales must be at least 1, the lowest first")
        if self.scale_step is not None and self.scale_step <= 0:
            raise ArSSRError("scale_step must be above 0")
        if min(self.context, self.margin, self.noise) < 0:
            raise ArSSRError("context, margin and noise must be at least 0")
        if self.own_view < 1 and self.patch < 2 * self.margin + 4:
            raise ArSSRError(f"a margin of {self.margin:g} leaves nothing of {self.patch} voxels")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ArSSRError(f"{name} is a share, between 0 and 1, not {getattr(self, name)}")
        for name, most in _RANGES.items():
            least, largest = getattr(self, name)
            if not 0 <= least <= largest <= most:
                raise ArSSRError(
                    f"{name} is a range between 0 and {most:g}, not {[least, largest]}"
                )
        for name in self.acquisitions:
            named_degradation(name)
        if min(self.acquisitions.values(), default=0) < 0 or not sum(self.acquisitions.values()):
            raise ArSSRError("acquisitions need shares of at least 0, and one above 0")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that defines a run but the data, the device and the output folder."""

    model: ModelConfig
    sampling: SamplingConfig = SamplingConfig()
    loss: Literal["l1", "relative"] = "relative"
    optimiser: Literal["adam", "adamw", "muon"] = "muon"
    lr: float = 1.2e-3
    lr_with_init: float | None = None  # instead of lr, where there are weights to start from
    beta2: float = 0.99
    weight_decay: float = 0.01
    schedule: Literal["cosine", "halving"] = "cosine"
    halve_every_epochs: int = 200
    warmup_steps: int = 100
    steps: int | None = 20_000
    epochs: int | None = None  # instead of steps: passes over the items, each drawn once
    clip: float | None = 1.0
    ema: float | None = 0.995
    precision: Literal["auto", "bf16", "float32"] = "auto"  # auto: bf16 where it is faster
    seed: int = 20
    validate_every: int = 500
    checkpoint_every_seconds: float = 60.0
    resident_gb: float = 8.0  # of images; a folder that is larger passes by in parts, each …
    visits: int = 256  # … image of a part being drawn this often before it makes room
    weights: Mapping[str, int] = field(default_factory=dict)  # pattern of names: drawn so often

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ArSSRError("a training configuration needs either steps or epochs")
        if (self.steps or self.epochs or 0) < 1:
            raise ArSSRError("steps or epochs must be at least 1")
        if min(self.halve_every_epochs, self.validate_every) < 1:
            raise ArSSRError("halve_every_epochs and validate_every must be at least 1")
        if self.lr_with_init is not None and not self.lr_with_init > 0:
            raise ArSSRError("lr_with_init must be above 0")
        if not self.lr > 0 or min(self.weight_decay, self.warmup_steps, self.seed) < 0:
            raise ArSSRError("lr must be above 0, weight_decay, warmup_steps and seed at least 0")
        if not 0 <= self.beta2 < 1:
            raise ArSSRError(f"beta2 must be at least 0 and below 1, not {self.beta2:g}")
        if not self.resident_gb > 0 or self.visits < 1:
            raise ArSSRError("resident_gb must be above 0 and visits at least 1")
        if min(self.weights.values(), default=1) < 1:
            raise ArSSRError("weights of images must be at least 1")
        if self.clip is not None and self.clip <= 0:
            raise ArSSRError("clip must be above 0, or null for none")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ArSSRError("ema must be between 0 and 1, or null for none")

    def total_steps(self, items: int) -> int:
        """Optimiser steps of the whole run over a data set of that many items."""
        return self.steps if self.steps is not None else self.epochs * self.epoch_steps(items)  # type: ignore[operator]

    def epoch_steps(self, items: int) -> int:
        """Optimiser steps in which every item is drawn once (the last batch is filled up)."""
        return -(-items // self.sampling.batch)

    def lr_at(self, step: int, items: int) -> float:
        """The learning rate of a step of a run over that many items.

        It warms up linearly. `cosine` falls from `lr` to a hundredth of it at the last step;
        `halving` halves it every so many epochs, as the paper does.
        """
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        if self.schedule == "halving":
            epoch = step // self.epoch_steps(items)
            return self.lr * (warm * 0.5 ** (epoch // self.halve_every_epochs))
        cosine = math.cos(math.pi * step / self.total_steps(items))
        return self.lr * (warm * (0.01 + 0.99 * 0.5 * (1 + cosine)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a file."""
        plain = asdict(self)
        sampling = plain["sampling"].items()
        plain["model"] = self.model.to_dict()
        plain["sampling"] = {n: list(v) if isinstance(v, tuple) else v for n, v in sampling}
        return plain

    def differences_from(self, other: Mapping[str, Any]) -> list[str]:
        """Each setting that another recipe, as plain values, has otherwise; in words.

        But for how long it goes on.
        """
        own, others = _settings(self.to_dict()), _settings(other)
        return [
            f"{name} is {others.get(name, 'not known')} there, {own.get(name, 'not known')} here"
            for name in own | others
            if own.get(name) != others.get(name) and name not in ("steps", "epochs")
        ]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """The inverse of `to_dict`; unknown names and values of the wrong type raise ArSSRError."""
        values = dict(values)
        if "model" not in values:
            raise ArSSRError("a recipe needs a section 'model', or `extends: light`")
        section = values.pop("model")
        try:
            model = ModelConfig.from_dict(section)
        except ArSSRError as error:
            asked = {f.name for f in fields(ModelConfig)} - {"acquisitions"}
            whole = isinstance(section, Mapping) and asked <= set(section)
            hint = "" if whole else "; `extends: light` takes what is not said from that preset"
            raise ArSSRError(f"{error}{hint}") from None
        sampling = _checked(values.pop("sampling", None) or {}, SamplingConfig, "sampling")
        values = _checked(values, cls, "training configuration")
        return cls(model=model, sampling=SamplingConfig(**sampling), **values)

    @classmethod
    def read(cls, name_or_path: str) -> "TrainConfig":
        """A preset by name or a YAML file by path, and what they extend (see `read_values`)."""
        values = read_values(name_or_path)
        try:
            return cls.from_dict(values)
        except ArSSRError as error:
            raise ArSSRError(f"{name_or_path}: {error}") from None


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Sections taken apart: {"sampling.batch": 4, …}."""
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if name in _SECTIONS:
            plain |= {f"{name}.{key}": each for key, each in value.items()}
        else:
            plain[name] = value
    return plain


def _checked(values: Any, section: type, where: str) -> dict[str, Any]:
    """The settings, each of the type that the fields of `section` have."""
    if not isinstance(values, Mapping):
        raise ArSSRError(f"{where} must be a section of names and values, not {values!r}")
    kinds = {f.name: f.type for f in fields(section)}
    unknown = sorted(str(name) for name in set(values) - set(kinds))
    if unknown:
        raise ArSSRError(f"unknown setting in {where}: {', '.join(unknown)}")
    return {name: _typed(value, kinds[name], name) for name, value in values.items()}


def _typed(value: Any, kind: Any, name: str) -> Any:
    """The value as a setting of that kind; numbers may be text, as YAML reads 1e-4."""
    kinds = get_args(kind) or (kind,)
    try:
        if get_origin(kind) is tuple:
            low, high = (_typed(each, float, name) for each in value)
            return low, high
        if get_origin(kind) is Mapping:
            return {str(key): _typed(each, kinds[1], name) for key, each in value.items()}
        if get_origin(kind) is Literal:
            known = value in kinds
        elif value is None:
            known = NoneType in kinds
        else:
            value = int(value) if int in kinds and float(value) % 1 == 0 else float(value)
            known = isinstance(value, int) or (float in kinds and math.isfinite(value))
    except (AttributeError, OverflowError, TypeError, ValueError):
        known = False
    if not known:
        wanted = " or ".join(getattr(k, "__name__", repr(k)) for k in kinds)
        raise ArSSRError(f"{name} cannot be {value!r}; it is {wanted}")
    return value


def read_values(name_or_path: str, through: Sequence[str] = ()) -> dict[str, Any]:
    """The values of a recipe, a preset or a YAML file.

    What it does not say itself is that of the recipe that it `extends`: a preset, or a file named
    from where it lies. A recipe that says `steps` takes no `epochs` from there, nor the other way.
    through: the recipes that lead here. Raises ArSSRError where there is none, for what is not
    YAML, and for recipes that extend one another in a circle.
    """
    if name_or_path in through:
        raise ArSSRError(f"recipes extend one another: {', '.join((*through, name_or_path))}")
    values = read_yaml(name_or_path, presets(), "recipe")
    if not isinstance(values, Mapping):
        raise ArSSRError(f"{name_or_path} is not a training configuration")
    values = dict(values)
    if "extends" not in values:
        return values
    base = str(values.pop("extends"))
    if base not in presets():
        base = str(Path(name_or_path).parent / base)
    return _extended(read_values(base, (*through, name_or_path)), values)


def _extended(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Own values in place of the base's; of the sections only those that are named."""
    values = {**base, **own}
    for length, other in (("steps", "epochs"), ("epochs", "steps")):
        if own.get(length) is not None and other not in own:
            values[other] = None
    for name in _SECTIONS:
        if isinstance(base.get(name), Mapping) and isinstance(own.get(name), Mapping):
            values[name] = {**base[name], **own[name]}
    return values


def presets() -> dict[str, str]:
    """The recipes that ship, by name, as YAML."""
    return shipped_yaml("arssr.training", "presets")
