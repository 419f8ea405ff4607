"""What the page asks for, as a `Request`: no path, and nothing that the page is not offered."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from arssr.errors import ArSSRError
from arssr.scan import as_acquisition
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target

_SWITCHES = ("uncertainty", "consistent", "strict", "as_stored", "clamp", "skip_air", "labels")
_TARGETS = ("scale", "spacing", "shape", "isotropic", "like")
_KNOWN = (*_SWITCHES, "target", "acquisition", "noise", "ensemble")


def object_of(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises ArSSRError for all else, NaN and infinities among it."""
    try:
        value = json.loads(body or b"{}", parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ArSSRError("this is no JSON") from None
    if not isinstance(value, dict):
        raise ArSSRError("a JSON object is needed")
    return value


def text_of(asked: Mapping[str, Any], name: str) -> str:
    """A text by its name. Raises ArSSRError where there is none."""
    value = asked.get(name)
    if not isinstance(value, str):
        raise ArSSRError(f"{name} must be a text")
    return value


def request_of(
    asked: Mapping[str, Any],
    path_of: Callable[[str], Path],
    frames: bool,
    memory: float | None,
) -> Request:
    """The request. Raises ArSSRError for what it does not know and for values that are none.

    asked: `target` (one of `scale`, `spacing`, `shape`, `isotropic`, and `like`, another scan's
        id), and by name what `Request` takes.
    path_of: of a scan, by its id.
    """
    if unknown := sorted(asked.keys() - {*_KNOWN}):
        raise ArSSRError(f"there is no option {unknown[0]!r}; known are {', '.join(_KNOWN)}")
    switches = {name: asked[name] for name in _SWITCHES if name in asked}
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise ArSSRError(f"{name} is true or false, not {value!r}")
    noise, acquisition = asked.get("noise", "auto"), asked.get("acquisition", "auto")
    if not (isinstance(noise, str) or _is_number(noise)):
        raise ArSSRError("noise is a number, auto or unknown")
    if not (isinstance(acquisition, str) or _is_list(acquisition, str)):
        raise ArSSRError("an acquisition is one name or three")
    ensemble = asked.get("ensemble", 1)
    if not isinstance(ensemble, int) or isinstance(ensemble, bool):
        raise ArSSRError("ensemble is 1, 4 or 8")
    return Request(
        _target(asked.get("target", {}), path_of),
        acquisition=as_acquisition(acquisition),
        noise=noise,
        ensemble=ensemble,
        memory=memory,
        frames=frames,
        **switches,
    )


def _target(asked: Any, path_of: Callable[[str], Path]) -> Target:
    if not isinstance(asked, dict) or asked.keys() - {*_TARGETS}:
        raise ArSSRError("a target is one of scale, spacing, shape, isotropic and like")
    for name in ("scale", "spacing"):
        value = asked.get(name)
        if not (value is None or _is_number(value) or _is_list(value, int, float)):
            raise ArSSRError(f"{name} is one number or three")
    if not (asked.get("shape") is None or _is_list(asked["shape"], int)):
        raise ArSSRError("shape is three whole numbers")
    if not isinstance(asked.get("isotropic", False), bool):
        raise ArSSRError("isotropic is true or false")
    like = asked.get("like")
    return Target(**{**asked, "like": None if like is None else path_of(str(like))})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: Any, *types: type) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(each, types) and not isinstance(each, bool) for each in value)
    )


def _refuse_constant(name: str) -> float:
    raise ValueError(name)
