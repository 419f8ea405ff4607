"""A result is made in a process of its own, which can be ended at any time."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from tests.phantoms import smooth
from tests.serving.conftest import wait_for

from arssr import Grid, Volume
from arssr.integrations.napari.running import Run
from arssr.jobs.batch import ModelRef

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def scan() -> Volume:
    return Volume(100 * smooth((12, 11, 5)), Grid((12, 11, 5), np.diag([1, 1, 3, 1])))


def test_a_run_ends_with_a_result_and_what_is_to_be_told(
    network: ModelRef, scan: Volume, temporary_files: Path
) -> None:
    run = Run(network.weights, scan, {"acquisition": "auto"})
    wait_for(lambda: run.is_over)
    assert run.error == "" and run.made is not None
    assert run.made.volume.grid == scan.grid.with_spacing((1, 1, 1))
    assert (
        "Slices of 3 mm along k become 1 mm, as fine as was measured in the plane." in run.made.told
    )
    wait_for(lambda: not list(temporary_files.glob("arssr-*")))


def test_what_cannot_be_done_is_a_sentence(network: ModelRef, scan: Volume) -> None:
    elsewhere = np.eye(4)
    elsewhere[:3, 3] = 900
    run = Run(network.weights, scan, {"like": Grid((4, 4, 4), elsewhere)})
    wait_for(lambda: run.is_over)
    assert run.made is None
    assert run.error == "The reference image lies outside the scan's field of view."
    run = Run("no-such-weights", scan, {})
    wait_for(lambda: run.is_over)
    assert run.error.startswith("No weights 'no-such-weights'")


def test_a_cancelled_run_is_over_at_once_and_leaves_nothing(
    network: ModelRef, scan: Volume, temporary_files: Path
) -> None:
    run = Run(network.weights, scan, {"scale": 20})
    wait_for(lambda: run.what != "starting")
    run.cancel()
    assert run.is_over
    wait_for(lambda: not list(temporary_files.glob("arssr-*")))
    assert run.made is None and run.error == ""


def test_a_script_that_asks_is_not_run_a_second_time(network: ModelRef, tmp_path: Path) -> None:
    """As scripts that open a window do, without `if __name__ == "__main__"`."""
    script = tmp_path / "script.py"
    script.write_text(
        "import time\n"
        "import numpy as np\n"
        "from arssr import Grid, Volume\n"
        "from arssr.integrations.napari.running import Run\n"
        "print('begun', flush=True)\n"
        "scan = Volume(np.random.rand(8, 8, 4), Grid((8, 8, 4), np.diag([1, 1, 3, 1])))\n"
        f"run = Run({network.weights!r}, scan, {{}})\n"
        "while not run.is_over:\n"
        "    time.sleep(0.05)\n"
        "print(run.error or run.made.volume.grid.shape)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split("\n")[:2] == ["begun", "(8, 8, 12)"]
