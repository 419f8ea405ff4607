"""The README's first picture, of `arssr view` with a clinical scan: python docs/figures/page.py.

Needs Chromium (`CHROMIUM` names another than /usr/bin/chromium) and the development data beside the
checkout; without them the picture stays as it is.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
SCAN = ROOT.parent / "shared/data/clinical/openms-01_study1_FLAIR.nii.gz"
PICTURE = ROOT / "docs/images/page.png"
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = ["--enable-unsafe-swiftshader", "--use-angle=swiftshader"]
LAPTOP = (1366, 768)
FINER = "1 1 4"  # slices of 4 mm to 1 mm
SOON = 600_000  # ms


@contextmanager
def served(scan: Path) -> Iterator[str]:
    """The address of a page with this scan."""
    command = [sys.executable, "-u", "-m", "arssr", "view", "--no-browser", str(scan)]
    with subprocess.Popen(command, stdout=-1, stderr=-2, text=True) as server:
        assert server.stdout is not None
        words = (word for line in server.stdout for word in line.split())
        try:
            yield next(word for word in words if "/#" in word)
        finally:
            server.terminate()


def main() -> None:
    """Run the scan on the page, and take a picture of before and after."""
    if not (SCAN.exists() and CHROMIUM.exists()):
        print(f"passed over {PICTURE.name}: {SCAN} and {CHROMIUM} are needed")
        return
    with served(SCAN) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=FLAGS,
            chromium_sandbox=os.geteuid() != 0,
            ignore_default_args=["--disable-gpu"],
        )
        width, height = LAPTOP
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="dark")
        page.goto(address)
        page.get_by_label("Factor, or three").fill(FINER, timeout=SOON)
        run = page.get_by_role("button", name="Run R")
        expect(run).to_be_enabled(timeout=SOON)
        run.click()
        expect(page.locator(".compare")).to_be_visible(timeout=SOON)
        expect(page.locator(".place")).to_contain_text("cubic", timeout=SOON)
        page.screenshot(path=PICTURE, animations="disabled")
        browser.close()


if __name__ == "__main__":
    main()
