"""The documents as a site: `make docs`."""

import shutil
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from docs.extensions.command_line import commands
from docs.extensions.docstrings import listed
from docs.extensions.from_code import file_formats, sidecar_fields
from docs.extensions.written import led
from playwright.sync_api import Page, expect, sync_playwright

import arssr
from arssr.cli.main import app
from arssr.files import FORMATS
from arssr.upsampling.facts import Facts

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CHROMIUM = shutil.which("chromium")


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does."""
    options = ["--fresh-env", "--fail-on-warning", "--keep-going", "--quiet"]
    command = [sys.executable, "-m", "sphinx", *options, str(source), str(site)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_site_is_built_strictly_and_needs_no_other_host(tmp_path: Path) -> None:
    done = build(DOCS, tmp_path)
    assert done.returncode == 0, done.stderr
    handler = partial(_Silent, directory=str(tmp_path))
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM) as browser,
    ):
        Thread(target=server.serve_forever, daemon=True).start()
        home = f"http://127.0.0.1:{server.server_port}/"
        page = browser.new_page(viewport={"width": 390, "height": 844})  # a phone's
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        _finds(page, home, "gap", "settings.html")
        wide = [name for name in _pages(tmp_path) if _is_too_wide(page, home + name)]
        server.shutdown()
    assert {url for url in asked if not url.startswith((home, "data:"))} == set()
    assert wide == []


def _finds(page: Page, home: str, word: str, name: str) -> None:
    page.goto(f"{home}search.html?q={word}")
    expect(page.locator(f'#search-results a[href*="{name}"]').first).to_be_visible()


def _pages(site: Path) -> list[str]:
    return sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))


def _is_too_wide(page: Page, address: str) -> bool:
    page.goto(address)
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


def test_what_leads_nowhere_or_says_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text(
        f"import sys\nsys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]\n"
        "from docs.conf import *\nhtml_static_path, html_css_files = [], []\n"
    )
    (tmp_path / "dumb.py").write_text("def silent(): ...\ndef _hidden(): ...\n")
    (tmp_path / "index.md").write_text(
        "# Title\n\n[a page](nowhere.md), [a place](#elsewhere), {class}`arssr.Nothing`\n\n"
        "```{eval-rst}\n.. automodule:: dumb\n   :members:\n```\n"
    )
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    for told in ("nowhere.md", "elsewhere", "arssr.Nothing", "dumb.silent has no docstring"):
        assert told in done.stderr, told


def test_every_option_is_on_the_page_of_the_command_line() -> None:
    page = commands()
    for command in app.registered_commands:
        assert command.name is not None
        assert f"\n## arssr {command.name}\n" in f"\n{page}"
    assert "--skip-existing`" in page
    assert "(transforms.md)" in page


def test_every_public_name_is_on_the_page_of_python() -> None:
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    missing = [name for name in arssr.__all__ if f":: arssr.{name}\n" not in page]
    assert missing == ["__version__"]


def test_every_key_and_every_suffix_is_in_its_table() -> None:
    assert all(f"| `{key}` |" in sidecar_fields() for key in Facts.__annotations__)
    assert all(f"`{suffix}`" in file_formats() for kind in FORMATS for suffix in kind.suffixes)


def test_what_docstrings_say_of_parameters_becomes_a_list() -> None:
    said = ["A result.", "scale, spacing: of the", "    result", "like: an image"]
    terms = ["``scale``, ``spacing``", "    of the", "    result", "``like``", "    an image"]
    assert listed(said) == ["A result.", "", *terms]
    for prose in (["scale: of it; spacing: of", "the result"], ["One word."], [">>> f(1)", "  2"]):
        assert listed(prose) == prose


def test_links_that_leave_the_documents_lead_to_pages_or_files() -> None:
    assert led("[x](bids.md#names)", DOCS) == "[x](/bids.md#names)"
    assert led("[x](docs/bids.md)", ROOT) == "[x](/bids.md)"
    assert led("[docs/bids.md](docs/bids.md)", ROOT) == "[](/bids.md)"
    assert led("[x](../SECURITY.md#what-listens)", DOCS) == "[x](/security.md#what-listens)"
    assert led("[`x`](LICENSE)", ROOT) == "{download}`x <../LICENSE>`"
    assert led("[x](../benchmarks)", DOCS) == "x (`benchmarks/`)"
    for kept in ("[x](#here)", "[x](https://a.b/c.md)", "[x](nowhere.md)"):
        assert led(kept, DOCS) == kept
