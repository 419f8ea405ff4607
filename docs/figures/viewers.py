"""The picture of napari's window, with a clinical scan: python docs/figures/viewers.py.

Needs `xvfb-run` (.ci/run has what it needs besides) and the development data beside the checkout;
without them the picture stays as it is. The window is used as its test uses it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SCAN = ROOT.parent / "shared/data/clinical/openms-01_study1_FLAIR.nii.gz"
PICTURE = ROOT / "docs/images/napari.png"
SCRIPT = ROOT / "tests/integrations/napari/window.py"
SHOWN = (0, 20, 1280, 580)  # pixels; below it the window is empty


def main() -> None:
    """Before and after, side by side, with the widget beside them."""
    if not (SCAN.exists() and shutil.which("xvfb-run")):
        print(f"passed over {PICTURE.name}: it needs {SCAN} and xvfb-run")
        return
    with TemporaryDirectory() as folder:
        command = ["xvfb-run", "-a", "-s", "-screen 0 1400x900x24", sys.executable]
        screen = {"QT_QPA_PLATFORM": "xcb", "LIBGL_ALWAYS_SOFTWARE": "1"}
        subprocess.run(
            [*command, str(SCRIPT), str(SCAN), folder], check=True, env=os.environ | screen
        )
        picture = Image.open(Path(folder) / "done.png").convert("RGB").crop(SHOWN)
    picture.quantize(96, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
