"""The page in Chromium before a running server: what a person does, from a drop to a file."""

import base64
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.formats.series import write_series
from tests.phantoms import tissue
from tests.telling import telling_weights

from arssr.errors import ArSSRWarning
from arssr.grid import Grid
from arssr.jobs.batch import ModelRef, model_of
from arssr.volume import Volume

from .conftest import Server, wait_for

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
# WebGL in software; nothing is fetched for the browser itself.
FLAGS = [
    "--enable-unsafe-swiftshader",
    "--use-angle=swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open a page in"),
    pytest.mark.slow,
]
SOON = 90_000  # ms
SHAPE = (40, 48, 12)
DROP = """(files) => {
  const dataTransfer = new DataTransfer();
  for (const [name, content] of files) {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    dataTransfer.items.add(new File([bytes], name));
  }
  const given = { dataTransfer, bubbles: true, cancelable: true };
  document.body.dispatchEvent(new DragEvent("drop", given));
}"""
VIOLATION = """document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            chromium_sandbox=os.geteuid() != 0,  # root has none
            args=FLAGS,
            ignore_default_args=["--disable-gpu"],
        )
        yield browser
        browser.close()


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """Slices of 4 mm."""
    scan = Volume(tissue(SHAPE), Grid(SHAPE, np.diag([1.0, 1, 4, 1])))
    return scan.write(tmp_path / "scans" / "FLAIR.nii.gz")


@dataclass
class Visitor:
    """A person at a page, and what the browser complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, browser: Browser, address: str) -> "Visitor":
        page = browser.new_page(viewport={"width": 1366, "height": 768}, accept_downloads=True)
        visitor = cls(page)
        page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
        page.on("console", visitor._hear)
        page.add_init_script(VIOLATION)
        page.goto(address)
        return visitor

    def _hear(self, said: object) -> None:
        if getattr(said, "type", "") in ("error", "warning"):
            self.complaints.append(getattr(said, "text", ""))

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def drop(self, *paths: Path) -> None:
        files = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths]
        expect(self.page.get_by_role("heading", name="Drop a scan")).to_be_visible(timeout=SOON)
        self.page.evaluate(DROP, files)

    def run(self) -> None:
        button = self.page.get_by_role("button", name="Run R")
        expect(button).to_be_enabled(timeout=SOON)
        button.click()

    def compares(self) -> None:
        """The comparison has opened, cubic interpolation included."""
        expect(self.page.locator(".compare")).to_be_visible(timeout=SOON)
        expect(self.page.locator(".place")).to_contain_text("cubic", timeout=SOON)

    def says(self, words: str) -> None:
        expect(self.page.locator(".panel")).to_contain_text(words, timeout=SOON)

    def saves(self, what: str, folder: Path) -> Path:
        with self.page.expect_download(timeout=SOON) as download:
            self.page.locator(f"[data-save={what}]").click()
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path

    def picture(self) -> np.ndarray:
        """The large plane without what lies on it, (rows, columns, RGB)."""
        shown = self.page.locator(".picture canvas").screenshot()
        whole = np.asarray(Image.open(io.BytesIO(shown)).convert("RGB"), float)
        rows, columns = whole.shape[0], int(0.5 * whole.shape[1])
        return whole[int(0.15 * rows) : int(0.8 * rows), :columns]

    def sees_another(self, act: Callable[[], object]) -> np.ndarray:
        """The picture after it has changed by an act."""
        before, now = self.picture(), []
        act()
        wait_for(lambda: now.append(self.picture()) or (now[-1] != before).any())
        return now[-1]


def greys(picture: np.ndarray) -> np.ndarray:
    """The pixels without colour."""
    return picture[np.ptp(picture, axis=2) < 3][:, 0]


def test_how_sure_a_result_is_is_seen_where_that_was_asked_for(
    start: Callable[..., Server], browser: Browser, head: Path, tmp_path: Path
) -> None:
    (tmp_path / "telling").mkdir()
    weights = telling_weights(tmp_path / "telling")
    server = start("--no-browser", "-m", weights, "--device", "cpu", head)
    visitor = Visitor.at(browser, f"{server.origin}/#{server.token}")
    page = visitor.page
    how_sure = page.get_by_text("How sure", exact=True)
    visitor.run()
    visitor.compares()
    expect(how_sure).to_be_hidden()
    page.get_by_text("More").click()
    page.get_by_label("Say how sure it is").check()
    visitor.run()
    expect(page.locator(".place")).to_contain_text("±", timeout=SOON)
    wide = visitor.sees_another(lambda: page.keyboard.press("u"))
    expect(page.locator(".legend")).to_contain_text("90 %: the truth within ±0 to ±")
    red, _, blue = np.moveaxis(wide[:, 2 * wide.shape[1] // 3 :], -1, 0)
    assert (red > blue + 50).any() and not (blue > red + 80).any()  # dark to yellow
    assert Volume.read(visitor.saves("uncertainty", tmp_path)).data.min() > 0
    assert not visitor.complaints
    page.close()


def test_a_scan_is_dropped_seen_computed_compared_and_saved(
    start: Callable[..., Server], browser: Browser, head: Path, network: ModelRef, tmp_path: Path
) -> None:
    server = start("--no-browser", "--device", "cpu", "--precision", "float32")
    [folder] = server.temporary.iterdir()
    visitor = Visitor.at(browser, (folder / "open.html").as_uri())
    page = visitor.page
    expect(page).to_have_url(f"{server.origin}/", timeout=SOON)  # without its token
    beside = head.with_name("FLAIR.json")  # as dcm2niix leaves it
    facts = {"SliceThickness": 3, "SpacingBetweenSlices": 4, "MRAcquisitionType": "2D"}
    beside.write_text(json.dumps(facts))
    visitor.drop(head, beside)
    visitor.says("40×48×12 voxels of 1×1×4 mm.")
    visitor.says("slices of 3 mm")
    visitor.says("40×48×48 voxels of 1×1×1 mm")  # what it would take, by itself
    visitor.says("of memory")
    assert np.unique(greys(visitor.picture())).size > 20

    visitor.run()
    visitor.press("Cancel Esc")
    visitor.says("Cancelled; nothing of it is kept.")
    visitor.run()
    visitor.compares()
    scanned = visitor.sees_another(lambda: page.keyboard.down(" "))
    both = visitor.sees_another(lambda: page.keyboard.up(" "))
    left = slice(0, both.shape[1] // 3)
    np.testing.assert_array_equal(both[:, left], scanned[:, left])  # before, left of the line
    ours = visitor.sees_another(lambda: page.locator("#line").fill("0"))
    cubic = visitor.sees_another(lambda: page.keyboard.down("c"))
    visitor.sees_another(lambda: page.keyboard.up("c"))
    assert np.unique(greys(cubic)).size > 20 and not np.array_equal(cubic, ours)
    difference = visitor.sees_another(lambda: page.keyboard.press("d"))
    red, _, blue = np.moveaxis(difference, -1, 0)
    assert (red > blue + 50).any() and (blue > red + 50).any()  # signed
    expect(page.locator(".legend")).to_contain_text("ArSSR − cubic: ±")

    result = Volume.read(visitor.saves("nifti", tmp_path))
    with pytest.warns(ArSSRWarning, match="no target was named"):
        expected = model_of(network).upsample(head)
    np.testing.assert_array_equal(result.data, expected.data)
    assert result.grid == expected.grid
    names = {visitor.saves(what, tmp_path).name for what in ("sidecar", "report")}
    assert names == {"FLAIR_SR.json", "FLAIR_SR.html"}
    assert not visitor.complaints

    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("the terminal shows last")
    page.goto(f"{server.origin}/#{server.token}")  # which was used
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("was used")
    assert page.context.cookies() == []
    page.close()


def test_what_goes_wrong_is_a_sentence_and_the_next_run_works(
    start: Callable[..., Server], browser: Browser, head: Path, tmp_path: Path
) -> None:
    server = start("--no-browser", head)
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(head.read_bytes()[:500])
    visitor = Visitor.at(browser, f"{server.origin}/#{server.token}")
    page = visitor.page
    visitor.says("40×48×12 voxels of 1×1×4 mm.")

    page.set_input_files("#file", broken)
    expect(page.locator(".panel .warning")).to_contain_text("broken.nii.gz", timeout=SOON)
    page.keyboard.press("n")  # the other one
    page.get_by_label("Factor, or three").fill("2 2")
    visitor.says("Scale is one number or three.")
    expect(page.get_by_role("button", name="Run R")).to_be_disabled()

    page.get_by_label("Factor, or three").fill("4")
    page.get_by_text("More").click()
    page.get_by_label("Mean over flips").select_option("8")
    visitor.says("160×192×48 voxels")
    visitor.run()
    at_work = re.compile("Reading|Encoding|Decoding")
    expect(page.locator(".going")).to_contain_text(at_work, timeout=SOON)
    workers = [
        each
        for each in psutil.Process(server.process.pid).children(recursive=True)
        if "spawn_main" in " ".join(each.cmdline())
    ]
    for worker in workers:
        worker.kill()
    expect(page.locator(".results .warning")).to_contain_text("killed", timeout=SOON)
    page.get_by_text("Thick slices").click()
    page.get_by_label("Mean over flips").select_option("1")
    visitor.run()
    visitor.compares()
    assert all("422" in each for each in visitor.complaints)  # the browser's word for refusals
    server.process.kill()
    expect(page.get_by_role("alert")).to_contain_text("start arssr view again", timeout=SOON)
    page.close()


def test_haste_and_nonsense_do_nothing_unasked(
    start: Callable[..., Server], browser: Browser, head: Path, tmp_path: Path
) -> None:
    server = start("--no-browser")
    visitor = Visitor.at(browser, f"{server.origin}/#{server.token}")
    page, tabs = visitor.page, visitor.page.locator("nav .tab[data-scan]")
    bare, other = tmp_path / "bare.mhd", tmp_path / "other.nii.gz"
    bare.write_text("NDims = 3")
    shutil.copy(head, other)
    visitor.drop(bare, head, other)  # one that is refused keeps no other away
    expect(page.get_by_role("alert")).to_contain_text("bare.mhd")
    expect(tabs).to_have_text([head.name, other.name], timeout=SOON)
    tabs.first.click()
    visitor.says("40×48×48 voxels")
    page.get_by_label("Factor, or three").fill("many")
    visitor.says("Scale is one number or three.")  # and not what nothing asks for
    black = page.get_by_label("Black")
    known = black.input_value()
    black.fill("")
    page.get_by_label("White").focus()
    expect(black).to_have_value(known)

    grids = page.get_by_label("Another scan").and_(page.locator("select"))
    grids.select_option(label=other.name)
    visitor.says("40×48×12 voxels of 1×1×4 mm")
    page.set_input_files("#file", [head, head])
    expect(tabs).to_have_count(4)
    expect(page.get_by_role("button", name="Run R")).to_be_enabled(timeout=SOON)
    tabs.first.click()
    expect(grids.locator("option")).to_have_count(3, timeout=SOON)
    expect(grids.locator("option:checked")).to_have_text(other.name)
    tabs.nth(1).click()
    page.get_by_label(f"Remove {other.name}").dblclick()
    expect(tabs).to_have_count(3)
    expect(page.get_by_role("alert")).to_be_hidden()

    tabs.first.click()
    page.get_by_text("Thick slices").click()
    expect(page.get_by_role("button", name="Run R")).to_be_enabled(timeout=SOON)
    for _ in range(3):
        page.keyboard.press("r")
        page.wait_for_timeout(100)
    visitor.compares()
    expect(page.locator(".results article")).to_have_count(1)
    expect(page.locator(".going")).to_be_hidden()
    page.close()


def test_a_folder_of_two_series_is_chosen_from_and_seen_in_a_second_tab(
    start: Callable[..., Server], browser: Browser, tmp_path: Path
) -> None:
    stored = tissue(SHAPE).astype(np.uint16)
    grid = Grid(SHAPE, np.diag([1.0, 1, 4, 1]))
    study = tmp_path / "study"
    write_series(study, stored, grid, number=5, description="t1")
    write_series(study, stored, grid, number=6, description="flair")
    server = start("--no-browser")
    visitor = Visitor.at(browser, f"{server.origin}/#{server.token}")
    page = visitor.page
    expect(page.get_by_role("heading", name="Drop a scan")).to_be_visible(timeout=SOON)
    page.set_input_files("#folder", study)
    page.get_by_role("button", name="flair").click(timeout=SOON)
    visitor.says("40×48×12 voxels of 1×1×4 mm.")
    visitor.run()
    visitor.compares()
    assert visitor.saves("dicom", tmp_path).suffix == ".zip"

    again = [word for word in server.said.read_text().split() if "/#" in word][-1]
    other = Visitor.at(browser, again)
    other.says("40×48×12 voxels of 1×1×4 mm.")
    other.compares()  # the last result opens by itself
    other.press("Remove study")
    for each in (visitor, other):
        expect(each.page.get_by_role("heading", name="Drop a scan")).to_be_visible(timeout=SOON)
        assert not each.complaints
        each.page.close()


def test_right_is_left_however_a_scan_is_stored_and_keys_and_mouse_lead_through_it(
    start: Callable[..., Server], browser: Browser, tmp_path: Path
) -> None:
    data, affine, turned = tissue(SHAPE), np.diag([1.0, 1, 4, 1]), np.diag([-1.0, -1, 4, 1])
    data[28:36, 34:42, 4:9] = 3 * data.max()  # right, in front
    turned[:2, 3] = SHAPE[0] - 1, SHAPE[1] - 1
    head = Volume(data, Grid(SHAPE, affine)).write(tmp_path / "RAS.nii.gz")
    same = Volume(data[::-1, ::-1], Grid(SHAPE, turned)).write(tmp_path / "LPS.nii.gz")
    cube = Volume(data, Grid(SHAPE, np.eye(4))).write(tmp_path / "isotropic.nii.gz")
    server = start("--no-browser", head, same, cube)
    visitor = Visitor.at(browser, f"{server.origin}/#{server.token}")
    page, place = visitor.page, visitor.page.locator(".place")
    expect(place).to_contain_text("as scanned", timeout=SOON)
    large = page.locator(".overlay button:disabled")
    for key, plane in (("1", "Axial"), ("2", "Coronal"), ("3", "Sagittal")):
        page.keyboard.press(key)
        expect(large).to_have_text(plane)
    page.keyboard.press("1")
    page.wait_for_timeout(500)  # until it is drawn
    picture = visitor.picture()
    bright = np.nonzero(picture.min(axis=2) > 200)
    assert all(np.median(at) < 0.45 * n for at, n in zip(bright, picture.shape, strict=False))
    page.keyboard.press("n")
    expect(page.get_by_role("heading", name="LPS.nii.gz")).to_be_visible()
    expect(place).to_be_visible(timeout=SOON)
    page.keyboard.press("1")
    wait_for(lambda: np.abs(visitor.picture() - picture).mean() < 1)
    before = place.text_content()
    visitor.sees_another(lambda: page.keyboard.press("Shift+ArrowUp"))
    assert place.text_content() != before
    visitor.sees_another(lambda: page.keyboard.press("i"))  # smooth
    expect(page.get_by_label("smooth")).to_be_checked()
    box = page.locator(".picture canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.4

    def drag(button: str) -> None:
        page.mouse.move(x, y)
        page.mouse.down(button=button)  # type: ignore[arg-type]
        page.mouse.move(x + 90, y + 40, steps=3)
        page.mouse.up(button=button)  # type: ignore[arg-type]

    visitor.sees_another(lambda: (page.mouse.move(x, y), page.mouse.wheel(0, -600)))
    expect(page.locator("#fit")).to_be_visible()
    page.keyboard.press("0")
    expect(page.locator("#fit")).to_be_hidden()
    visitor.sees_another(lambda: drag("left"))  # the crosshair
    white = page.get_by_label("White").input_value()
    visitor.sees_another(lambda: drag("right"))  # window and level
    assert page.get_by_label("White").input_value() != white
    page.keyboard.press("w")
    expect(page.get_by_label("White")).to_have_value(white)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("n")
    visitor.says("80×96×24 voxels of 0.5×0.5×0.5 mm")  # without slices to refine, by 2
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement !== document.body")
    assert not visitor.complaints
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
