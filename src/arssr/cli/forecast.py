"""How long what is done in many steps will take, said once it is known."""

import time

from arssr.cli.console import stderr
from arssr.cli.estimates import seconds_in_words

_AFTER_S = 20.0


class Forecast:
    """Says once, by its first steps (or what they are called), how long the others will take."""

    def __init__(self, steps: str = "steps") -> None:
        self._steps = steps
        self._first: tuple[int, float] | None = None
        self._said = False

    def __call__(self, step: int, total: int) -> None:
        """To be told of every step; the first, which is slower, does not count."""
        now = time.monotonic()
        if self._first is None:
            self._first = step, now
            return
        first, since = self._first
        if not self._said and now - since > _AFTER_S and step < total:
            self._said = True
            each, left = (now - since) / (step - first), total - step
            time_left = seconds_in_words(each * left)
            stderr.print(
                f"about {time_left} for the {left:,} {self._steps} to come, {each:.2g} s each"
            )
