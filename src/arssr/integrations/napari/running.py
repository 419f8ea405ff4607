"""A result in the making, in a process of its own: the window stays alive, what the system kills
for want of memory is not napari, and cancelling is at once.
"""

import logging
import tempfile
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from arssr.errors import ArSSRError, ArSSRWarning, in_one_line
from arssr.jobs.worker import Worker
from arssr.progress import ReportProgress
from arssr.volume import Volume

if TYPE_CHECKING:
    from arssr.api import Options

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Made:
    """A result, and the sentences that whoever asked for it should hear."""

    volume: Volume
    told: list[str]


class Run:
    """One result, asked for now.

    what, share: how far it is. made, error: what came of it, once it `is_over`; neither where it
    was cancelled.
    """

    def __init__(self, model: str, scan: Volume, options: "Options") -> None:
        self.what, self.share = "starting", 0.0
        self.made: Made | None = None
        self.error = ""
        self.is_over = False
        self._worker = Worker(Path(tempfile.mkdtemp(prefix="arssr-")))
        Thread(target=self._work, args=(model, scan, options), daemon=True).start()

    def cancel(self) -> None:
        """End it, at once for whoever watches; the process has two seconds to go."""
        self.is_over = True
        Thread(target=partial(self._worker.stop, for_good=True), daemon=True).start()

    def _work(self, model: str, scan: Volume, options: "Options") -> None:
        made, error = None, ""
        try:
            made = self._worker.ask(upsample, model, scan, options, progress=self._hear)
        except ArSSRError as refusal:
            error = sentence(str(refusal), scan)
        except Exception as bug:  # whatever it is, who watches shall not wait for ever
            _log.exception("a bug of ours")
            error = f"A bug of ours ({in_one_line(bug)}); the terminal says more."
        self._worker.stop(for_good=True)
        if not self.is_over:
            self.made, self.error, self.is_over = made, error, True

    def _hear(self, what: str, share: float) -> None:
        self.what, self.share = what, share


def upsample(model: str, scan: Volume, options: dict[str, Any], progress: ReportProgress) -> Made:
    """`Model.upsample` by the process that works on it."""
    from arssr.api import load_model

    progress("loading the model", 0.0)
    loaded = load_model(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ArSSRWarning)
        volume = loaded.upsample(scan, progress=progress, **options)
    told = [str(each.message) for each in caught if issubclass(each.category, ArSSRWarning)]
    return Made(volume, [sentence(each, scan) for each in told])


def sentence(told: str, scan: Volume) -> str:
    """What was told of a scan, below the layer and the target that were chosen."""
    for start in (f"{scan.path or 'the image'}: ", "no target was named: "):
        told = told.removeprefix(start)
    told = told.partition("; name a target")[0]
    return f"{told[:1].upper()}{told[1:]}."
