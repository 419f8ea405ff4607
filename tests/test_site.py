"""The static site in Chromium: what it computes, what it asks the network for, and without one."""

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright
from tests.phantoms import smooth
from tools.export_web import export

from arssr.api import load_model
from arssr.grid import Grid
from arssr.serving.guard import POLICY
from arssr.volume import Volume
from arssr.weights.registry import load

ROOT = Path(__file__).parents[1]
WEB = ROOT / "web"
NPM, CHROMIUM = shutil.which("npm"), shutil.which("chromium")
WHERE = "/some/where/"  # static hosts put sites anywhere
SOON = 240_000  # ms: in software, on few cores that others use as well
FLAGS = [  # both the picture and the engine in software
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan",
    "--enable-unsafe-swiftshader",
    "--use-angle=swiftshader",
]
# What Chromium asks of its maker whether there is a page or not; no page may (see below).
BROWSERS_OWN = ("google.com", "googleapis.com", "gvt1.com")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NPM is None, reason="needs Node.js"),
    pytest.mark.skipif(not (WEB / "node_modules").is_dir(), reason="npm ci in web/ first"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make site` makes."""
    assert NPM is not None
    folder, models = (tmp_path_factory.mktemp(name) for name in ("site", "models"))
    export(load("light"), models)
    done = subprocess.run(
        [NPM, "run", "site", "--", "--outDir", str(folder)],
        cwd=WEB,
        env={**os.environ, "ARSSR_MODELS": str(models)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@dataclass
class Host:
    """A static host, and the only way of the browser to any other: all that it asks for is here."""

    folder: Path
    requests: list[tuple[str, str]] = field(default_factory=list)
    name: str = "localhost"
    port: int = 0
    end: Callable[[], None] = lambda: None

    @property
    def origin(self) -> str:
        return f"http://{self.name}:{self.port}"

    @property
    def address(self) -> str:
        return self.origin + WHERE

    @property
    def files(self) -> set[str]:
        """The addresses of all files, and of the page."""
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        names = {path.relative_to(self.folder).as_posix() for path in paths}
        return {self.address + name for name in names | {""}}

    def of_pages(self) -> list[tuple[str, str]]:
        """What was asked for, but for what the browser asks of its maker."""

        def is_of_browser(url: str) -> bool:
            name = urlsplit(url if "//" in url else f"//{url}").hostname or ""
            return name.endswith(BROWSERS_OWN)

        return [(method, url) for method, url in self.requests if not is_of_browser(url)]


class _Answering(SimpleHTTPRequestHandler):
    """Files as they are, without a header of ours; other methods and places are refused."""

    def __init__(self, *given: Any, host: Host) -> None:
        self._host = host
        super().__init__(*given, directory=str(host.folder))

    def do_GET(self) -> None:
        self._note()
        if not self.path.startswith(self._host.address):
            self.send_error(404)
            return
        self.path = "/" + self.path.removeprefix(self._host.address)
        super().do_GET()

    def _refuse(self) -> None:
        self._note()
        self.send_error(405)

    do_POST = do_PUT = do_PATCH = do_DELETE = _refuse  # noqa: N815
    do_HEAD = do_OPTIONS = do_CONNECT = _refuse  # noqa: N815

    def _note(self) -> None:
        if self.path.startswith("/"):  # a proxy is asked for whole addresses
            self.path = self._host.origin + self.path
        self._host.requests.append((self.command, self.path))

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def hosted(folder: Path) -> Iterator[Host]:
    host = Host(folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Answering, host=host)) as server:
        server.daemon_threads = True
        host.port = server.server_port
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()

        def end() -> None:
            server.shutdown()
            thread.join()
            server.server_close()

        host.end = end
        try:
            yield host
        finally:
            end()


@contextmanager
def browsing(host: Host) -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            chromium_sandbox=os.geteuid() != 0,  # root has none
            args=FLAGS,
            ignore_default_args=["--disable-gpu"],
            proxy={"server": f"http://127.0.0.1:{host.port}", "bypass": "<-loopback>"},
        )
        yield browser.new_context(service_workers="allow")
        browser.close()


def drop(page: Page, path: Path) -> None:
    """As a person lets go of it over the page."""
    content = base64.b64encode(path.read_bytes()).decode()
    page.evaluate(
        """([name, content]) => {
          const dropped = new DataTransfer();
          const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
          dropped.items.add(new File([bytes], name));
          dispatchEvent(new DragEvent('drop', { dataTransfer: dropped, cancelable: true }));
        }""",
        [path.name, content],
    )


def upsampled(page: Page, scan: Path, to: Path) -> Volume:
    """What the page saves of a scan that is dropped on it."""
    drop(page, scan)
    run = page.get_by_role("button", name=re.compile("^Run"))
    expect(run).to_be_enabled(timeout=SOON)
    run.click()
    save = page.locator("[data-save=nifti]").last
    expect(save).to_be_visible(timeout=SOON)
    with page.expect_download(timeout=SOON) as download:
        save.click()
    download.value.save_as(to)
    return Volume.read(to)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Slices of 3 mm; few, as software computes them."""
    grid = Grid((8, 7, 3), np.diag([1.0, 1, 3, 1]))
    return Volume(1000 * smooth(grid.shape, sigma=1.5), grid).write(tmp_path / "FLAIR.nii.gz")


def opened(context: BrowserContext, host: Host) -> tuple[Page, list[str]]:
    page, complaints = context.new_page(), list[str]()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.goto(host.address)
    expect(page.get_by_text("Drop a scan")).to_be_visible(timeout=SOON)
    page.evaluate("() => navigator.serviceWorker.ready")
    page.wait_for_function("() => navigator.serviceWorker.controller")
    return page, complaints


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open a page in")
def test_a_scan_is_upsampled_as_python_does_it_and_nothing_is_sent_and_no_network_is_needed(
    site: Path, scan: Path, tmp_path: Path
) -> None:
    expected = load_model("light", device="cpu", precision="float32").upsample(scan, spacing=1)
    close = 1e-3 * np.ptp(expected.data)
    with hosted(site) as host, browsing(host) as context:
        seen: list[tuple[str, str]] = []
        context.on("request", lambda request: seen.append((request.method, request.url)))
        page, complaints = opened(context, host)
        result = upsampled(page, scan, tmp_path / "online.nii.gz")
        assert result.grid == expected.grid
        assert np.abs(result.data - expected.data).max() <= close

        whole = {"", "page.js", "models/light.bin", "service_worker.js"}
        assert {("GET", host.address + name) for name in whole} <= set(host.of_pages())
        # what the service worker answers itself is seen in the browser alone
        requests = {each for each in seen if not each[1].startswith("blob:")}
        assert requests | set(host.of_pages()) <= {("GET", url) for url in host.files}
        address = host.address
        page.close()

        host.end()
        page, more = opened(context, host)
        again = upsampled(page, scan, tmp_path / "offline.nii.gz")
        np.testing.assert_array_equal(again.data, result.data)
        assert page.url == address
        kept = page.evaluate(
            """async () => {
              const names = await caches.keys();
              const kept = await Promise.all(names.map(async (name) => {
                return (await (await caches.open(name)).keys()).map(({ url }) => url);
              }));
              return [names, kept.flat()];
            }"""
        )
        assert len(kept[0]) == 1
        index = {address + name for name in ("index.html", "service_worker.js")}
        assert set(kept[1]) == host.files - index
        assert not complaints + more


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open a page in")
def test_a_new_version_comes_whole_or_not_at_all(site: Path, tmp_path: Path) -> None:
    copy = tmp_path / "site"
    shutil.copytree(site, copy)
    names = "async () => (await caches.keys()).sort()"
    update = """async () => {
      const registration = await navigator.serviceWorker.ready;
      await registration.update().catch(() => undefined);
      const coming = registration.installing;
      if (!coming) return 'none';
      await new Promise((done) => coming.addEventListener('statechange', () => {
        if (coming.state !== 'installing') done();
      }));
      return coming.state;
    }"""
    waits = """async () => {
      const registration = await navigator.serviceWorker.ready;
      while (!registration.waiting) {
        await registration.update().catch(() => undefined);
        await new Promise((done) => setTimeout(done, 100));
      }
    }"""
    is_alone = """async () => {
      while ((await caches.keys()).length > 1) await new Promise((done) => setTimeout(done, 100));
    }"""

    def release(change: Callable[[str], str]) -> None:
        worker = copy / "service_worker.js"
        worker.write_text(change(worker.read_text()))

    with hosted(copy) as host, browsing(host) as context:
        page, _ = opened(context, host)
        [first] = page.evaluate(names)
        version = first.rpartition(" ")[2]
        assert page.evaluate(update) == "none"

        # a service worker that is there before the files that it tells of
        release(lambda text: text.replace(version, "1" * 16))
        icon = (copy / "icon.svg").read_bytes()
        (copy / "icon.svg").write_bytes(icon + b"\\n")
        assert page.evaluate(update) == "redundant"
        page.reload()
        expect(page.get_by_text("Drop a scan")).to_be_visible(timeout=SOON)

        (copy / "icon.svg").write_bytes(icon)
        page.evaluate(waits)  # for this page, which is of the old one
        assert first in page.evaluate(names)
        page.close()
        page, _ = opened(context, host)
        page.evaluate(is_alone)
        assert page.evaluate(names) == [first.replace(version, "1" * 16)]


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open a page in")
def test_it_never_takes_the_place_of_arssr_view(site: Path) -> None:
    """Which has 127.0.0.1, at a port where somebody may have tried the site."""
    with hosted(site) as host, browsing(host) as context:
        host.name = "127.0.0.1"
        page = context.new_page()
        page.goto(host.address)
        expect(page.get_by_text("Drop a scan")).to_be_visible(timeout=SOON)
        page.wait_for_timeout(1000)
        kept = "async () => (await navigator.serviceWorker.getRegistrations()).length"
        assert page.evaluate(kept) == 0
        assert host.address + "service_worker.js" not in {url for _, url in host.requests}


def test_the_policy_of_the_site_is_that_of_the_server(site: Path) -> None:
    page = (site / "index.html").read_text()
    [said] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    found = set(said.replace("&#39;", "'").split("; "))
    served = set(POLICY.split("; "))
    assert served - found == {"frame-ancestors 'none'"}  # which a policy in a page cannot have
    assert found - served == {"manifest-src 'self'"}
    assert "unsafe" not in said
    assert page.index("Content-Security-Policy") < page.index("<script")
    assert not re.findall(r"""(?:src|href)=["'](?:/|https?:)""", page)  # works below any path


def test_licences_and_weights_are_in_the_site(site: Path) -> None:
    notices = (site / "notices.txt").read_text()
    card = json.loads((site / "models" / "light.json").read_text())["card"]
    assert card["credit"] in notices and card["licence"] in notices
    assert (site / "LICENSE.txt").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert {path.name for path in (site / "models").iterdir()} == {"light.json", "light.bin"}
