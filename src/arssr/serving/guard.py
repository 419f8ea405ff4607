"""What every request has to pass, and what every answer says to the browser.

A page of another site can send requests to 127.0.0.1, and by a name of its own that it lets point
there (DNS rebinding) read the answers. So the server answers to its own address alone, requests of
other origins are refused, and all but the page itself wants the token of a session (`entrance`).
"""

from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arssr.serving.entrance import Entrance

API = "/api/"
SESSION = "/api/session"  # where a token is exchanged, by whoever has no session yet
_READING = ("GET", "HEAD")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",  # a browser's cache would keep scans after the end
}


class Guard:
    """An application behind these checks."""

    def __init__(self, app: ASGIApp, host: str, entrance: Entrance) -> None:
        self._app, self._host, self._entrance = app, host, entrance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError("only HTTP is spoken here")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refused = self._refused(scope)
        await (refused or self._app)(scope, receive, send_with_headers)

    def _refused(self, scope: Scope) -> JSONResponse | None:
        headers, path, method = Headers(scope=scope), scope["path"], scope["method"]
        origin = f"http://{self._host}"
        if headers.getlist("host") != [self._host]:
            return sentence(421, f"this server answers to {origin} alone")
        origins = headers.getlist("origin")
        if origins not in ([], [origin]) or not (origins or method in _READING):
            return sentence(403, "the request comes from another site")
        if not path.startswith(API):
            return None
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return sentence(403, "the request comes from another site")
        if path == SESSION:
            return None
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind != "Bearer" or not self._entrance.knows(token):
            return sentence(
                401, "this page has no session; open the address that the terminal shows last"
            )
        return None


def sentence(status: int, what: str, **more: Any) -> JSONResponse:
    """An answer that says in words what went wrong."""
    return JSONResponse({"error": what, **more}, status)
