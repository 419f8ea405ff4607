"""How work that takes long tells how far it is, and a bar for that in notebooks."""

import sys
import time
from collections.abc import Callable
from html import escape
from typing import Any

ReportProgress = Callable[[str, float], None]
"""Is told what is being done, in words, and the share of it that is done."""

_PATIENCE_S = 1.0  # what is done sooner shows no bar
_STEADY_S = 0.2  # between two changes of a bar


def silent(_what: str, _share: float) -> None:
    """Reports to nobody."""


def usual() -> ReportProgress:
    """Who hears of progress where nobody is named: a bar in a notebook, elsewhere nobody."""
    return NotebookBar() if _in_notebook() else silent


class NotebookBar:
    """A bar below the cell that is computing, of what takes longer than a second; it goes when
    that is done.

    It is HTML that is sent anew, not a widget: that needs nothing but IPython, and a file of the
    notebook, or a page made of it, keeps no more than an empty output.
    """

    def __init__(self) -> None:
        self._begun: float | None = None
        self._told = 0.0
        self._shown: Any = None

    def __call__(self, what: str, share: float) -> None:
        """As `ReportProgress`."""
        now = time.monotonic()
        if share >= 1:
            self._put("")
            self._begun = None
            return
        if self._begun is None:
            self._begun = now
        if now - self._begun >= _PATIENCE_S and now - self._told >= _STEADY_S:
            self._told = now
            left_s = (now - self._begun) * (1 - share) / share if share > 0 else None
            left = "" if left_s is None else f", {left_s:.0f} s left"
            self._put(
                f'<progress max="1" value="{share:.3f}"></progress> '
                f"{escape(what)}: {share:.0%}{left}"
            )

    def _put(self, content: str) -> None:
        from IPython.display import HTML, display

        if self._shown is not None:
            self._shown.update(HTML(content))
        elif content:
            self._shown = display(HTML(content), display_id=True)


def _in_notebook() -> bool:
    """Whether this is a Jupyter kernel; IPython in a terminal has none."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
