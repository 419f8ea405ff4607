"""Threads, quiet, the log, examples and words, whichever command takes them."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import typer
from tests.phantoms import smooth, volume

from arssr.cli import console
from arssr.cli import main as program
from arssr.cli.bids import spread_lists
from arssr.cli.console import keep_log, show_log
from arssr.cli.examples import EXAMPLES
from arssr.cli.numbers import join_triples
from arssr.cli.session import wait_briefly
from arssr.field import VoxelField

from .conftest import Arssr, Result


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads, the terminal and the log as they were."""
    threads = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(threads)
    console.stderr.only_warnings = False
    keep_log(None)


@pytest.fixture
def words(scan: Path, tiny: Path, tmp_path: Path) -> tuple[object, ...]:
    """A command line that can be done."""
    return "upsample", scan, "-o", tmp_path / "o.nii", "--scale", 2, "-m", tiny


def test_threads_hold_here_and_in_workers(
    arssr: Arssr, words: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, compute = [], VoxelField.finished

    def finished(self: VoxelField, *args: object) -> object:
        seen.append((torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]))
        return compute(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(VoxelField, "finished", finished)
    assert arssr(*words, "--threads", 2).code == 0
    assert seen == [(2, "2")]
    assert arssr(*words, "--threads", 0).code == 2


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, "1000"),
        ({"GOMP_SPINCOUNT": "20"}, "20"),
        ({"OMP_WAIT_POLICY": "active"}, None),
    ],
)
def test_threads_wait_briefly_unless_the_user_says_how(
    said: dict[str, str], found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    wait_briefly()
    assert os.environ.get("GOMP_SPINCOUNT") == found


def test_quiet_leaves_warnings_and_errors(arssr: Arssr, words: tuple[object, ...]) -> None:
    assert arssr(*words, "--quiet") == Result(0, "", "")
    failed = arssr(*words, "-q")
    assert failed.code == 1 and "exists already" in failed.complaint
    assert arssr(*words, "--overwrite").err  # the next command speaks again


def test_preparing_can_be_quiet_and_logged_too(arssr: Arssr, tmp_path: Path) -> None:
    for seed in range(2):
        volume(smooth((9, 9, 9), seed)).write(tmp_path / "hr" / f"a{seed}.nii")
    log = tmp_path / "a.log"
    words = ("prepare", tmp_path / "hr", "-o", tmp_path / "data", "--patch", 5, "--threads", 1)
    assert arssr(*words, "--quiet", "--log-file", log) == Result(0, "", "")
    assert "hr_train: 1 volume of 1 subject, 6 patches" in log.read_text()


def test_a_log_keeps_what_was_said_with_the_time(
    arssr: Arssr, words: tuple[object, ...], tmp_path: Path
) -> None:
    log = tmp_path / "logs" / "a.log"
    assert arssr(*words, "--log-file", log, "--quiet").code == 0
    logging.getLogger("nibabel").warning("a library has something to say")
    refused = arssr(*words, "--log-file", log)
    assert refused.code == 1
    lines = log.read_text().splitlines()
    assert all(line[:2] == "20" for line in lines)
    for part in ("INFO arssr 0", "--scale 2", "o.nii  10×12×8 voxels", "WARNING a library has"):
        assert sum(part in line for line in lines) >= 1, part
    assert "ERROR error: " in lines[-1] and "exists already" in lines[-1]
    keep_log(None)
    arssr(*words)
    assert log.read_text().splitlines() == lines


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to write to")
def test_a_log_that_is_full_is_told_once(arssr: Arssr, words: tuple[object, ...]) -> None:
    done = arssr(*words, "--log-file", "/dev/full")
    assert done.code == 0 and "Traceback" not in done.err
    [said] = [line for line in done.err.splitlines() if "warning" in line]
    assert said == "warning: nothing more can be kept in /dev/full: No space left on device"
    assert "10×12×8 voxels" in done.err


def test_what_is_logged_says_what_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    show_log()
    logging.getLogger("arssr.somewhere").warning("a scan is odd")
    logging.getLogger("nibabel").error("a library fails")
    assert capsys.readouterr().err.splitlines() == [
        "warning: a scan is odd",
        "error: a library fails",
    ]


def test_a_log_that_cannot_be_written_is_a_sentence(
    arssr: Arssr, words: tuple[object, ...], scan: Path
) -> None:
    assert "cannot write" in arssr(*words, "--log-file", scan / "a.log").complaint


def test_a_bug_of_ours_leaves_its_traceback_in_the_log(
    arssr: Arssr,
    words: tuple[object, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("no sentence")

    monkeypatch.setattr(VoxelField, "finished", fail)
    with pytest.raises(ZeroDivisionError):
        arssr(*words, "--log-file", tmp_path / "a.log")
    assert "ZeroDivisionError: no sentence" in (tmp_path / "a.log").read_text()


def test_ctrl_c_says_a_word(tmp_path: Path) -> None:
    """In a process of its own: it is typer that catches the signal."""
    script = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # background jobs ignore it
        "from arssr.cli import main, models\n"
        "import arssr.weights.registry as registry\n"
        "registry.shipped = lambda: os.kill(os.getpid(), signal.SIGINT) or time.sleep(60)\n"
        "sys.argv = ['arssr', 'models']\n"
        "main.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")


# --- help ----------------------------------------------------------------------------------------


def test_switches_stand_without_a_type(arssr: Arssr) -> None:
    for command in EXAMPLES:
        assert "<bool>" not in arssr(command, "--help").out


@pytest.mark.parametrize("command", EXAMPLES)
def test_examples_are_command_lines(arssr: Arssr, command: str) -> None:
    group = typer.main.get_command(program.app)
    found = group.commands[command]  # type: ignore[attr-defined]
    shown = arssr(command, "-h").out
    for line, _ in EXAMPLES[command]:
        assert f"arssr {command} {line}".rstrip() in " ".join(shown.split())
        arguments = join_triples(spread_lists([command, *line.split()]))[1:]
        found.make_context(command, arguments)


def test_the_words_of_a_clinic_name_acquisitions(
    arssr: Arssr, words: tuple[object, ...], tmp_path: Path
) -> None:
    for said, told in (("2D", "slice"), ("3d", "kspace"), ("spline", "spline")):
        assert arssr(*words, "--acquisition", said, "--overwrite").code == 0
        assert f'"acquisition": "{told}"' in (tmp_path / "o.json").read_text()


def test_axes_are_told_one_by_one(arssr: Arssr, words: tuple[object, ...], tmp_path: Path) -> None:
    assert arssr(*words, "--acquisition", "3D, 3D,2D", "--overwrite").code == 0
    made = json.loads((tmp_path / "o.json").read_text())
    assert made["told"]["acquisition_ijk"] == ["kspace", "kspace", "slice"]
    few = arssr(*words, "--acquisition", "3D,2D", "--overwrite")
    assert few.code == 2 and "one name or three" in few.err
