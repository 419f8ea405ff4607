"""What is asked of a method: settings one by one, and protocols that name a benchmark once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arssr.degradation import degrade, named_degradation
from arssr.errors import ArSSRError
from arssr.evaluation.baselines import BASELINES
from arssr.shipped import read_yaml, shipped_yaml
from arssr.volume import Volume

Scale = tuple[float, float, float]


def parse_scale(text: str | float) -> Scale:
    """A scale as people write it: one number for all axes, or three with × or x between.

    >>> parse_scale("2.5"), parse_scale("1x1x4")
    ((2.5, 2.5, 2.5), (1.0, 1.0, 4.0))
    """
    try:
        parts = [float(part) for part in str(text).lower().replace("×", "x").split("x")]
    except ValueError:
        parts = []
    if len(parts) not in (1, 3):
        raise ArSSRError(f"a scale is a number such as 2.5, or three such as 1x1x4, not {text!r}")
    first, last = parts[0], parts[-1]
    return (first, parts[1] if len(parts) == 3 else first, last)


def parse_snr(text: str | float | None) -> float | None:
    """A signal-to-noise ratio, or None for `none`: no noise."""
    if text is None or str(text).lower() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise ArSSRError(f"an SNR is a number or none, not {text!r}") from None


@dataclass(frozen=True)
class Setting:
    """One question: how a high-resolution volume becomes the low-resolution scan.

    degradation: a name that `arssr.degradation.named_degradation` knows.
    scale_ijk: high-resolution voxels per low-resolution voxel along each array axis, at least 1.
    snr: of the Rician noise, see `arssr.degradation.degrade`; None for none.
    """

    degradation: str
    scale_ijk: Scale
    snr: float | None = None

    def __post_init__(self) -> None:
        named_degradation(self.degradation)
        scale = np.asarray(self.scale_ijk)
        if not (np.isfinite(scale).all() and scale.min() >= 1 and scale.max() > 1):
            raise ArSSRError(
                f"a scale is at least 1 along every axis and more along one, not {self.scale}"
            )
        if self.snr is not None and not (np.isfinite(self.snr) and self.snr > 0):
            raise ArSSRError(f"an SNR is a finite number above 0, not {self.snr}")

    def __str__(self) -> str:
        noise = "" if self.snr is None else f", SNR {self.snr:g}"
        return f"{self.degradation} {self.scale}{noise}"

    @property
    def scale(self) -> str:
        """As people write it: "2", "1x1x4"."""
        parts = [f"{k:.10g}" for k in self.scale_ijk]
        return parts[0] if len(set(parts)) == 1 else "x".join(parts)

    @property
    def acquisition(self) -> str:
        """What a model is told that the scan is."""
        return named_degradation(self.degradation).name

    def measure(self, truth: Volume, generator: np.random.Generator | None = None) -> Volume:
        """The low-resolution scan of `truth`; a generator is needed where there is noise."""
        degradation = named_degradation(self.degradation)
        return degrade(truth, self.scale_ijk, degradation, self.snr, generator)


def combine(
    degradations: Iterable[str],
    scales: Iterable[str | float],
    snrs: Iterable[str | float | None] = (None,),
) -> list[Setting]:
    """Every degradation at every scale and noise level."""
    scales_ijk = [parse_scale(scale) for scale in scales]
    levels = [parse_snr(snr) for snr in snrs]
    return [Setting(d, k, snr) for d in degradations for snr in levels for k in scales_ijk]


@dataclass(frozen=True)
class BenchmarkProtocol:
    """A benchmark by name: settings, and the baselines that its tables compare with."""

    name: str
    about: str
    settings: tuple[Setting, ...]
    baselines: tuple[str, ...] = BASELINES

    @classmethod
    def read(cls, name_or_path: str) -> "BenchmarkProtocol":
        """One that ships (`paper`, `scanner2d`, `card`, …), or a YAML file like them.

        Raises ArSSRError for an unknown name and for a file that does not say what it should.
        """
        values = read_yaml(name_or_path, shipped_yaml("arssr.evaluation", "protocols"), "protocol")
        return cls._from_values(Path(name_or_path).stem, values, name_or_path)

    @classmethod
    def _from_values(cls, name: str, values: Any, where: str) -> "BenchmarkProtocol":
        _check_names(values, {"about", "tests"}, {"baselines"}, where)
        settings: dict[Setting, None] = {}  # each once, in order
        for test in _list(values["tests"], "tests", where):
            _check_names(test, {"degradations", "scales"}, {"snr"}, where)
            degradations = _list(test["degradations"], "degradations", where)
            scales = _list(test["scales"], "scales", where)
            levels = _list(test.get("snr", [None]), "snr", where)
            settings.update(dict.fromkeys(combine(degradations, scales, levels)))
        baselines = _list(values.get("baselines", list(BASELINES)), "baselines", where)
        if not set(baselines) <= set(BASELINES):
            raise ArSSRError(f"{where}: the baselines are some of {', '.join(BASELINES)}")
        return cls(name, str(values["about"]), tuple(settings), tuple(baselines))


def _check_names(values: Any, needed: set[str], allowed: set[str], where: str) -> None:
    names = set(values) if isinstance(values, Mapping) else set()
    if not needed <= names <= needed | allowed:
        expected = ", ".join(sorted(needed)) + "".join(f" and perhaps {n}" for n in sorted(allowed))
        raise ArSSRError(f"{where} is not a protocol: where {expected} belong there is {values!r}")


def _list(value: Any, name: str, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ArSSRError(f"{where}: {name} must be a list, not {value!r}")
    return value
