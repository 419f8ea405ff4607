"""Workers end with whoever wants them to, and leave nothing half-written."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import pytest

from arssr.workers import in_workers

WORK = """
import os, sys, time
from pathlib import Path
from arssr.temporary import temporary
from arssr.workers import worker_pool

def write(folder):
    with temporary(Path(folder) / "a"):
        time.sleep(60)

if __name__ == "__main__":
    with worker_pool(2) as pool:
        for _ in range(2):
            pool.submit(write, sys.argv[1])
        while len(os.listdir(sys.argv[1])) < 2:
            time.sleep(0.02)
        print("ready", flush=True)
        {then}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("then", "ends"),
    [
        ("raise ArithmeticError", None),
        ("time.sleep(60)", signal.SIGINT),
        ("time.sleep(60)", signal.SIGKILL),
        ("[os.kill(p, 15) for p in list(pool._processes)]; time.sleep(60)", signal.SIGKILL),
    ],
)
def test_nothing_half_written_stays(tmp_path: Path, then: str, ends: signal.Signals | None) -> None:
    (tmp_path / "work.py").write_text(WORK.format(then=then))
    folder = tmp_path / "out"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "work.py"), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    if ends is not None:
        process.send_signal(ends)
    assert process.wait(30) != 0
    for _ in range(300):  # workers end on their own
        if not list(folder.iterdir()):
            return
        time.sleep(0.05)
    pytest.fail(f"left: {list(folder.iterdir())}")


def inverse(task: tuple[Path, int]) -> float:
    """1 / number; 13 ends its process, 7 does so the first time."""
    folder, number = task
    if number == 13 or (number == 7 and not (folder / "seen").exists()):
        (folder / "seen").touch()
        os._exit(1)
    return 1 / number


@pytest.mark.slow
def test_what_a_worker_dies_of_is_tried_twice_and_fails_alone(tmp_path: Path) -> None:
    waiting = deque((tmp_path, number) for number in (1, 7, 2, 13, 0, 4))
    answers = {number: answer for (_, number), answer in in_workers(inverse, waiting, 2)}
    assert "killed twice" in str(answers.pop(13))
    assert isinstance(answers.pop(0), ZeroDivisionError)
    assert answers == {number: 1 / number for number in (1, 7, 2, 4)}
