"""The real window, on a screen of its own."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from tests.phantoms import anatomy

import arssr
from arssr import Grid, Volume

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("window.py")
SCREEN = {"QT_QPA_PLATFORM": "xcb", "LIBGL_ALWAYS_SOFTWARE": "1", "OMP_NUM_THREADS": "1"}


def installed(folder: Path) -> Path:
    """Where the package lies, from its wheel where one is installed or can be built: with all that
    napari needs to find the plugin by itself.
    """
    if not (found := Path(arssr.__file__).parents[1]).is_relative_to(ROOT):
        return found
    if find_spec("hatchling") is None:
        return ROOT / "src"
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    ZipFile(wheel).extractall(folder / "installed")
    return folder / "installed"


def has_a_window() -> bool:
    """Whether there is a virtual screen, and all that Qt needs of the system."""
    code = "import qtpy.QtWidgets, vispy.gloo.gl.gl2; qtpy.QtWidgets.QApplication([])"
    return bool(shutil.which("xvfb-run")) and on_a_screen("-c", code).returncode == 0


def on_a_screen(*arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    screen = {**SCREEN, "PYTHONPATH": path} if path else SCREEN
    command = ["xvfb-run", "-a", "-s", "-screen 0 1400x900x24", sys.executable, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | screen, timeout=500
    )


def test_a_person_opens_a_scan_and_super_resolves_it(tmp_path: Path) -> None:
    if not has_a_window():
        pytest.skip("needs xvfb-run and what Qt needs of the system, see .ci/run")
    affine = np.diag([-1.0, -1, 4, 1])
    affine[:3, 3] = (20, 24, -18)
    scan = Volume(1000 * anatomy((40, 48, 10)), Grid((40, 48, 10), affine)).stored_as("int16")
    path = scan.write(tmp_path / "FLAIR.nii.gz")
    package = installed(tmp_path)
    done = on_a_screen(str(SCRIPT), str(path), str(tmp_path), path=str(package))
    assert done.returncode == 0, done.stderr[-3000:]
    is_installed = package != ROOT / "src"
    assert f"{'discovered' if is_installed else ''} in {package}" in done.stdout
    assert {p.name for p in tmp_path.glob("*.png")} == {"error.png", "running.png", "done.png"}
