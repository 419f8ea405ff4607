"""A page in Chromium that runs the JavaScript of ipyniivue, with models that are no more than their
state: what Jupyter's front end would show of a viewer, without Jupyter.
"""

import base64
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ipyniivue
import numpy as np
from PIL import Image
from playwright.sync_api import Page, Route, sync_playwright

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SIZE = {"width": 900, "height": 420}
_FLAGS = ["--enable-unsafe-swiftshader", "--use-angle=swiftshader", "--disable-quic"]
_SOON = 120_000  # ms
_SETTLED = 1_500  # ms from a change to a picture of it, which is drawn in software
_SCRIPT = Path(ipyniivue.__file__).parent / "static" / "widget.js"
_PAGE = """<!doctype html><meta charset="utf-8"><body style="margin:0"><div id="here"></div>
<script type="module">
class Model {
  constructor(state) { Object.assign(this, { state, heard: {}, widget_manager }); }
  get(name) { return this.state[name]; }
  set(name, value) {
    this.state[name] = value;
    for (const hear of this.heard["change:" + name] ?? []) hear();
  }
  on(name, hear) { (this.heard[name] ??= []).push(hear); }
  off(name, hear) { this.heard[name] = (this.heard[name] ?? []).filter((h) => hear && h !== hear); }
  save_changes() {}
  send() {}
  send_sync_message() {}
}
const widget_manager = { get_model: async (id) => models[id] };
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
const models = {};
for (const [id, state] of Object.entries(STATES)) {
  if (state.data) state.data = new DataView(bytes(state.data));
  models[id] = new Model(state);
}
const { default: widget } = await import("/widget.js");
await widget.initialize({ model: models["VIEWER"] });
await widget.render({ model: models["VIEWER"], el: document.getElementById("here") });
Object.assign(window, { models, ready: true });
</script>"""


@contextmanager
def shown(viewer: ipyniivue.NiiVue) -> Iterator[Page]:
    """A page with the viewer and all its images; no other address can be reached from it."""

    def answer(route: Route) -> None:
        if route.request.url.endswith("/widget.js"):
            route.fulfill(path=_SCRIPT, content_type="text/javascript")
        elif route.request.url.endswith("/page"):
            route.fulfill(body=_page(viewer), content_type="text/html")
        else:
            route.abort()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            chromium_sandbox=os.geteuid() != 0,  # root has none
            args=_FLAGS,
            ignore_default_args=["--disable-gpu"],
        )
        page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
        page.route("**/*", answer)
        page.goto("http://notebook.test/page")
        page.wait_for_function("window.ready", timeout=_SOON)
        yield page
        browser.close()


def picture(page: Page, image: ipyniivue.Volume, opacity: float) -> np.ndarray:
    """(H, W, 3) what the page shows once an image is so opaque, as its slider makes it."""
    page.evaluate(
        "([id, opacity]) => models[id].set('opacity', opacity)", [image.model_id, opacity]
    )
    page.wait_for_timeout(_SETTLED)
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))


def _page(viewer: ipyniivue.NiiVue) -> str:
    states = {}
    for widget in (viewer, *viewer.volumes):
        state = {name: value for name, value in widget.get_state().items() if name != "_esm"}
        if state.get("data"):
            state["data"] = base64.b64encode(state["data"]).decode()
        states[widget.model_id] = state
    states[viewer.model_id]["volumes"] = [f"IPY_MODEL_{each.model_id}" for each in viewer.volumes]
    page = _PAGE.replace("STATES", json.dumps(states)).replace("VIEWER", viewer.model_id)
    return page
