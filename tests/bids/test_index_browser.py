"""The overview and the page of a subject in Chromium: without an error."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from arssr.bids.derivatives import Derivatives
from arssr.bids.index import write_index
from arssr.bids.participants import super_resolve
from arssr.jobs.batch import ModelRef
from arssr.jobs.local import Local
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target

from .conftest import AddScan

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open a page in")


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            chromium_sandbox=os.geteuid() != 0,  # root has none
            args=["--no-first-run", "--disable-background-networking", "--disable-gpu"],
        )
        yield browser
        browser.close()


def test_pages_open_without_a_complaint(
    derivatives: Derivatives, network: ModelRef, add: AddScan, browser: Browser
) -> None:
    add("sub-01/anat/sub-01_T1w.nii.gz")
    add("sub-02/anat/sub-02_T1w.nii.gz").write_bytes(b"no image")
    scans = derivatives.source.scans({"T1w"})
    list(super_resolve(derivatives, scans, Request(Target(scale=2.0)), network, Local()))
    said, asked = list[str](), list[str]()
    page = browser.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(write_index(derivatives).as_uri())
    assert page.get_by_text("2 subjects · 1 done · 1 failed").is_visible()
    page.get_by_role("link", name="01", exact=True).click()
    page.wait_for_load_state("networkidle")
    frame = page.frame_locator("iframe")
    frame.locator("html[data-ready]").wait_for()
    assert said == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
