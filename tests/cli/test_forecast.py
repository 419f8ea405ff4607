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


def test_what_will_be_over_soon_needs_no_forecast(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After 24 s one row is left, which takes 12; then 3, which take 36."""
    for total, told in ((4, ""), (6, "about 36 s for the 3 rows to come, 12 s each\n")):
        clock = iter([0.0, 12.0, 24.0])
        monkeypatch.setattr(forecast.time, "monotonic", clock.__next__)
        say = forecast.Forecast("row")
        for step in (1, 2, 3):
            say(step, total)
        assert capsys.readouterr().err == told
