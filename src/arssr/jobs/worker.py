"""A process that does one task at a time, and can be killed."""

import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

from arssr.errors import ArSSRError, in_one_line
from arssr.progress import ReportProgress, silent
from arssr.workers import begin_worker

_PATIENCE = 2.0  # seconds that a process has to clean up
_PAUSE = 0.1  # seconds between two reports of progress
_log = logging.getLogger(__name__)
_hiding = Lock()  # the script, of which there is one


class Worker:
    """One process; a new one where the last was killed.

    folder: where the process has its temporary files; they go with it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._starting = Lock()
        self._is_closed = False
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    def ask(self, task: Callable[..., Any], *values: Any, progress: ReportProgress = silent) -> Any:
        """What `task(*values, progress)` returns there; by one thread at a time.

        Raises ArSSRError for what went wrong, in a sentence, and where the process was killed or
        cannot be started.
        """
        try:
            connection = self._started()
        except OSError as error:
            reason = error.strerror or error
            raise ArSSRError(f"no process could be started to work on it: {reason}") from None
        try:
            connection.send((task, values))
            while True:
                kind, said = connection.recv()
                if kind == "progress":
                    self._pass_on(progress, *said)
                elif kind == "failed":
                    raise ArSSRError(said)
                else:
                    return said
        except (EOFError, OSError):
            self.stop()
            raise ArSSRError(
                "the process that worked on it was killed, perhaps for want of memory; nothing of "
                "it was kept"
            ) from None

    def stop(self, *, for_good: bool = False) -> None:
        """End the process, whatever it does; `for_good`, nothing can be asked any more."""
        with self._starting:
            self._is_closed = self._is_closed or for_good
            process, self._process = self._process, None
            if process is not None:
                process.terminate()
                process.join(_PATIENCE)
                process.kill()
                process.join()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _pass_on(self, progress: ReportProgress, what: str, share: float) -> None:
        """Whoever hears of it may raise, and so end the task."""
        try:
            progress(what, share)
        except BaseException:
            self.stop()
            raise

    def _started(self) -> Connection:
        with self._starting:
            if self._is_closed:
                raise ArSSRError("the program is ending")
            if self._process is not None and not self._process.is_alive():
                self._process = None  # it was killed while it had nothing to do
            if self._process is None or self._connection is None:
                context = multiprocessing.get_context("spawn")  # torch does not survive a fork
                self._connection, theirs = context.Pipe()
                self._folder.mkdir(mode=0o700, exist_ok=True)
                arguments = (theirs, self._folder)
                self._process = context.Process(target=_work, args=arguments, daemon=True)
                with _without_script():
                    self._process.start()
                theirs.close()  # so that its end is the end of the connection
            return self._connection


@contextmanager
def _without_script() -> Iterator[None]:
    """Spare a new process the script that this one runs, which it would otherwise run as well: one
    that opens a window would open a second.
    """
    with _hiding:
        script = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = script


def _work(connection: Connection, folder: Path) -> None:
    begin_worker(1)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    sending, last = Lock(), 0.0

    def progress(what: str, share: float) -> None:
        nonlocal last
        with sending:
            if time.monotonic() - last >= _PAUSE:
                last = time.monotonic()
                connection.send(("progress", (what, share)))

    while True:
        try:
            task, values = connection.recv()
        except EOFError:
            return
        answer = _answer(task, values, progress)
        with sending:
            connection.send(answer)


def _answer(
    task: Callable[..., Any], values: tuple[Any, ...], progress: ReportProgress
) -> tuple[str, Any]:
    try:
        return "done", task(*values, progress)
    except MemoryError:
        return "failed", "out of memory"
    except (ArSSRError, OSError) as error:
        return "failed", in_one_line(error)
    except Exception as error:
        _log.exception("a bug of ours")
        return "failed", f"a bug of ours ({in_one_line(error)}); the terminal says more"
