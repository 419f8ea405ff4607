"""Tasks for workers, that tests can watch."""

import os
import signal
import tempfile
import time
from pathlib import Path

from arssr.field import ReportProgress
from arssr.jobs.job import Job
from arssr.temporary import temporary


def process(_progress: ReportProgress) -> int:
    """Which process does it."""
    return os.getpid()


def wait(folder: Path, progress: ReportProgress) -> None:
    """Work for a minute, with files under way in a folder and in the temporary one."""
    with temporary(folder / "a"), tempfile.TemporaryDirectory() as unpacked:
        (Path(unpacked) / "patient").touch()
        progress("waiting", 0.5)
        time.sleep(60)


def deaf(progress: ReportProgress) -> None:
    """Work for a minute, and do not listen to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    progress("waiting", 0.5)
    time.sleep(60)


def wait_as_a_job(
    _network: object, job: Job, _called: str, _like: str, progress: ReportProgress
) -> None:
    """The same in place of the task that computes a result."""
    (job.destination.parent / "half-written").touch()
    wait(job.destination.parent, progress)


def crash(_progress: ReportProgress) -> None:
    """End as a process does that the kernel kills for want of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def bug(_progress: ReportProgress) -> None:
    """Go wrong as nobody foresaw."""
    raise ArithmeticError("1 is 2")
