"""The page in Chromium: from the private file to a result that is saved, as a person does it."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from arssr.jobs.batch import ModelRef, model_of
from arssr.volume import Volume

from .conftest import Server

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open a page in"),
    pytest.mark.slow,
]
SOON = 90_000  # ms


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            chromium_sandbox=os.geteuid() != 0,  # root has none
        )
        yield browser
        browser.close()


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def saved(page: Page, what: str, folder: Path) -> Path:
    with page.expect_download(timeout=SOON) as download:
        press(page, what)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_a_dropped_scan_is_seen_computed_and_saved(
    start: Callable[..., Server], browser: Browser, thick: Path, network: ModelRef, tmp_path: Path
) -> None:
    server = start("--no-browser", "--device", "cpu", "--precision", "float32")
    [folder] = server.temporary.iterdir()
    page, errors = browser.new_page(), list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.goto((folder / "open.html").as_uri())
    expect(page).to_have_url(f"{server.origin}/", timeout=SOON)  # without its token
    expect(page.locator("#file")).to_be_enabled(timeout=SOON)
    page.set_input_files("#file", thick)
    expect(page.get_by_role("heading", level=2)).to_contain_text(
        "FLAIR.nii.gz: ready", timeout=SOON
    )
    expect(page.get_by_text("voxels of 1×1×3 mm.")).to_be_visible()
    press(page, "estimate")
    expect(page.locator("#message")).to_contain_text("of memory", timeout=SOON)
    press(page, "run")
    press(page, "show")
    result = Volume.read(saved(page, "nifti", tmp_path))
    expected = model_of(network).upsample(thick, spacing=1)
    np.testing.assert_array_equal(result.data, expected.data)
    assert result.grid == expected.grid
    names = {saved(page, what, tmp_path).name for what in ("sidecar", "report")}
    assert names == {"FLAIR_SR.json", "FLAIR_SR.html"}
    press(page, "show cubic")
    expect(page.locator("canvas").first).to_be_visible(timeout=SOON)
    assert nib.load(tmp_path / "FLAIR_SR.nii.gz").shape == (12, 11, 15)  # type: ignore[attr-defined]
    assert not errors

    page.reload()
    expect(page.locator("#message")).to_contain_text("the terminal shows last")
    page.goto(f"{server.origin}/#{server.token}")  # which was used
    page.reload()
    expect(page.locator("#message")).to_contain_text("was used")
    assert page.context.cookies() == []
    page.close()


def test_another_site_gets_nothing(start: Callable[..., Server], browser: Browser) -> None:
    """Not even with the token of a session, which it cannot have."""
    server = start("--no-browser")
    session = server.enter()
    page = browser.new_page()
    page.goto("data:text/html,<p>evil")
    tried = page.evaluate(
        """async ([url, session]) => {
          const said = [];
          for (const init of [
            {}, { mode: "no-cors" }, { method: "POST", mode: "no-cors", body: "{}" },
            { headers: { Authorization: `Bearer ${session}` } },
          ]) {
            try { said.push((await fetch(`${url}/api/state`, init)).type); }
            catch { said.push("failed"); }
          }
          return said;
        }""",
        [server.origin, session],
    )
    assert set(tried) <= {"failed", "opaque"}
    page.set_content(f'<iframe src="{server.origin}/"></iframe>')
    page.wait_for_timeout(1000)
    assert not [frame for frame in page.frames if frame.title() == "ArSSR"]
    page.close()
