"""The program as a whole: quick to start, exit codes 0, 1 and 2, no tracebacks."""

import json
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import pytest
import typer

from arssr.cli import main as program
from arssr.errors import ArSSRError

from .conftest import Arssr, Result

HEAVY = ("torch", "numpy", "scipy", "nibabel", "matplotlib", "skimage", "lightning", "yaml")
COMMANDS = (
    *("upsample", "bids", "prepare", "train", "adapt", "evaluate", "compare", "bench"),
    *("models", "info", "view"),
)
LOADED = """
import json, sys
{statement}
print(json.dumps([name for name in {heavy} if name in sys.modules]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "statement",
    [
        "import arssr; dir(arssr)",
        "sys.argv = ['arssr', '--help']\n"
        "from arssr.cli.main import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code",
    ],
    ids=["import arssr", "arssr --help"],
)
def test_nothing_heavy_is_imported(statement: str) -> None:
    script = LOADED.format(statement=statement, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr) == []


def test_every_command_has_help(arssr: Arssr) -> None:
    overview = arssr("--help")
    assert overview.code == 0
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", overview.out)
        shown = arssr(command, "-h")
        assert shown.code == 0 and "Usage" in shown.out


def test_every_option_has_a_help_text() -> None:
    group = typer.main.get_command(program.app)
    for name in COMMANDS:
        command = group.commands[name]  # type: ignore[attr-defined]
        silent = [p.name for p in command.params if not getattr(p, "help", None)]
        assert not silent, f"{name}: {silent}"


def test_the_version(arssr: Arssr) -> None:
    result = arssr("--version")
    assert (result.code, result.out) == (0, version("arssr") + "\n")


@pytest.mark.parametrize("words", [[], ["sharpen"], ["--scal"], ["info"], ["upsample", "-z"]])
def test_wrong_usage_is_exit_code_2_and_says_how(arssr: Arssr, words: list[str]) -> None:
    result = arssr(*words)
    assert result.code == 2
    assert "Usage: arssr" in result.out + result.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--threads", "0"], "'--threads': it must be at least 1"),
        (["--jobs", "two"], "'--jobs': a whole number is needed"),
        (["--precision", "half"], "'--precision': 'half' is not one of"),
    ],
)
def test_a_value_that_is_none_is_told_of_in_plain_words(
    arssr: Arssr, words: list[str], sentence: str
) -> None:
    result = arssr("upsample", "in.nii", "-o", "out.nii", *words)
    assert result.code == 2
    assert sentence in result.err


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ArSSRError("the [scan] is odd"), 1, "error: the [scan] is odd\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "error: /x: Permission denied\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_how_it_ends(
    arssr: Arssr,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    sentence: str,
) -> None:
    def fail(args: list[str]) -> NoReturn:
        raise error

    monkeypatch.setattr(program, "join_triples", fail)
    assert arssr("models") == Result(code, "", sentence)


def test_as_a_process(tmp_path: Path) -> None:
    """In a plain C locale, without a terminal: one line, no traceback, no colour."""
    script = tmp_path / "scan Ω.nii"
    script.write_bytes(b"no image")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "arssr.cli.main", "info", str(script)],
        capture_output=True,
        env=environment,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    [line] = done.stderr.decode("ascii").splitlines()
    assert line.startswith("error: ") and "cannot be read" in line


def test_a_terminated_command_cleans_up(arssr: Arssr, monkeypatch: pytest.MonkeyPatch) -> None:
    """`scancel` and `kill` end it as Ctrl-C does: what is under way is given up in order."""
    cleaned: list[str] = []

    def killed(*_: object, **__: object) -> NoReturn:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("the signal was lost")
        finally:
            cleaned.append("up")

    monkeypatch.setattr("arssr.weights.registry.shipped", killed)
    before = signal.getsignal(signal.SIGTERM)
    try:
        call = arssr("models")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (call.code, call.err.strip(), cleaned) == (143, "error: terminated", ["up"])
