"""How long a training will take, said once it is known."""

import time

from arssr.cli.console import stderr

_WARMING = 3  # steps that are slower than those after them
_AFTER_S = 20.0


class Forecast:
    """Says once, by its first steps, how long a training will take."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None
        self._said = False

    def __call__(self, step: int, total: int) -> None:
        """To be told of every step."""
        now = time.monotonic()
        if self._first is None:
            if step < total:
                self._first = step + _WARMING, now
            return
        first, since = self._first
        if step <= first:
            self._first = first, now
        elif not self._said and (now - since > _AFTER_S):
            self._said = True
            took = (now - since) / (step - first)
            stderr.print(
                f"about {time_in_words(took * (total - step))} for the {total - step:,} steps to "
                f"come, {took:.2g} s each"
            )


def time_in_words(seconds: float) -> str:
    """How long something takes, as a person says it.

    >>> [time_in_words(s) for s in (42, 630, 9000, 400_000)]
    ['42 s', '11 min', '2 h 30 min', '4 days 15 h']
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} days {hours % 24} h"
