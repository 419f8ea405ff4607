"""What a page may ask for: values by name, and never a path."""

from pathlib import Path
from typing import Any

import pytest

from arssr.errors import ArSSRError
from arssr.serving.asked import object_of, request_of


def known(key: str) -> Path:
    if key != "s1":
        raise ArSSRError("there is no such scan")
    return Path("/private/s1")


def asked(**given: Any) -> Any:
    return request_of(given, known, frames=False, memory=1e9)


@pytest.mark.parametrize(
    "like", ["/etc/passwd", "../s1", "s2", "", 1, ["s1"], {"path": "/etc/passwd"}, True]
)
def test_like_is_a_scan_by_its_id_alone(like: Any) -> None:
    with pytest.raises(ArSSRError, match="no such scan"):
        asked(target={"like": like})


def test_like_is_the_path_of_a_known_scan() -> None:
    assert asked(target={"like": "s1"}).target.like == Path("/private/s1")


@pytest.mark.parametrize(
    "given",
    [
        *({"transforms": ["/etc/passwd"]}, {"transform": "/x"}, {"frames": True}, {"memory": 1e99}),
        *({"source": "/x"}, {"destination": "/x"}, {"overwrite": True}, {"target": "/etc/passwd"}),
        *({"target": {"path": "/x"}}, {"target": ["/x"]}, {"target": {"scale": "/x"}}),
        *({"target": {"scale": [1, 2]}}, {"target": {"scale": True}}, {"target": {"shape": 4}}),
        *({"target": {"shape": [1.5, 2, 2]}}, {"target": {"isotropic": 1}}),
        *({"target": {"scale": 2, "spacing": 1}}, {"noise": [1]}, {"noise": "/x"}, {"noise": -1}),
        *({"acquisition": 2}, {"acquisition": ["/x"] * 3}, {"acquisition": ["slice"]}),
        *({"ensemble": 4.0}, {"ensemble": True}, {"ensemble": 3}, {"clamp": 0}, {"labels": "yes"}),
    ],
)
def test_all_else_is_refused_in_a_sentence(given: dict[str, Any]) -> None:
    with pytest.raises(ArSSRError):
        asked(**given)


def test_what_is_offered_is_asked_for() -> None:
    request = asked(
        target={"scale": [1, 1, 4]}, acquisition="2D", noise=3.5, ensemble=4, consistent=True
    )
    assert request.asked() == {
        "scale": [1, 1, 4],
        "acquisition": "slice",
        "noise": 3.5,
        "ensemble": 4,
        "consistent": True,
    }
    assert request.memory == 1e9


@pytest.mark.parametrize(
    "body", [b"[]", b"1", b"{", b'{"a": NaN}', b'{"a": -Infinity}', b"\xff", b"[" * 60_000]
)
def test_only_json_objects_of_finite_numbers_are_read(body: bytes) -> None:
    with pytest.raises(ArSSRError):
        object_of(body)
