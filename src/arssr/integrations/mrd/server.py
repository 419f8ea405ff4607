"""The server: a thread for each session, of which a broken one harms no other."""

import logging
import socket
import socketserver
from contextlib import suppress
from threading import BoundedSemaphore
from typing import Any

from arssr.errors import ArSSRError
from arssr.integrations.mrd.messages import CutOffError, Limits, ProtocolError, Stream
from arssr.integrations.mrd.models import Models
from arssr.integrations.mrd.session import hold

LOOPBACK, PORT = "127.0.0.1", 9002  # the port that MRD names
_SESSIONS = 4  # a scanner has one at a time; each may hold as much as the limit says

_log = logging.getLogger(__name__)


class MRDServer(socketserver.ThreadingTCPServer):
    """Listens from the start; `serve_forever` answers, `shutdown` ends that.

    Raises ArSSRError where the address is taken or none of this machine.
    """

    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False

    def __init__(
        self,
        models: Models,
        host: str = LOOPBACK,
        port: int = PORT,
        limits: Limits | None = None,
    ) -> None:
        self.models, self.limits = models, limits or Limits()
        self._free = BoundedSemaphore(_SESSIONS)
        try:
            super().__init__((host, port), _Session)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ArSSRError(f"cannot listen at {host}:{port}: {reason}") from None

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is a session left for whoever comes."""
        if self._free.acquire(blocking=False):
            return True
        with suppress(CutOffError):
            Stream(request, self.limits).say("ERROR", f"{_SESSIONS} sessions are under way already")
        return False

    def give_back(self) -> None:
        """A session has ended."""
        self._free.release()


class _Session(socketserver.BaseRequestHandler):
    server: MRDServer
    request: socket.socket

    def handle(self) -> None:
        """Hold a session to its end, whatever comes."""
        stream = Stream(self.request, self.server.limits)
        try:
            hold(stream, self.server.models)
        except ProtocolError as error:
            _log.warning("a session was refused: %s", error)
            with suppress(CutOffError):
                stream.say("ERROR", str(error))
        except CutOffError as error:
            _log.warning("a session was cut off: %s", error)
        except Exception:
            _log.exception("a bug of ours")
            with suppress(CutOffError):
                stream.say("ERROR", "a bug of ours")
        finally:
            stream.close()
            self.server.give_back()
