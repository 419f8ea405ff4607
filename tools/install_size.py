"""Print how large installations are and how long pip takes, PyTorch apart.

    python tools/install_size.py dist/arssr-0.2.0-py3-none-any.whl [WHEEL[EXTRA] ...]

What each argument asks pip for goes into a fresh environment that sees PyTorch and what PyTorch
brings, with pip's cache off; versions are those of constraints.txt. Seconds hang on the network.
"""

import subprocess
import sys
import time
import venv
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]


def main() -> None:
    """A table in Markdown: PyTorch alone first, then what each argument adds to it."""
    print("| `pip install` | packages | MB | seconds |\n|---|---|---|---|")
    with TemporaryDirectory() as folder:
        torch = Path(folder) / "torch"
        print(row("torch", *install("torch", torch)), flush=True)
        for number, wanted in enumerate(sys.argv[1:]):
            environment = Path(folder) / str(number)
            print(
                row(Path(wanted).name, *install(wanted, environment, packages(torch))), flush=True
            )


def install(wanted: str, environment: Path, seen: Path | None = None) -> tuple[int, float, float]:
    """Packages, MB and seconds of it in a new environment; `seen` are installed already."""
    venv.create(environment, with_pip=True)
    before = contents(environment)
    if seen is not None:
        (packages(environment) / "seen.pth").write_text(str(seen), encoding="utf-8")
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-cache-dir"]
    begun = time.perf_counter()
    subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), wanted], check=True)
    seconds = time.perf_counter() - begun
    after = contents(environment)
    return after[0] - before[0], (after[1] - before[1]) / 1e6, seconds


def packages(environment: Path) -> Path:
    """The folder in which an environment keeps its packages."""
    return next(environment.glob("lib/python*/site-packages"))


def contents(environment: Path) -> tuple[int, int]:
    """How many packages an environment holds, and in how many bytes."""
    files = [path for path in environment.rglob("*") if path.is_file() and not path.is_symlink()]
    count = len(list(packages(environment).glob("*.dist-info")))
    return count, sum(path.stat().st_size for path in files)


def row(name: str, count: int, megabytes: float, seconds: float) -> str:
    """A row of the table."""
    return f"| {name} | {count} | {megabytes:.0f} | {seconds:.0f} |"


if __name__ == "__main__":
    main()
