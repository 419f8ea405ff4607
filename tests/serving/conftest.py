"""The server in this process, with the tasks of its workers done here as well; or as it is."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from tests.phantoms import smooth

from arssr.errors import ArSSRError
from arssr.field import ReportProgress, silent
from arssr.grid import Grid
from arssr.jobs import worker
from arssr.jobs.batch import ModelRef
from arssr.serving.entrance import Entrance
from arssr.serving.server import application, private_folder
from arssr.serving.session import Session
from arssr.volume import Volume

HOST = "127.0.0.1:8000"
ORIGIN = f"http://{HOST}"


@dataclass
class Page:
    """What the page in the browser does; `client` has no session of its own."""

    client: TestClient
    session: Session
    entrance: Entrance
    addresses: list[str]
    folder: Path
    token: str = ""

    def enter(self) -> None:
        """Exchange the token of the address that was told of last."""
        once = self.addresses[-1].partition("#")[2]
        answer = self.client.post("/api/session", json={"token": once}, headers={"Origin": ORIGIN})
        self.token = answer.json()["session"]

    def call(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        """What the endpoint answers; for an error, its sentence."""
        headers = {"Origin": ORIGIN, "Authorization": f"Bearer {self.token}"}
        answer = self.client.request(method, f"/api/{path}", headers=headers, **more)
        assert answer.status_code == status, answer.text
        if answer.headers["content-type"] != "application/json":
            return answer.content
        said = answer.json()
        return said["error"] if status >= 400 else said

    def send(self, name: str, *files: tuple[str, bytes]) -> str:
        """Upload a scan; returns its id."""
        key: str = self.call("POST", "scans", 201, json={"name": name})["id"]
        for called, content in files:
            params = {"name": called}
            self.call("POST", f"scans/{key}/files", params=params, content=content)
        self.call("POST", f"scans/{key}/end")
        return key

    def looked(self, key: str) -> dict[str, Any]:
        """The scan, once it was looked at."""
        self.settle()
        scans = self.call("GET", "state")["scans"]
        found: dict[str, Any] = next(scan for scan in scans if scan["id"] == key)
        return found

    def done(self, key: str) -> dict[str, Any]:
        """A result, once its turn has come and gone."""
        self.settle()
        runs = self.call("GET", "state")["runs"]
        found: dict[str, Any] = next(run for run in runs if run["id"] == key)
        return found

    def settle(self) -> None:
        """Wait until nothing is under way."""
        for pool in (self.session._looking, self.session._computing):
            pool.submit(lambda: None).result()


def ask_here(task: Callable[..., Any], *values: Any, progress: ReportProgress = silent) -> Any:
    """What a worker answers, from this process."""
    kind, said = worker._answer(task, values, progress)
    if kind == "failed":
        raise ArSSRError(said)
    return said


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are done by this process."""

    monkeypatch.setattr(worker.Worker, "ask", staticmethod(ask_here))


@pytest.fixture
def page(here: None, network: ModelRef) -> Iterator[Page]:
    """A server without scans, and a page that has entered."""
    with opened_page(network) as made:
        yield made


@contextmanager
def opened_page(network: ModelRef, memory: float | None = None) -> Iterator[Page]:
    addresses: list[str] = []
    with private_folder() as folder:
        entrance = Entrance(folder, ORIGIN, addresses.append)
        with Session(folder, [], network, memory) as session:
            client = TestClient(application(session, entrance, HOST), base_url=ORIGIN)
            made = Page(client, session, entrance, addresses, folder)
            made.enter()
            yield made


@pytest.fixture
def thick(tmp_path: Path) -> Path:
    """Slices of 3 mm."""
    grid = Grid((12, 11, 5), np.diag([1.0, 1, 3, 1]))
    scan = Volume(1000 * smooth(grid.shape, sigma=1), grid)
    return scan.write(tmp_path / "scans" / "FLAIR.nii.gz")


class Server:
    """A running `arssr view`; temporary files lie in a folder of the test."""

    def __init__(self, folder: Path, *words: object, browser: str = "false %s") -> None:
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.said = folder / "said"
        environment = os.environ | {"TMPDIR": str(self.temporary), "BROWSER": browser}
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "arssr", "view", *map(str, words)],
                env=environment,
                stderr=said,
                stdout=said,
                start_new_session=True,
            )
        wait_for(lambda: "Ctrl-C" in self.said.read_text())
        [address] = [w for w in self.said.read_text().split() if "/#" in w]
        self.origin, _, self.token = address.partition("/#")

    def call(self, method: str, path: str, body: bytes | None = None, session: str = "") -> Any:
        headers = {"Origin": self.origin, "Authorization": f"Bearer {session}"}
        asked = urllib.request.Request(
            f"{self.origin}/api/{path}", body, headers=headers, method=method
        )
        with urllib.request.urlopen(asked) as answer:
            return json.load(answer)

    def enter(self) -> str:
        """The token of a session."""
        body = json.dumps({"token": self.token}).encode()
        return str(self.call("POST", "session", body)["session"])

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


def wait_for(what: Callable[[], Any]) -> None:
    end = time.monotonic() + 90
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def start(tmp_path: Path, network: ModelRef) -> Iterator[Callable[..., Server]]:
    running = []

    def begin(*words: object, **more: str) -> Server:
        running.append(Server(tmp_path, "-m", network.weights, *words, **more))
        return running[-1]

    yield begin
    for server in running:
        server.process.kill()
        server.process.wait()
