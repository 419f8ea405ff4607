"""Other sites, other users and whoever has no session get nothing."""

import os
import stat

import pytest
from starlette.testclient import TestClient

from arssr.serving import guard
from arssr.serving.endpoints import Endpoints
from arssr.serving.entrance import Entrance
from arssr.serving.guard import Guard

from .conftest import HOST, ORIGIN, Page

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
OTHER_HOSTS = (
    *("evil.example", "evil.example:8000", "localhost:8000", "127.0.0.1", "127.0.0.1:8001"),
    *("0.0.0.0:8000", "[::1]:8000", "127.0.0.1:8000.evil.example", "127.0.0.1:8000@evil.example"),
)
OTHER_ORIGINS = ("http://evil.example", "null", "http://127.0.0.1:8001", "https://127.0.0.1:8000")


def endpoints(page: Page) -> list[tuple[str, str]]:
    """All but the one where a session begins."""
    routes = Endpoints(page.session, page.entrance).routes()
    found = [
        (method, route.path.removeprefix("/api/").format(id="s1", what="nifti"))
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
    ]
    assert len(found) == 13
    return [each for each in found if each[1] != "session"]


def test_every_endpoint_wants_a_session(page: Page) -> None:
    for method, path in endpoints(page):
        for header in ("", "Bearer", "Bearer ", "Bearer x", f"Basic {page.token}", "Bearer é"):
            headers = {"Origin": ORIGIN, "Authorization": header.encode("latin-1")}
            answer = page.client.request(method, f"/api/{path}", headers=headers)
            assert answer.status_code == 401, (method, path, header)


def test_a_session_in_the_address_or_in_a_cookie_is_none(page: Page) -> None:
    cookies = {"Cookie": f"session={page.token}; Authorization=Bearer {page.token}"}
    for path in (f"/api/state?session={page.token}", f"/api/state#{page.token}", "/api/state"):
        assert page.client.get(path, headers=cookies).status_code == 401


def test_nothing_sets_a_cookie(page: Page) -> None:
    page.enter()
    page.call("GET", "state")
    assert not page.client.cookies


@pytest.mark.parametrize("host", OTHER_HOSTS)
@pytest.mark.parametrize("path", ["/", "/api/state", "/api/session"])
def test_a_name_that_was_let_point_here_gets_nothing(page: Page, host: str, path: str) -> None:
    headers = {"Host": host, "Authorization": f"Bearer {page.token}"}
    assert page.client.get(path, headers=headers).status_code == 421


def test_two_hosts_in_one_request_get_nothing(page: Page) -> None:
    headers = [("Host", HOST), ("Host", "evil.example")]
    assert page.client.get("/", headers=headers).status_code == 421


@pytest.mark.parametrize("origin", OTHER_ORIGINS)
def test_requests_of_other_sites_are_refused(page: Page, origin: str) -> None:
    headers = {"Origin": origin, "Authorization": f"Bearer {page.token}"}
    for method, path in [*endpoints(page), ("POST", "session"), ("OPTIONS", "state")]:
        answer = page.client.request(method, f"/api/{path}", headers=headers)
        assert answer.status_code == 403, (method, path)
        assert "access-control-allow-origin" not in answer.headers


def test_what_changes_something_must_say_where_it_comes_from(page: Page) -> None:
    headers = {"Authorization": f"Bearer {page.token}"}
    for method, path in endpoints(page):
        if method != "GET":
            answer = page.client.request(method, f"/api/{path}", headers=headers)
            assert answer.status_code == 403, (method, path)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_what_the_browser_calls_another_site_is_refused(page: Page, site: str) -> None:
    headers = {"Sec-Fetch-Site": site, "Authorization": f"Bearer {page.token}"}
    assert page.client.get("/api/state", headers=headers).status_code == 403
    assert page.client.get("/", headers=headers).status_code == 200  # opened from a file


def test_every_answer_has_the_headers_word_by_word(page: Page) -> None:
    bearer = {"Authorization": f"Bearer {page.token}"}
    answers = {
        200: page.client.get("/"),
        401: page.client.get("/api/state"),
        403: page.client.post("/api/session"),
        404: page.client.get("/nowhere"),
        405: page.client.put("/", headers={"Origin": ORIGIN}),
        421: page.client.get("/", headers={"Host": "evil.example"}),
    }
    answers[422] = page.client.post("/api/session", content=b"[]", headers={"Origin": ORIGIN})
    for status, answer in [*answers.items(), (200, page.client.get("/api/state", headers=bearer))]:
        assert answer.status_code == status
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"


def test_a_bug_has_the_headers_and_tells_nothing(page: Page) -> None:
    async def broken(*_: object) -> None:
        raise ArithmeticError("secret")

    from starlette.applications import Starlette
    from starlette.routing import Mount

    app = Guard(Starlette(routes=[Mount("/", broken)]), HOST, page.entrance)
    answer = TestClient(app, ORIGIN, raise_server_exceptions=False).get("/")
    assert answer.status_code == 500 and "secret" not in answer.text
    assert answer.headers["content-security-policy"] == guard.POLICY


def test_a_one_time_token_is_good_for_once(page: Page) -> None:
    used = page.addresses[0].partition("#")[2]
    said = page.call("POST", "session", 401, json={"token": used})
    assert "was used" in said
    assert len(page.addresses) == 2 and page.addresses[0] != page.addresses[1]


@pytest.mark.parametrize("token", ['""', '"x"', '"é"', '"\\ud800"', "5", "null", '["x"]', "{"])
def test_no_other_token_opens_a_session(page: Page, token: str) -> None:
    content = f'{{"token": {token}}}'.encode()
    answer = page.client.post("/api/session", content=content, headers={"Origin": ORIGIN})
    assert answer.status_code in (401, 422)


def test_two_pages_have_sessions_of_their_own(page: Page) -> None:
    first = page.token
    page.enter()
    assert page.token != first
    assert page.entrance.knows(first) and page.entrance.knows(page.token)


def test_the_file_for_the_browser_is_its_owners_alone(page: Page) -> None:
    assert stat.S_IMODE(page.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(page.entrance.file.stat().st_mode) == 0o600
    assert page.addresses[-1] in page.entrance.file.read_text()
    assert page.addresses[0] not in page.entrance.file.read_text()


def test_the_file_is_private_from_its_first_byte(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    real = os.fdopen

    def look(handle: int, *given: object, **named: object) -> object:
        modes.append(stat.S_IMODE(os.fstat(handle).st_mode))
        return real(handle, *given, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "fdopen", look)
    before = os.umask(0)
    try:
        Entrance(page.folder, ORIGIN, lambda _: None)
    finally:
        os.umask(before)
    assert modes == [0o600]


@pytest.mark.parametrize(
    "path",
    [
        *("/../server.py", "/..%2fserver.py", "/%2e%2e/%2e%2e/cli/main.py", "//etc/passwd"),
        *("/page/../server.py", "/index.html/../../server.py", "/..\\server.py", "/etc/passwd"),
        *("/page.js%00", "/server.py"),
    ],
)
def test_no_address_is_a_path(page: Page, path: str) -> None:
    answer = page.client.get(path)
    assert answer.status_code == 404 and "import" not in answer.text


def test_the_page_and_its_parts_are_served(page: Page) -> None:
    for path, kind in [("/", "text/html"), ("/page.js", "text/javascript")]:
        answer = page.client.get(path)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
