"""How long a training will take, said once."""

import pytest

from arssr.cli import forecast


def test_the_time_left_is_said_once_when_it_is_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first step took 100 s, the others 2."""
    clock = iter([100.0 + 2 * n for n in range(100)])
    monkeypatch.setattr(forecast.time, "monotonic", lambda: next(clock))
    say = forecast.Forecast()
    for step in range(1, 12):
        say(step, 1011)
    assert capsys.readouterr().err == ""
    for step in range(12, 30):
        say(step, 1011)
    assert capsys.readouterr().err.splitlines() == [
        "about 33 min 18 s for the 999 steps to come, 2 s each"
    ]


def test_a_training_that_ends_needs_no_forecast(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 100.0])
    monkeypatch.setattr(forecast.time, "monotonic", lambda: next(clock))
    say = forecast.Forecast()
    for step in (1, 2):
        say(step, 2)
    assert capsys.readouterr().err == ""
