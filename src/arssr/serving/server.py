"""The server of `arssr view`: on 127.0.0.1 alone, and nothing is kept when it ends."""

import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from arssr.errors import ArSSRError
from arssr.jobs.batch import ModelRef
from arssr.serving.endpoints import Endpoints
from arssr.serving.entrance import Entrance
from arssr.serving.guard import Guard, sentence
from arssr.serving.session import Session
from arssr.temporary import sweep_left, temporary

LOOPBACK = "127.0.0.1"
_PATIENCE = 1  # seconds for answers under way when the server ends
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}


def serve(
    named: Sequence[Path],
    network: ModelRef,
    memory: float | None,
    port: int,
    ready: Callable[[int, Path], None],
    tell: Callable[[str], None],
) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; then all files of it are gone.

    port: 0 for any that is free. ready: hears, once connections are accepted, the port and the
    file by which the owner's browser comes in. tell: hears each address that is good for once.
    Raises ArSSRError where the port is taken.
    """
    with closing(_listening(port)) as listener, private_folder() as folder:
        host = f"{LOOPBACK}:{listener.getsockname()[1]}"
        entrance = Entrance(folder, f"http://{host}", tell)
        with Session(folder, named, network, memory) as session:
            app = application(session, entrance, host)
            config = uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                lifespan="off",
                ws="none",
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=_PATIENCE,
            )
            ready(listener.getsockname()[1], entrance.file)
            with _hanging_up_ends():
                uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for temporary files that only its owner may look into; gone afterwards.

    What killed runs left there goes as well.
    """
    place = Path(tempfile.gettempdir())
    sweep_left([place])
    with temporary(place / "view", is_folder=True) as folder:
        yield folder


def application(session: Session, entrance: Entrance, host: str) -> ASGIApp:
    """All that is answered, behind the `Guard`; host: `127.0.0.1:PORT`."""
    page = _page()

    async def static(request: Request) -> Response:
        name = request.path_params["name"] or "index.html"
        if name not in page:
            return sentence(404, "there is no such page")
        content, media_type = page[name]
        return Response(content, media_type=media_type)

    routes = [
        *Endpoints(session, entrance).routes(),
        Route("/{name:path}", static, methods=["GET"]),
    ]
    return Guard(Starlette(routes=routes), host, entrance)


def _page() -> dict[str, tuple[bytes, str]]:
    """The files of the page by their names, and their types: all that is served without a session.

    They are read at once, so that no request is ever a path.
    """
    found: dict[str, tuple[bytes, str]] = {}

    def add(folder: Traversable, above: str) -> None:
        for each in folder.iterdir():
            if each.is_dir():
                add(each, f"{above}{each.name}/")
            elif (kind := _TYPES.get(Path(each.name).suffix)) is not None:
                found[above + each.name] = each.read_bytes(), kind

    add(files("arssr.serving") / "page", "")
    return found


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would let others take the port as well
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise ArSSRError(f"port {port} of {LOOPBACK} cannot be used: {reason}") from None
    return listener


@contextmanager
def _hanging_up_ends() -> Iterator[None]:
    """A terminal that is closed ends the server as SIGTERM does, unless `nohup` says otherwise."""
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is None or signal.getsignal(hang_up) is not signal.SIG_DFL:
        yield
        return
    signal.signal(hang_up, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(hang_up, signal.SIG_DFL)
