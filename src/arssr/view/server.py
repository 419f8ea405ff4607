"""The server of `arssr view`: on 127.0.0.1 alone, and nothing is kept when it ends."""

import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from arssr.errors import ArSSRError
from arssr.jobs.batch import ModelRef
from arssr.temporary import sweep_left, temporary
from arssr.view.asked import object_of, text_of
from arssr.view.entrance import Entrance
from arssr.view.guard import SESSION, Guard, sentence
from arssr.view.session import Session, UnknownError

LOOPBACK = "127.0.0.1"
_LONGEST_JSON = 2**16
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

Handler = Callable[[Request], Awaitable[Response]]


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
        name = request.path_params.get("name") or "index.html"
        if name not in page:
            return sentence(404, "there is no such page")
        content, media_type = page[name]
        return Response(content, media_type=media_type)

    async def enter(request: Request) -> Response:
        token = text_of(await _asked(request), "token")
        if (made := entrance.exchange(token)) is None:
            return sentence(401, "this address was used; open the one that the terminal shows last")
        return JSONResponse({"session": made})

    routes = [
        Route(SESSION, _answering(enter), methods=["POST"]),
        *(
            Route(f"/api/{path}", _answering(handler), methods=[method])
            for method, path, handler in _endpoints(session)
        ),
        Route("/{name:path}", _answering(static), methods=["GET"]),
    ]
    return Guard(Starlette(routes=routes), host, entrance)


def _endpoints(session: Session) -> list[tuple[str, str, Handler]]:
    """Method, path and handler of all that wants a session; docs/view.md describes each."""

    async def state(_: Request) -> Response:
        return JSONResponse(session.describe())

    async def begin(request: Request) -> Response:
        name = text_of(await _asked(request), "name")
        return JSONResponse(session.begin_upload(name).describe(), 201)

    async def take(request: Request) -> Response:
        upload = session.scan(request.path_params["id"])
        if upload.upload is None or upload.state != "arriving":
            raise ArSSRError("this scan is not being sent")
        announced = request.headers.get("content-length", "0")
        name = request.query_params.get("name", "")
        await upload.upload.take(name, int(announced), request.stream())
        return JSONResponse(upload.describe())

    async def end(request: Request) -> Response:
        session.end_upload(request.path_params["id"])
        return JSONResponse(session.scan(request.path_params["id"]).describe())

    async def choose(request: Request) -> Response:
        session.choose(request.path_params["id"], text_of(await _asked(request), "series"))
        return JSONResponse(session.scan(request.path_params["id"]).describe())

    async def forget(request: Request) -> Response:
        await run_in_threadpool(session.forget, request.path_params["id"])
        return JSONResponse({})

    async def image(request: Request) -> Response:
        return FileResponse(session.image(request.path_params["id"]), media_type=_BYTES)

    async def estimate(request: Request) -> Response:
        asked = await _asked(request)
        future = session.foresee(request.path_params["id"], asked)
        return JSONResponse(await asyncio.wrap_future(future))

    async def start(request: Request) -> Response:
        asked = await _asked(request)
        run = session.start(request.path_params["id"], asked, _seconds(asked))
        return JSONResponse(run.describe(), 201)

    async def cancel(request: Request) -> Response:
        await run_in_threadpool(session.cancel, request.path_params["id"])
        return JSONResponse(session.run(request.path_params["id"]).describe())

    async def remove(request: Request) -> Response:
        await run_in_threadpool(session.remove, request.path_params["id"])
        return JSONResponse({})

    async def file(request: Request) -> Response:
        making, name = session.file(request.path_params["id"], request.path_params["what"])
        path = await asyncio.wrap_future(making)
        return FileResponse(path, media_type=_BYTES, filename=name)

    return [
        ("GET", "state", state),
        ("POST", "scans", begin),
        ("POST", "scans/{id}/files", take),
        ("POST", "scans/{id}/end", end),
        ("POST", "scans/{id}/series", choose),
        ("DELETE", "scans/{id}", forget),
        ("GET", "scans/{id}/image", image),
        ("POST", "scans/{id}/estimate", estimate),
        ("POST", "scans/{id}/runs", start),
        ("POST", "runs/{id}/cancel", cancel),
        ("DELETE", "runs/{id}", remove),
        ("GET", "runs/{id}/{what}", file),
    ]


_BYTES = "application/octet-stream"  # nothing that was sent or made is a page of this origin


def _answering(handler: Handler) -> Handler:
    """The handler, whose errors are answers in words."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except UnknownError as error:
            return sentence(404, str(error))
        except ArSSRError as error:
            return sentence(422, str(error))
        except ClientDisconnect:
            return sentence(400, "the browser went away")
        except OSError as error:
            return sentence(507, f"the temporary folder: {error.strerror or error}")

    return answer


async def _asked(request: Request) -> dict[str, Any]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_JSON:
            raise ArSSRError("this is more than can be asked at once")
    return object_of(body)


def _seconds(asked: dict[str, Any]) -> float | None:
    """What the page was told that it takes, by which the time left is told at first."""
    seconds = asked.pop("seconds", None)
    return float(seconds) if isinstance(seconds, int | float) else None


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

    add(files("arssr.view") / "page", "")
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
