"""The scans and results of one run of `arssr view`, and the two processes that work on them.

One process looks at scans and writes what is taken home; the other computes, one result at a time
in the order in which they were asked for. All files lie in one private folder.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any, Self

from arssr.errors import ArSSRError
from arssr.files import sidecar, stem
from arssr.jobs.batch import ModelRef
from arssr.jobs.job import Job
from arssr.jobs.worker import Worker
from arssr.serving import tasks
from arssr.serving.asked import request_of
from arssr.serving.runs import Run
from arssr.serving.uploads import Upload, shown_name

_IMAGE, _CUBIC, _DICOM = "result.nii.gz", "cubic.nii", "derived.zip"


class UnknownError(ArSSRError):
    """There is no such scan, result or file."""


class Scan:
    """A scan on the page.

    path: where it lies; None while it is being sent. series: which of several DICOM images.
    """

    def __init__(self, key: str, name: str, folder: Path, path: Path | None) -> None:
        self.key, self.name, self.folder, self.path = key, name, folder, path
        self.series: str | None = None
        self.state = "arriving" if path is None else "reading"
        self.facts: Mapping[str, Any] = {}
        self.error = ""
        folder.mkdir(mode=0o700)
        self.upload = Upload(folder) if path is None else None

    @property
    def shown(self) -> Path:
        """The image for the screen."""
        return self.folder / "shown.nii"

    def describe(self) -> dict[str, Any]:
        """Plain values, for the page."""
        known = {"id": self.key, "name": self.name, "state": self.state, "facts": self.facts}
        return {**known, "series": self.series, "error": self.error}


class Session:
    """What the page may do; every method may be called from any thread.

    folder: private, and removed by whoever made it. named: scans of the command line.
    """

    def __init__(
        self, folder: Path, named: Sequence[Path], network: ModelRef, memory: float | None
    ) -> None:
        self._folder, self._network, self._memory = folder, network, memory
        self._keys = count(1)
        self._scans: dict[str, Scan] = {}
        self._runs: dict[str, Run] = {}
        self._lock = Lock()
        self._is_warm = False  # the process that computes has been started
        self._looker, self._computer = Worker(folder / "looking"), Worker(folder / "computing")
        self._looking, self._computing = (ThreadPoolExecutor(1) for _ in range(2))
        for path in named:
            self._look(self._add(path.name or str(path), path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End all work at once."""
        for pool in (self._looking, self._computing):
            pool.shutdown(wait=False, cancel_futures=True)
        for worker in (self._looker, self._computer):
            worker.stop(for_good=True)
        for pool in (self._looking, self._computing):
            pool.shutdown()

    def describe(self) -> dict[str, Any]:
        """All scans, and all that was asked for, as plain values."""
        scans, runs = list(self._scans.values()), list(self._runs.values())
        return {
            "model": Path(self._network.weights).name,
            "scans": [scan.describe() for scan in scans],
            "runs": [run.describe() for run in runs],
        }

    def scan(self, key: str) -> Scan:
        """A scan by its id. Raises UnknownError."""
        if (scan := self._scans.get(key)) is None:
            raise UnknownError("there is no such scan")
        return scan

    def run(self, key: str) -> Run:
        """What was asked for, by its id. Raises UnknownError."""
        if (run := self._runs.get(key)) is None:
            raise UnknownError("there is no such result")
        return run

    def begin_upload(self, name: str) -> Scan:
        """A scan that will be sent."""
        return self._add(shown_name(name), None)

    def end_upload(self, key: str) -> None:
        """All of a scan has been sent. Raises ArSSRError where there is nothing, and for others."""
        scan = self.scan(key)
        if scan.upload is None or scan.state != "arriving":
            raise ArSSRError("this scan is not being sent")
        scan.path = scan.upload.path
        self._look(scan)

    def choose(self, key: str, series: str) -> None:
        """Which of several DICOM images a scan is."""
        scan = self.scan(key)
        if scan.path is None or scan.state == "reading":
            raise ArSSRError("this scan is not there yet")
        scan.series = series
        self._look(scan)

    def forget(self, key: str) -> None:
        """Remove a scan, what was made of it, and what was sent of it."""
        scan = self.scan(key)
        for run in [run for run in list(self._runs.values()) if run.scan == key]:
            self.remove(run.key)
        del self._scans[key]
        self._looking.submit(shutil.rmtree, scan.folder, ignore_errors=True)

    def image(self, key: str) -> Path:
        """The scan for the screen (NIfTI). Raises UnknownError while there is none."""
        scan = self.scan(key)
        if scan.state != "ready":
            raise UnknownError("this scan cannot be shown yet")
        return scan.shown

    def foresee(self, key: str, asked: Mapping[str, Any]) -> Future[dict[str, Any]]:
        """What a result would take; the future raises ArSSRError."""
        scan = self.scan(key)
        job = self._job(scan, asked, self._folder / "unwritten")
        return self._looking.submit(self._ask, scan, tasks.foresee, self._network, job)

    def start(self, key: str, asked: Mapping[str, Any], seconds: float | None = None) -> Run:
        """Compute a result when its turn comes. Raises ArSSRError for what cannot be asked.

        seconds: how long it will take, where that was estimated.
        """
        scan, number = self.scan(key), f"r{next(self._keys)}"
        folder = self._folder / number
        job = self._job(scan, asked, folder)
        name = f"{stem(Path(scan.name))}_SR"
        run = Run(number, key, name, dict(asked), job, folder, seconds)
        self._runs[number] = run
        self._computing.submit(self._compute, scan, run)
        return run

    def cancel(self, key: str) -> None:
        """Stop the work on a result, or take it from the queue; nothing of it is kept."""
        run = self.run(key)
        with self._lock:
            if run.state == "waiting":
                run.state = "cancelled"
            elif run.state == "running":
                run.is_cancelled = True  # where its process is about to start, `hear` ends it
                self._computer.stop()

    def remove(self, key: str) -> None:
        """Cancel, and forget the result."""
        self.cancel(key)
        run = self._runs.pop(key)
        self._looking.submit(shutil.rmtree, run.folder, ignore_errors=True)

    def file(self, key: str, what: str) -> tuple[Future[Path], str]:
        """A file of a result, made where it has to be, and the name to save it by.

        what: nifti, sidecar, cubic, dicom, report, and uncertainty where it was asked for. Raises
        UnknownError for others, and where there is no result.
        """
        run = self.run(key)
        if run.state != "done":
            raise UnknownError("this result is not there yet")
        kinds: dict[str, tuple[Callable[[], Path], str]] = {
            "nifti": (lambda: run.job.destination, ".nii.gz"),
            "sidecar": (lambda: sidecar(run.job.destination), ".json"),
            "cubic": (lambda: self._made(run, run.folder / _CUBIC, tasks.cubic), "_cubic.nii"),
            "dicom": (lambda: self._made(run, run.folder / _DICOM, tasks.dicom), ".zip"),
            "report": (lambda: self._report(run), ".html"),
        }
        if half_widths := run.job.half_widths:
            kinds["uncertainty"] = (lambda: half_widths, "_uncertainty.nii.gz")
        if what not in kinds:
            raise UnknownError("there is no such file")
        make, ending = kinds[what]
        return self._looking.submit(make), run.name + ending

    def _add(self, name: str, path: Path | None) -> Scan:
        key = f"s{next(self._keys)}"
        scan = self._scans[key] = Scan(key, name, self._folder / key, path)
        return scan

    def _look(self, scan: Scan) -> None:
        scan.state, scan.error = "reading", ""
        self._looking.submit(self._looked, scan)

    def _looked(self, scan: Scan) -> None:
        try:
            if scan.upload is not None:
                self._ask(scan, tasks.require_one_file, scan.path)
            facts = self._ask(
                *(scan, tasks.look, self._network, scan.path, scan.series, scan.shown),
                self._memory,
            )
        except ArSSRError as error:
            scan.error, scan.state = str(error), "failed"
        else:
            scan.facts = facts
            scan.state = "to choose" if "images" in facts else "ready"
            if not self._is_warm:
                self._is_warm = True
                self._computing.submit(self._computer.ask, tasks.get_ready, self._network)

    def _job(self, scan: Scan, asked: Mapping[str, Any], folder: Path) -> Job:
        if scan.path is None or scan.state != "ready":
            raise ArSSRError(f"{scan.name} is not ready")
        frames = int(scan.facts["frames"]) > 1
        request = request_of(asked, self._path_of, frames, self._memory)
        return Job(scan.path, folder / _IMAGE, request, scan.series)

    def _path_of(self, key: str) -> Path:
        path = self.scan(key).path
        if path is None or self.scan(key).state != "ready":
            raise ArSSRError(f"{self.scan(key).name} is not ready")
        return path

    def _compute(self, scan: Scan, run: Run) -> None:
        with self._lock:
            if run.state != "waiting":
                return
            run.state = "running"
        like = run.asked.get("target", {}).get("like")
        called = self._scans[like].name if like in self._scans else ""
        state, error, facts = "done", "", {}
        try:
            run.folder.mkdir(mode=0o700)
            facts = self._computer.ask(
                tasks.upsample, self._network, run.job, scan.name, called, progress=run.hear
            )
        except ArSSRError as problem:
            state, error = "failed", self._in_words(scan, problem)
        except OSError as problem:
            state, error = "failed", f"the temporary folder: {problem.strerror or problem}"
        except Exception as problem:  # a bug of ours must not end the queue
            state, error = "failed", f"a bug of ours ({type(problem).__name__})"
        with self._lock:
            if state == "failed":
                shutil.rmtree(run.folder, ignore_errors=True)
                state, error = ("cancelled", "") if run.is_cancelled else (state, error)
            run.facts, run.error, run.state = facts, error, state

    def _ask(self, scan: Scan, task: Callable[..., Any], *values: Any) -> Any:
        """What the process that looks at scans answers; its errors speak of what the page knows."""
        try:
            return self._looker.ask(task, *values)
        except ArSSRError as error:
            raise ArSSRError(self._in_words(scan, error)) from None

    def _made(self, run: Run, path: Path, task: Callable[..., Any]) -> Path:
        if not path.exists():
            self._ask(self.scan(run.scan), task, run.job, path)
        return path

    def _report(self, run: Run) -> Path:
        if run.job.request.frames:
            raise ArSSRError("a report shows one 3D image, and this result has several frames")
        if not run.job.page.exists():
            scan = self.scan(run.scan)
            self._ask(scan, tasks.report, self._network, run.job, stem(Path(scan.name)))
        return run.job.page

    def _in_words(self, scan: Scan, error: ArSSRError) -> str:
        """The sentence with names that the page knows, not those of temporary files."""
        sentence = str(error)
        for each in (scan, *list(self._scans.values())):
            if each.upload is not None and each.path is not None:
                sentence = sentence.replace(str(each.path), each.name)
        return sentence.replace(str(self._folder), "the temporary folder")
