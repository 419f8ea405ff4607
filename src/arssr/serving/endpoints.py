"""What the page can ask of the server, address by address; docs/view.md describes each."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from arssr.errors import ArSSRError
from arssr.serving.asked import object_of, text_of
from arssr.serving.entrance import Entrance
from arssr.serving.guard import SESSION, sentence
from arssr.serving.session import Session, UnknownError

_LONGEST_JSON = 2**16
_BYTES = "application/octet-stream"  # nothing that was sent or made is a page of this origin

Handler = Callable[[Request], Awaitable[Response]]


class Endpoints:
    """The answers of one session."""

    def __init__(self, session: Session, entrance: Entrance) -> None:
        self._session, self._entrance = session, entrance

    def routes(self) -> list[Route]:
        """All of them; those below `/api/` but the first want a session (see `guard`)."""
        return [
            Route(path, _answering(handler), methods=[method])
            for method, path, handler in (
                ("POST", SESSION, self._enter),
                ("GET", "/api/state", self._state),
                ("POST", "/api/scans", self._begin),
                ("POST", "/api/scans/{id}/files", self._take),
                ("POST", "/api/scans/{id}/end", self._end),
                ("POST", "/api/scans/{id}/series", self._choose),
                ("DELETE", "/api/scans/{id}", self._forget),
                ("GET", "/api/scans/{id}/image", self._image),
                ("POST", "/api/scans/{id}/estimate", self._estimate),
                ("POST", "/api/scans/{id}/runs", self._start),
                ("POST", "/api/runs/{id}/cancel", self._cancel),
                ("DELETE", "/api/runs/{id}", self._remove),
                ("GET", "/api/runs/{id}/{what}", self._file),
            )
        ]

    async def _enter(self, request: Request) -> Response:
        made = self._entrance.exchange(text_of(await _asked(request), "token"))
        if made is None:
            return sentence(401, "this address was used; open the one that the terminal shows last")
        return JSONResponse({"session": made})

    async def _state(self, _: Request) -> Response:
        return JSONResponse(self._session.describe())

    async def _begin(self, request: Request) -> Response:
        name = text_of(await _asked(request), "name")
        return JSONResponse(self._session.begin_upload(name).describe(), 201)

    async def _take(self, request: Request) -> Response:
        scan = self._session.scan(_id(request))
        if scan.upload is None or scan.state != "arriving":
            raise ArSSRError("this scan is not being sent")
        announced = int(request.headers.get("content-length", "0"))
        name = request.query_params.get("name", "")
        await scan.upload.take(name, announced, request.stream())
        return JSONResponse(scan.describe())

    async def _end(self, request: Request) -> Response:
        self._session.end_upload(_id(request))
        return JSONResponse(self._session.scan(_id(request)).describe())

    async def _choose(self, request: Request) -> Response:
        self._session.choose(_id(request), text_of(await _asked(request), "series"))
        return JSONResponse(self._session.scan(_id(request)).describe())

    async def _forget(self, request: Request) -> Response:
        await run_in_threadpool(self._session.forget, _id(request))
        return JSONResponse({})

    async def _image(self, request: Request) -> Response:
        return FileResponse(self._session.image(_id(request)), media_type=_BYTES)

    async def _estimate(self, request: Request) -> Response:
        future = self._session.foresee(_id(request), await _asked(request))
        return JSONResponse(await asyncio.wrap_future(future))

    async def _start(self, request: Request) -> Response:
        asked = await _asked(request)
        seconds = asked.pop("seconds", None)  # as the estimate told the page
        known = float(seconds) if isinstance(seconds, int | float) else None
        return JSONResponse(self._session.start(_id(request), asked, known).describe(), 201)

    async def _cancel(self, request: Request) -> Response:
        await run_in_threadpool(self._session.cancel, _id(request))
        return JSONResponse(self._session.run(_id(request)).describe())

    async def _remove(self, request: Request) -> Response:
        await run_in_threadpool(self._session.remove, _id(request))
        return JSONResponse({})

    async def _file(self, request: Request) -> Response:
        making, name = self._session.file(_id(request), request.path_params["what"])
        path = await asyncio.wrap_future(making)
        return FileResponse(path, media_type=_BYTES, filename=name)


def _id(request: Request) -> str:
    return str(request.path_params["id"])


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
