"""How long what is done in many steps will take, said once it is known."""

import time

from arssr.cli.console import stderr
from arssr.files import counted
from arssr.jobs.needs import seconds_in_words

_AFTER_S = 20.0


class Forecast:
    """Says once, by the first steps (or what they are called), how long the others will take.

    Not where that is less than it has taken to know.
    """

    def __init__(self, step: str = "step") -> None:
        self._step = step
        self._first: tuple[int, float] | None = None
        self._said = False

    def __call__(self, step: int, total: int) -> None:
        """To be told of every step; the first, which is slower, does not count."""
        now = time.monotonic()
        if self._first is None:
            self._first = step, now
            return
        first, since = self._first
        if self._said or now - since <= _AFTER_S:
            return
        each, left = (now - since) / (step - first), total - step
        if each * left > _AFTER_S:
            self._said = True
            time_left, steps = seconds_in_words(each * left), counted(left, self._step)
            stderr.print(f"about {time_left} for the {steps} to come, {each:.2g} s each")
