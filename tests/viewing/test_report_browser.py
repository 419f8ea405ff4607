"""The comparison page in Chromium: without a network, without an error, and right."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from tests.viewing.heads import SPOT_RAS_MM, head, las_grid

from arssr.interpolation import resample
from arssr.viewing import shown
from arssr.viewing.display import canonical
from arssr.viewing.half_widths import sureness
from arssr.viewing.report import write_report
from arssr.viewing.verdict import Verdict
from arssr.volume import Volume

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open a page in")

LAPTOP = {"width": 1366, "height": 768}
PHONE = {"width": 390, "height": 844}
# [visible canvases, those with more than a few colours in the half without scale bar and letters]
PAINTED = """() => {
  const shown = [...document.querySelectorAll("canvas")].filter((c) => c.clientWidth > 0);
  const painted = shown.filter((c) => {
    const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height / 2);
    return new Set(new Uint32Array(data.buffer)).size > 5;
  });
  return [shown.length, painted.length];
}"""
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def truth() -> Volume:
    return head(las_grid())


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, truth: Volume) -> Path:
    lr = resample(truth, truth.grid.scaled(0.5))
    images = [("input", lr), ("cubic", resample(lr, truth.grid)), ("same", truth)]
    return write_report(tmp_path_factory.mktemp("report") / "report.html", images, truth)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    quiet = ("--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            chromium_sandbox=os.geteuid() != 0,  # root has none
            args=["--no-first-run", "--disable-component-update", *quiet],
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """A page in a context of its own; at the end there must have been no error and no request."""
    contexts: list[BrowserContext] = []
    troubles: list[str] = []
    requests: list[str] = []

    def opened(path: Path, **options: Any) -> Page:
        context = browser.new_context(**({"viewport": LAPTOP} | options))
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []
    assert all(url.startswith("file:") and url.endswith(".html") for url in requests)


def settle(page: Page) -> None:
    """Let what was asked for be drawn."""
    page.evaluate("() => new Promise((d) => requestAnimationFrame(() => requestAnimationFrame(d)))")


def canvas(plane: int, image: int) -> str:
    return f'.plane[data-plane="{plane}"] figure[data-image="{image}"] canvas'


def slider(page: Page, plane: int) -> int:
    return int(page.input_value(f'.plane[data-plane="{plane}"] .plane-head input'))


def readout(page: Page, image: int, plane: int = 0) -> float:
    figure = f'.plane[data-plane="{plane}"] figure[data-image="{image}"]'
    return float(page.inner_text(f"{figure} figcaption output").replace("−", "-"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_everything_is_painted(
    open_page: Open, path: Path, scheme: str, viewport: dict[str, int]
) -> None:
    page = open_page(path, viewport=viewport, color_scheme=scheme, device_scale_factor=2)
    shown, painted = page.evaluate(PAINTED)
    assert painted == shown - 3  # the differences of "same", in three details, are one colour
    assert shown == 12 + 3 * 7 + 1
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert page.evaluate("document.querySelectorAll('.curve').length") == 12
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    bright = sum(map(int, re.findall(r"\d+", background)[:3])) > 3 * 128
    assert bright == (scheme == "light")
    assert not page.is_visible("#status")


def test_a_click_moves_all_planes_and_reads_the_voxel_there(
    open_page: Open, path: Path, truth: Volume
) -> None:
    page = open_page(path)
    right = canonical(truth)
    spot = np.rint(right.grid.to_index(SPOT_RAS_MM)).astype(int)
    page.fill('.plane[data-plane="0"] .plane-head input', str(spot[2]))
    box = page.locator(canvas(0, 3)).bounding_box()
    assert box is not None
    i, j = spot[0], spot[1]
    # the canvas shows 44 × 52 mm, the far ends of both axes at its left and at its top
    scale = min(box["width"] / 44, box["height"] / 52)
    page.mouse.click(
        box["x"] + box["width"] / 2 + (21.5 - i) * scale,
        box["y"] + box["height"] / 2 + (25.5 - j) * scale,
    )
    settle(page)
    assert [slider(page, plane) for plane in (2, 1, 0)] == [i, j, spot[2]]
    assert readout(page, 3) == pytest.approx(right.data[tuple(spot)], abs=3)
    assert readout(page, 3) > 200
    x, y, z = right.grid.to_world(spot)
    assert page.inner_text("#place") == f"R {x:.1f} · A {y:.1f} · S {z:.1f} mm"


def test_the_spot_on_the_right_is_drawn_on_the_left(open_page: Open, path: Path) -> None:
    page = open_page(path)
    page.fill('.plane[data-plane="0"] .plane-head input', "21")  # 8 mm above the middle
    settle(page)
    brightest = page.evaluate(
        """(selector) => {
          const c = document.querySelector(selector);
          const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
          const at = [];
          for (let n = 0; n < data.length; n += 4) {
            const x = (n / 4) % c.width, y = Math.floor(n / 4 / c.width);
            const margin = Math.min(x, y, c.width - x, c.height - y) > 30;
            if (margin && data[n] > 230 && data[n + 2] > 230) at.push([x / c.width, y / c.height]);
          }
          const median = (i) => at.map((p) => p[i]).sort()[at.length >> 1];
          return [at.length, median(0), median(1)];
        }""",
        canvas(0, 3),
    )
    count, x, y = brightest
    assert count > 100
    assert x < 0.3, "the patient's right is on the left"
    assert 0.3 < y < 0.5, "a little towards the front"


def test_the_keyboard_moves_the_cross(open_page: Open, path: Path) -> None:
    page = open_page(path)
    start = [slider(page, plane) for plane in (2, 1, 0)]
    page.focus(canvas(0, 1))
    for key in ("ArrowLeft", "ArrowUp", "ArrowUp", "PageUp", "Shift+PageUp"):
        page.keyboard.press(key)
    settle(page)
    moved = [slider(page, plane) for plane in (2, 1, 0)]
    assert [b - a for a, b in zip(start, moved, strict=True)] == [1, 2, 6]
    page.keyboard.press("0")
    settle(page)
    assert [slider(page, plane) for plane in (2, 1, 0)] == start


def test_flipping_shows_one_image_at_a_time(open_page: Open, path: Path) -> None:
    page = open_page(path)

    def shown() -> list[str]:
        return page.locator(".plane figcaption b:visible").all_inner_texts()

    assert shown() == ["input", "cubic", "same", "truth"] * 3
    page.keyboard.press("f")
    settle(page)
    assert shown() == ["cubic"] * 3
    page.keyboard.press("f")
    settle(page)
    assert shown() == ["same"] * 3
    page.select_option("#pick-B", label="truth")
    settle(page)
    assert shown() == ["truth"] * 3
    assert page.evaluate(PAINTED)[1] >= 3


def test_differences_are_from_the_chosen_image(open_page: Open, path: Path) -> None:
    page = open_page(path)
    page.keyboard.press("d")
    settle(page)
    assert not page.is_visible(canvas(0, 3)), "the truth does not differ from itself"
    assert readout(page, 2) == 0
    colours = page.evaluate(
        """(selectors) => selectors.map((selector) => {
          const c = document.querySelector(selector);
          const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
          let coloured = 0;
          for (let n = 0; n < data.length; n += 4) {
            coloured += data[n + 2] - data[n] > 60 || data[n] - data[n + 2] > 60;
          }
          return coloured / (data.length / 4);
        })""",
        [canvas(0, 1), canvas(0, 2)],
    )
    assert colours[0] > 0.1
    assert colours[1] < 0.04  # only the cross and the letters
    page.select_option("#against", label="cubic")
    settle(page)
    assert page.is_visible(canvas(0, 3))
    assert not page.is_visible(canvas(0, 1))
    assert readout(page, 2) == readout(page, 3)


def test_zoom_keeps_the_cross_in_view_and_details_lead_to_their_place(
    open_page: Open, path: Path
) -> None:
    page = open_page(path)
    before = page.evaluate("document.querySelector('.plane canvas').toDataURL()")
    page.click('[data-detail="2"] .go')
    settle(page)
    assert page.is_checked('input[name="zoom"][value="2"]')
    assert page.evaluate("document.querySelector('.plane canvas').toDataURL()") != before
    detail = page.evaluate(
        "JSON.parse(document.querySelector('#report-data').textContent).details[2]"
    )
    assert [slider(page, plane) for plane in (2, 1, 0)] == detail["centre"]


@pytest.mark.parametrize("budget", [None, 60_000], ids=["whole", "some slices"])
def test_a_sentence_and_the_picture_of_half_widths_lead_to_their_places(
    open_page: Open,
    truth: Volume,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    budget: int | None,
) -> None:
    if budget:
        monkeypatch.setattr(shown, "_BUDGET", budget)
    sentence = "Look twice at the <spot>."
    verdict = Verdict("Head", {"What to look at": [sentence]}, places={sentence: SPOT_RAS_MM})
    half_widths = truth.with_data(1 + truth.data, truth.grid)
    told = {"probability": 0.9}
    images = [("cubic", resample(truth, truth.grid.scaled(0.5))), ("result", truth)]
    written = write_report(
        tmp_path / "a.html", images, verdict=verdict, sure=sureness(truth, half_widths, told)
    )
    page = open_page(written, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    grid = canonical(truth).grid
    for button, place in (
        ("#verdict .go", SPOT_RAS_MM),
        ("#sure .go", sureness(truth, half_widths, told).centre_ras_mm),
    ):
        page.click(button)
        settle(page)
        at = np.rint(grid.to_index(place)).astype(int).tolist()
        assert [slider(page, plane) for plane in (2, 1, 0)] == at


MEAN_GREY = """(selector) => {
  const c = document.querySelector(selector), [w, h] = [c.width, c.height];
  const copy = new OffscreenCanvas(w, h).getContext("2d", { willReadFrequently: true });
  copy.drawImage(c, 0, 0);
  const { data } = copy.getImageData(w / 4, h / 4, w / 2, h / 2);
  let sum = 0;
  for (let n = 0; n < data.length; n += 4) sum += data[n];
  return (4 * sum) / data.length;
}"""


def test_each_image_has_its_window_and_a_switch_gives_them_one(
    open_page: Open, tmp_path: Path, truth: Volume
) -> None:
    faint = truth.with_data(0.1 * truth.data, truth.grid)
    images = [("truth", truth), ("faint", faint)]
    page = open_page(write_report(tmp_path / "report.html", images, one_window=False))

    def greys() -> list[float]:
        settle(page)
        return [page.evaluate(MEAN_GREY, canvas(0, image)) for image in (0, 1)]

    one, other = greys()
    assert other == pytest.approx(one, rel=0.05)
    page.check('input[name="window"][value="one"]', force=True)
    after, faint_after = greys()
    assert after == pytest.approx(one, rel=0.05)
    assert faint_after < 0.3 * one
    page.fill("#high", "10")
    assert greys()[1] == pytest.approx(one, rel=0.1)


def test_nothing_is_drawn_or_read_outside_the_field_of_view(
    open_page: Open, tmp_path: Path, truth: Volume
) -> None:
    whole = canonical(truth)
    part = whole.with_data(
        whole.data[:, :, :16], whole.grid.part([slice(44), slice(52), slice(16)])
    )
    page = open_page(write_report(tmp_path / "report.html", [("whole", whole), ("part", part)]))
    page.fill('.plane[data-plane="0"] .plane-head input', "20")
    settle(page)
    assert page.inner_text(f"{canvas(0, 1)} + figcaption output") == "–"
    assert readout(page, 0) > 0
    colours = page.evaluate(
        """(selector) => {
          const c = document.querySelector(selector), [x, y] = [c.width / 2, c.height / 2];
          const { data } = c.getContext("2d").getImageData(x + 20, y + 20, 40, 40);
          return [...new Set(new Uint32Array(data.buffer))].length;
        }""",
        canvas(0, 1),
    )
    assert colours == 1
    page.keyboard.press("d")
    settle(page)
    assert page.inner_text(f"{canvas(0, 1)} + figcaption output") == "–"


def test_on_a_phone_three_images_stand_in_a_row(
    open_page: Open, tmp_path: Path, truth: Volume
) -> None:
    images = [(name, head(truth.grid, blur)) for name, blur in (("a", 0.0), ("b", 0.5), ("c", 1.0))]
    path = write_report(tmp_path / "report.html", images)
    page = open_page(path, viewport=PHONE, has_touch=True, is_mobile=True)
    tops = {page.locator(canvas(0, image)).bounding_box()["y"] for image in range(3)}  # type: ignore[index]
    assert len(tops) == 1
    assert page.locator(".keys").count() and not page.is_visible(".keys")
    page.check('input[name="layout"][value="flip"]', force=True)
    page.wait_for_selector("#flip", state="visible")
    assert not page.is_visible("#flip kbd")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_page_of_some_slices_works_too(
    open_page: Open, tmp_path: Path, truth: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arssr.viewing.shown._BUDGET", 15_000)
    soft = head(truth.grid, 0.5)
    page = open_page(write_report(tmp_path / "report.html", [("soft", soft)], truth))
    data = page.evaluate("JSON.parse(document.querySelector('#report-data').textContent)")
    assert data["kept"]
    shown, painted = page.evaluate(PAINTED)
    assert shown == painted
    right = canonical(truth)
    page.focus(canvas(2, 0))
    for key in ("ArrowUp", "ArrowLeft", "PageUp", "PageUp"):
        page.keyboard.press(key)
        settle(page)
        at = tuple(slider(page, plane) for plane in (2, 1, 0))
        assert all(index in data["kept"][axis] for axis, index in enumerate(at))
        assert readout(page, 1) == pytest.approx(right.data[at], abs=3)
