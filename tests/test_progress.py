"""A bar in a notebook for what takes long, and silence elsewhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import IPython
import IPython.display
import pytest
from tests.phantoms import smooth, tiny_network, volume

from arssr import api, progress, readings
from arssr.api import Model
from arssr.progress import NotebookBar, silent, usual
from arssr.weights.registry import Weights


class Cell:
    """What is displayed below a cell, as it changes."""

    def __init__(self) -> None:
        self.seen = list[str]()

    def update(self, html: Any) -> None:
        self.seen.append(html.data)

    def display(self, html: Any, display_id: bool) -> "Cell":
        assert display_id
        self.update(html)
        return self


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    cell = Cell()
    monkeypatch.setattr(IPython.display, "display", cell.display)
    return cell


def at(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds)


def test_what_is_done_soon_shows_no_bar(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    bar = NotebookBar()
    for seconds, share in [(0.0, 0.0), (0.5, 0.5), (0.9, 1.0)]:
        at(seconds, monkeypatch)
        bar("encoding", share)
    assert cell.seen == []


def test_a_bar_says_what_is_done_and_how_long_it_takes_and_goes(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    bar = NotebookBar()
    for seconds, share in [(0.0, 0.0), (2.0, 0.25), (2.1, 0.3), (4.0, 0.5), (8.0, 1.0)]:
        at(seconds, monkeypatch)
        bar("encoding <b>", share)
    first, second, last = cell.seen
    assert "encoding &lt;b&gt;: 25%, 6 s left" in first and 'value="0.250"' in first
    assert ": 50%, 4 s left" in second
    assert last == ""


def test_the_next_work_has_a_bar_again(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    bar = NotebookBar()
    for seconds, what, share in [
        *((0.0, "encoding", 0.0), (2.0, "encoding", 0.5), (3.0, "encoding", 1.0)),
        *((3.0, "decoding", 0.1), (3.5, "decoding", 0.5), (4.5, "decoding", 0.9)),
        (5.0, "decoding", 1.0),
    ]:
        at(seconds, monkeypatch)
        bar(what, share)
    assert ["encoding" in each for each in cell.seen] == [True, False, False, False]
    assert "decoding: 90%" in cell.seen[2] and cell.seen[3] == ""


def test_outside_notebooks_nobody_hears_and_nothing_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert usual() is silent
    model = Model(Weights("tiny", tiny_network(), {}, Path("tiny")), "cpu")
    model.upsample(volume(smooth((6, 6, 6))), scale=2)
    assert capsys.readouterr() == ("", "")


def test_in_a_notebook_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shell:
        kernel = "a kernel"

    monkeypatch.setattr(IPython, "get_ipython", Shell)
    assert isinstance(usual(), NotebookBar)


def test_who_is_named_hears_of_all_work_and_the_usual_one_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hearing(heard: list[str]) -> Callable[[str, float], None]:
        return lambda what, _share: heard.append(what)

    usually, named = list[str](), list[str]()
    for module in (api, readings):
        monkeypatch.setattr(module, "usual", lambda: hearing(usually))
    model = Model(Weights("tiny", tiny_network(), {}, Path("tiny")), "cpu")
    image = volume(smooth((6, 6, 6)))
    model.upsample(image, scale=2, progress=hearing(named))
    assert set(named) == {"encoding", "decoding"} and not usually
    model.upsample(image, scale=2)
    assert set(usually) == {"encoding", "decoding"}
    del usually[:]
    model.field(image).on(image.grid.scaled(2))
    assert set(usually) == {"encoding", "decoding"}
