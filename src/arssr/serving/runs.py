"""One result that was asked for, and how far it is."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arssr.errors import ArSSRError
from arssr.jobs.job import Job
from arssr.jobs.needs import seconds_in_words

_TOO_EARLY = 0.05  # of a step: how long it takes is not known from less


@dataclass
class Run:
    """What was asked for, by its id; `scan` is that of its scan.

    state: waiting, running, done, failed or cancelled. name: what it is saved by, without suffix.
    seconds: what it will take, where that was estimated. facts: what its sidecar says.
    """

    key: str
    scan: str
    name: str
    asked: dict[str, Any]
    job: Job
    folder: Path
    seconds: float | None = None
    state: str = "waiting"
    is_cancelled: bool = False
    began: float = 0.0
    what: str = ""
    share: float = 0.0
    error: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    _step: str = ""
    _step_began: float = 0.0

    def hear(self, what: str, share: float) -> None:
        """How far it is: which step, and what share of that is done.

        Raises ArSSRError once it is cancelled.
        """
        if self.is_cancelled:
            raise ArSSRError("cancelled")
        now = time.monotonic()
        step = what.partition(",")[0]
        if not self.began:
            self.began = now
        if step != self._step:
            self._step, self._step_began = step, now
        self.what, self.share = what, share

    def seconds_left(self) -> float | None:
        """By the estimate, and by the step under way; None where neither says anything (more)."""
        now = time.monotonic()
        left = []
        if self.seconds is not None and self.began:
            left.append(self.seconds - (now - self.began))
        if self.share > _TOO_EARLY:
            left.append((now - self._step_began) * (1 - self.share) / self.share)
        return max(left) if left and max(left) > 0 else None

    def describe(self) -> dict[str, Any]:
        """Plain values, for the page."""
        described: dict[str, Any] = {
            "id": self.key,
            "scan": self.scan,
            "name": self.name,
            "state": self.state,
            "asked": self.asked,
            "error": self.error,
            "facts": self.facts,
        }
        if self.state != "running":
            return described
        left = self.seconds_left()
        return {
            **described,
            "what": self.what,
            "share": round(self.share, 4),
            "seconds_left": None if left is None else round(left, 1),
            "left_in_words": "" if left is None else f"about {seconds_in_words(left)} left",
        }
