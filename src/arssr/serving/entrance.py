"""Who may use the server: tokens that are good for once, and the sessions they are exchanged for.

Other users of a machine see addresses among its processes, and may connect to its ports. So the
browser is opened through a file that only its owner can read, with a token that it holds behind
the # of the address, which browsers send to nobody. The page exchanges it for the token of a
session, keeps that in memory, and sends it in a header, as no page of another site can.
"""

import os
import secrets
from collections.abc import Callable
from hmac import compare_digest
from pathlib import Path

_BYTES = 32

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<title>arssr view</title><meta http-equiv="refresh" content="0; url={address}">
<p><a href="{address}">arssr view</a></p></html>
"""


class Entrance:
    """The tokens of one server.

    folder: where the file for the browser is written; only its owner may look into it.
    origin: `http://127.0.0.1:PORT`.
    tell: hears each address that is good for once.
    """

    def __init__(self, folder: Path, origin: str, tell: Callable[[str], None]) -> None:
        self.file = folder / "open.html"
        self._origin, self._tell = origin, tell
        self._sessions: list[str] = []
        self._renew()

    def exchange(self, token: str) -> str | None:
        """The token of a new session for one that was not used before; None for any other.

        Then another one-time token is told of: for a second tab, or a page that was reloaded.
        Raises OSError where that cannot be written; this one is then still good.
        """
        if not _is_same(token, self._once):
            return None
        self._renew()
        self._sessions.append(secrets.token_urlsafe(_BYTES))
        return self._sessions[-1]

    def knows(self, session: str) -> bool:
        """Whether this is the token of a session."""
        return any([_is_same(session, known) for known in self._sessions])

    def _renew(self) -> None:
        once = secrets.token_urlsafe(_BYTES)
        address = f"{self._origin}/#{once}"
        new = self.file.with_suffix(".new")
        new.unlink(missing_ok=True)  # of a time when the disk was full
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(_PAGE.format(address=address))
        new.replace(self.file)
        self._once = once
        self._tell(address)


def _is_same(given: str, known: str) -> bool:
    return compare_digest(given.encode(errors="replace"), known.encode())
