"""What a client may ask for, and the networks that do it: each is loaded once, one computes."""

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from arssr.api import Model, Options, load_model
from arssr.errors import ArSSRError, ArSSRWarning
from arssr.files import bytes_in_words
from arssr.upsampling.target import NoTargetError
from arssr.volume import Volume
from arssr.weights.registry import shipped

_AS_SERVED = ("", "default")  # a model
_OPEN = ("", "auto")  # a spacing
_NAMES = ("model", "spacing", "sendoriginal")
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class Asked:
    """The parameters of a session; integrations/openrecon/OpenReconLabel.json offers them.

    model: the name of shipped weights, or "" for what the server was started with.
    spacing_mm: of all axes; None refines thick slices alone.
    send_original: the images that came go back, too.
    """

    model: str = ""
    spacing_mm: float | None = None
    send_original: bool = True

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "Asked":
        """What parameters say. Raises ArSSRError for values of no use."""
        model, spacing, original = (
            str(parameters.get(name, default)).strip().lower()
            for name, default in zip(_NAMES, ("", "", True), strict=True)
        )
        try:
            spacing_mm = None if spacing in _OPEN else float(spacing)
        except ValueError:
            raise ArSSRError(f"spacing is auto or a number of mm, not {spacing!r}") from None
        if original not in _BOOLEANS:
            raise ArSSRError(f"sendoriginal is true or false, not {original!r}")
        model = "" if model in _AS_SERVED else model
        return cls(model, spacing_mm, _BOOLEANS[original])


def parameters_in(text: str) -> dict[str, Any]:
    """What a text of FIRE or OpenRecon, {"parameters": {…}}, sets of ours; nothing, for others."""
    try:
        parameters = json.loads(text)["parameters"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
    if not isinstance(parameters, dict):
        return {}
    return {name: parameters[name] for name in _NAMES if name in parameters}


class Models:
    """The network that a server was started with, and others by name."""

    def __init__(self, default: str, device: str = "auto", precision: str = "auto") -> None:
        self._default, self._device, self._precision = default, device, precision
        self._loaded: dict[str, Model] = {}
        self._one_at_a_time = Lock()
        self._named("")  # what cannot be loaded is said at once

    def upsample(
        self, volume: Volume, asked: Asked, most_bytes: int
    ) -> tuple[Volume, str, list[str]]:
        """The result, the name of the weights, and what there is to say about it.

        Raises ArSSRError as `Model.upsample` does, for weights that do not ship, and where the
        result would take more than so many bytes.
        """
        options: Options = {}
        if asked.spacing_mm is not None:
            options["spacing"] = asked.spacing_mm
            size = 4 * math.prod(volume.grid.with_spacing(asked.spacing_mm).shape)
            if size > most_bytes:
                raise ArSSRError(
                    f"with voxels of {asked.spacing_mm:g} mm the result takes "
                    f"{bytes_in_words(size)}, and {bytes_in_words(most_bytes)} are the most"
                )
        with self._one_at_a_time, warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", ArSSRWarning)
            model = self._named(asked.model)
            try:
                result = model.upsample(volume, **options)
            except NoTargetError as error:
                raise ArSSRError(f"{error} (here: the parameter spacing)") from None
        told = [str(each.message) for each in said if issubclass(each.category, ArSSRWarning)]
        return result, model.name, told

    def _named(self, name: str) -> Model:
        # names alone: no client opens files by their path
        if name and name not in shipped():
            raise ArSSRError(f"no weights {name!r}; there are {', '.join(shipped())}")
        if name not in self._loaded:
            self._loaded[name] = load_model(name or self._default, self._device, self._precision)
        return self._loaded[name]
