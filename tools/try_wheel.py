"""Install arssr plainly in an environment of its own, and super-resolve with it.

    python tools/try_wheel.py [--python PYTHON] [--versions tested|lowest|newest] [--doors] [FILE]

FILE: a wheel or a source distribution; without one a wheel of this checkout is built. Versions of
what it needs are those of constraints.txt, the lowest that pyproject.toml allows, or the newest
that there are. Prints a line of what was installed and done; fails where anything does.
--doors: then the extras for other programs as well, and one test of each that runs on the same
installation: napari's window, a Nipype node, a notebook, and sessions with a scanner.
"""

import argparse
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]

_SCANS = """
from pathlib import Path
import numpy as np
from arssr import Grid, Volume
from tests.formats.series import write_series

grid = Grid((24, 20, 8), np.diag([1.0, 1, 4, 1]))
i, j, k = np.indices(grid.shape)
head = ((i - 12) ** 2 + (j - 10) ** 2 + 16 * (k - 4) ** 2 < 80) * (600 + 100 * np.sin(i))
for name in ("scan.nii.gz", "scan.mgz"):
    Volume(head, grid).stored_as("int16").write(name)
write_series(Path("series"), head.astype(np.int16), grid)
"""

_LOOK = """
import platform
from importlib.metadata import distributions, version
import numpy as np
from arssr import Volume

results = [Volume.read(name) for name in ("nifti.nii.gz", "mgh.mgz", "derived.dicom")]
for result in results:
    assert result.grid.shape == (24, 20, 32), result
    assert np.allclose(result.grid.affine, results[0].grid.affine, atol=1e-5)
    assert result.data.std() > 100, result
assert np.abs(results[0].data - results[1].data).max() <= 1  # they are stored as integers
packages = {each.name for each in distributions()} - {"pip", "setuptools"}
versions = ", ".join(f"{name} {version(name)}" for name in ("arssr", "torch", "numpy", "scipy"))
print(f"Python {platform.python_version()}, {versions}: {len(packages)} packages, 3 scans done")
"""


_DOORS = "demo,mrd,napari,notebook,pipelines"
_TESTING = ("hypothesis", "myst-nb", "nbclient", "pyside6-essentials", "pytest")
_TESTS = (
    "tests/integrations/napari/test_window.py",
    "tests/integrations/test_nipype.py::test_a_node_writes_what_the_command_writes",
    "tests/test_docs_notebooks.py::test_a_notebook_runs_and_shows_planes[first_steps]",
    "tests/integrations/mrd/test_session.py",
)


def main() -> None:
    """Build if need be, install, super-resolve, and look at the results."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--python", default=sys.executable)
    asked.add_argument("--versions", choices=("tested", "lowest", "newest"), default="tested")
    asked.add_argument("--doors", action="store_true")
    asked.add_argument("file", nargs="?", type=Path)
    args = asked.parse_args()
    with TemporaryDirectory() as folder:
        file = args.file or built(Path(folder))
        pins = Path(folder) / "pins.txt"
        pins.write_text(versions(args.versions), encoding="utf-8")
        python = installed(args.python, Path(folder), file, pins)
        use(python, Path(folder) / "work")
        if args.doors:
            open_doors(python, file, pins)


def built(folder: Path) -> Path:
    """A wheel of this checkout."""
    run([sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)])
    return next(folder.glob("*.whl"))


def versions(which: str) -> str:
    """The constraints under which pip finds these versions."""
    if which == "tested":
        return (ROOT / "constraints.txt").read_text(encoding="utf-8")
    if which == "newest":
        return ""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return "\n".join(each.replace(">=", "==", 1) for each in project["dependencies"])


def installed(python: str, folder: Path, file: Path, pins: Path) -> Path:
    """The Python of a new environment that has the file and what it needs, and nothing else."""
    run([python, "-m", "venv", str(folder / "venv")])
    found = folder / "venv" / "bin" / "python"
    run([str(found), "-m", "pip", "install", "--quiet", "-c", str(pins), str(file)])
    return found


def use(python: Path, folder: Path) -> None:
    """Super-resolve a NIfTI, an MGH and a DICOM image in that folder."""
    folder.mkdir()
    # the tests know how to write a DICOM series; arssr itself is the one that was installed
    run([str(python), "-c", f"import sys; sys.path.append({str(ROOT)!r})\n{_SCANS}"], folder)
    arssr = str(python.with_name("arssr"))
    pairs = ("scan.nii.gz", "nifti.nii.gz"), ("scan.mgz", "mgh.mgz"), ("series", "derived.dicom")
    for scan, result in pairs:
        run([arssr, "upsample", scan, "-o", result, "--isotropic", "--quiet"], folder)
    run([str(python), "-c", _LOOK], folder)


def open_doors(python: Path, file: Path, pins: Path) -> None:
    """Install what other programs want, and run a test of each with arssr as it was installed."""
    wanted = (f"arssr[{_DOORS}] @ {file.resolve().as_uri()}", *_TESTING)
    run([str(python), "-m", "pip", "install", "--quiet", "-c", str(pins), *wanted])
    os.environ["OMP_NUM_THREADS"] = "1"  # as make test: results are compared to the bit
    run([str(python), "-m", "pytest", "-q", "-W", "ignore", *_TESTS], ROOT)


def run(command: list[str], folder: Path | None = None) -> None:
    """Raises CalledProcessError where it fails. Nothing of this checkout is on its path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, cwd=folder, env=environment, check=True)


if __name__ == "__main__":
    main()
