"""A process that is killed, by us or by others, costs its task and nothing else."""

import os
import time
from pathlib import Path
from threading import Event, Thread

import pytest
from tests.serving import chores
from tests.serving.conftest import wait_for

from arssr.errors import ArSSRError
from arssr.jobs.worker import Worker

pytestmark = pytest.mark.slow


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_crash_and_a_bug_are_sentences_and_the_next_task_is_done(tmp_path: Path) -> None:
    worker = Worker(tmp_path / "work")
    with pytest.raises(ArSSRError, match="1 is 2"):
        worker.ask(chores.bug)
    first = worker.ask(chores.process)
    with pytest.raises(ArSSRError, match="was killed, perhaps for want of memory"):
        worker.ask(chores.crash)
    assert not is_alive(first)
    second = worker.ask(chores.process)
    assert second not in (first, os.getpid())
    killed = worker._process
    assert killed is not None
    killed.kill()  # while it has nothing to do
    wait_for(lambda: not killed.is_alive())
    third = worker.ask(chores.process)
    assert third != second
    worker.stop(for_good=True)
    assert not is_alive(third)
    with pytest.raises(ArSSRError, match="ending"):
        worker.ask(chores.process)


def test_work_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    worker, begun = Worker(tmp_path / "work"), Event()
    said: list[ArSSRError] = []

    def ask() -> None:
        try:
            worker.ask(chores.wait, tmp_path, progress=lambda *_: begun.set())
        except ArSSRError as error:
            said.append(error)

    thread = Thread(target=ask)
    thread.start()
    assert begun.wait(60)
    assert len(list(tmp_path.rglob("patient"))) == 1  # its temporary files are in its folder
    worker.stop()
    thread.join(10)
    assert not thread.is_alive() and len(said) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_does_not_listen_is_killed_all_the_same(tmp_path: Path) -> None:
    worker, began = Worker(tmp_path / "work"), time.monotonic()

    def cancel(_what: str, _share: float) -> None:
        raise ArSSRError("cancelled")

    with pytest.raises(ArSSRError, match="cancelled"):
        worker.ask(chores.deaf, progress=cancel)
    assert time.monotonic() - began < 55  # it would have taken a minute
    assert worker._process is None
