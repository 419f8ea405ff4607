"""Try a wheel of this checkout with several Pythons and versions, and keep what came of it.

    python tools/matrix.py [PYTHON:VERSIONS ...]        such as 3.13:newest; all of them by default

Each is `tools/try_wheel.py` with the command pythonPYTHON. Rows of docs/matrix.md are replaced, a
case at a time; those of Pythons that are not here say so. Where pip finds no CPU build of PyTorch
it takes that for CUDA, which is gigabytes a case.
"""

import re
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "matrix.md"
PYTHONS, VERSIONS = ("3.11", "3.12", "3.13", "3.14"), ("lowest", "tested", "newest")
ROW = re.compile(r"^\| (\d\.\d+) \| (\w+) \| .* \|$", re.MULTILINE)


def main() -> None:
    """Run the cases, and write each into the page as it ends."""
    everything = [f"{python}:{versions}" for python in PYTHONS for versions in VERSIONS]
    for case in sys.argv[1:] or everything:
        python, versions = case.split(":")
        keep(python, versions, outcome(python, versions))


def outcome(python: str, versions: str) -> str:
    """What became of a case, in words."""
    if not answers(f"python{python}"):
        return "not run: this Python was not there"
    command = [sys.executable, str(ROOT / "tools" / "try_wheel.py"), "--versions", versions]
    begun = time.perf_counter()
    done = subprocess.run(
        [*command, "--python", f"python{python}"], capture_output=True, text=True, check=False
    )
    minutes = (time.perf_counter() - begun) / 60
    when = f"({date.today()}, {minutes:.0f} min)"
    if done.returncode == 0:
        return f"{done.stdout.strip().splitlines()[-1]} {when}"
    print(done.stderr, file=sys.stderr, flush=True)
    return f"failed {when}"


def answers(python: str) -> bool:
    """Whether there is such a command, and it runs."""
    try:
        return subprocess.run([python, "-V"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def keep(python: str, versions: str, said: str) -> None:
    """Put a row in the place of the one before it."""
    row = f"| {python} | {versions} | {said} |"
    print(row, flush=True)
    page = PAGE.read_text(encoding="utf-8")
    found = [each for each in ROW.finditer(page) if each.groups() == (python, versions)]
    PAGE.write_text(page.replace(found[0][0], row), encoding="utf-8")


if __name__ == "__main__":
    main()
