"""What killed processes leave goes with the next run, and never what is still written."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arssr import temporary
from arssr.files import replacing
from arssr.temporary import discard_unfinished, sweep, sweep_left

BEGIN = """
import sys
from pathlib import Path
from arssr.temporary import temporary
with temporary(Path(sys.argv[1]), is_folder=len(sys.argv) > 2) as made:
    if made.is_dir():
        made = made / "part"
    made.write_text("half")
    print(made, flush=True)
    sys.stdin.readline()
"""
Begin = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Starts a process that has this path under way; it ends when its input does."""
    started: list[subprocess.Popen[str]] = []

    def begin(path: Path, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", BEGIN, str(path), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None and process.stdout.readline()
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def aged(path: Path, days: float) -> None:
    """As if nothing had been written for so long."""
    before = path.stat().st_mtime - 86400 * days
    os.utime(path, (before, before))


@pytest.mark.parametrize("words", [(), ("folder",)])
def test_what_a_killed_process_left_goes_and_what_is_written_stays(
    begin: Begin, tmp_path: Path, words: tuple[str, ...]
) -> None:
    killed, running = (begin(tmp_path / name, *words) for name in ("a.nii.gz", "b.nii.gz"))
    killed.kill()
    killed.wait()
    assert len(names(tmp_path)) == 2
    sweep_left([tmp_path, tmp_path / "nowhere"])
    [left] = names(tmp_path)
    assert left.startswith(".arssr-") and left.endswith(".b.nii.gz")
    assert running.communicate("go on")[0] == "" and running.returncode == 0
    assert not names(tmp_path)


def test_what_another_machine_left_goes_after_a_day(tmp_path: Path) -> None:
    """Of its locks nothing is known here."""
    for name in ("new.nii", "old.nii"):
        (tmp_path / f".arssr-00000000-abcdefgh.{name}").touch()
    folder = tmp_path / ".arssr-00000000-abcdefgh.c.mhd"
    folder.mkdir()
    (folder / "c.zraw").touch()
    aged(tmp_path / ".arssr-00000000-abcdefgh.old.nii", 1.1)
    aged(folder, 2)
    sweep_left([tmp_path])
    left = {".arssr-00000000-abcdefgh.new.nii", ".arssr-00000000-abcdefgh.c.mhd"}
    assert names(tmp_path) == left
    aged(folder / "c.zraw", 2)
    aged(folder, 2)
    sweep_left([tmp_path])
    assert names(tmp_path) == {".arssr-00000000-abcdefgh.new.nii"}


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    kept = {".abcdefgh.a.nii", "a.nii", ".arssr-x-abcdefgh.a.nii", "arssr-00000000-abcdefgh.a.nii"}
    for name in kept:
        (tmp_path / name).touch()
        aged(tmp_path / name, 9)
    sweep_left([tmp_path])
    assert names(tmp_path) == kept


def test_without_locks_what_was_left_here_goes_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(temporary.fcntl, "flock", refused)
    with replacing(tmp_path / "a.nii") as written:
        written.write_text("half")
        sweep_left([tmp_path])
        assert written.exists()
        aged(written, 1.1)
        sweep_left([tmp_path])
        assert not written.exists()
        written.write_text("whole")
    assert (tmp_path / "a.nii").read_text() == "whole"


def test_one_that_is_taken_for_a_leftover_at_once_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its making and its lock another process may look."""
    lock, locked = temporary._lock, list[bool]()

    def late(handle: int, *, exclusive: bool) -> bool | None:
        if not exclusive:
            locked.append(True)
            if len(locked) == 1:
                sweep_left([tmp_path])
                assert not names(tmp_path)
        return lock(handle, exclusive=exclusive)

    monkeypatch.setattr(temporary, "_lock", late)
    with replacing(tmp_path / "a") as written:
        written.write_text("whole")
    assert (tmp_path / "a").read_text() == "whole" and len(locked) == 2


def test_what_a_finished_result_left_goes_alone(tmp_path: Path) -> None:
    """Wherever it was left: whoever wrote the result is done. Names may look like patterns."""
    (tmp_path / ".arssr-00000000-abcdefgh.a[1].nii").touch()
    kept = {"a[1].nii", ".arssr-00000000-abcdefgh.a1.nii", ".arssr-00000000-abcdefgh.b.a[1].nii"}
    for name in kept:
        (tmp_path / name).touch()
    sweep(tmp_path / "a[1].nii")
    assert names(tmp_path) == kept


def test_who_must_end_at_once_leaves_nothing(tmp_path: Path) -> None:
    with temporary.temporary(tmp_path / "a"), temporary.temporary(tmp_path / "b", is_folder=True):
        assert len(names(tmp_path)) == 2
        discard_unfinished()
        assert not names(tmp_path)
