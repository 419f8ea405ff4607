"""Where messages and progress go: standard error, so that standard output stays readable."""

import json
import logging
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from arssr.errors import ArSSRError


class Terminal(Console):
    """Standard error; a log may keep its sentences."""

    only_warnings = False

    def print(self, *objects: Any, level: int = logging.INFO, **options: Any) -> None:
        """As rich does it, where the level is high enough; sentences are logged at that level."""
        if objects and isinstance(objects[0], str | Text):
            _said.log(level, "%s", objects[0])
        if level >= logging.WARNING or not self.only_warnings:
            super().print(*objects, **options)


stderr = Terminal(stderr=True, highlight=False)
_said = logging.getLogger("arssr.terminal")
_said.propagate = False  # it was said already
_said.setLevel(logging.INFO)
_said.addHandler(logging.NullHandler())  # without any, logging has one of its own


class _AfterLevel(logging.Formatter):
    """As `warn` and `complain` have it: what it is, and the sentence."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {super().format(record)}"


def show_log() -> None:
    """From now on show on standard error what is logged, by the package and by libraries.

    What it, or standard output, has no letters for is spelt as escapes.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # None where it is closed
            stream.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_AfterLevel())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _Log(logging.FileHandler):
    """The file that `keep_log` writes, until it cannot be written any more: that is said once."""

    def handleError(self, _: logging.LogRecord) -> None:  # noqa: N802 - as logging calls it
        """Give up, in the sentence that a full disk is worth."""
        for logger in (_said, logging.getLogger()):
            logger.removeHandler(self)
        error = sys.exc_info()[1]
        why = (error.strerror if isinstance(error, OSError) else None) or error
        warn([f"nothing more can be kept in {self.baseFilename}: {why}"])


def keep_log(path: Path | None) -> None:
    """From now on append what is said, warnings of libraries and tracebacks to this file, or none.

    Raises ArSSRError where it cannot be written.
    """
    for logger in (_said, logging.getLogger()):
        for handler in [each for each in logger.handlers if isinstance(each, _Log)]:
            logger.removeHandler(handler)
            handler.close()
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = _Log(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ArSSRError(f"cannot write {path}: {error.strerror}") from None
    log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for logger in (_said, logging.getLogger()):
        logger.addHandler(log)
    _said.info("arssr %s: %s", version("arssr"), shlex.join(sys.argv[1:]))


def log_traceback() -> None:
    """Keep the error that is being handled in the log, if there is one."""
    if any(isinstance(handler, _Log) for handler in _said.handlers):
        _said.exception("a bug of ours")


def complain(sentence: str) -> None:
    """One sentence about what went wrong."""
    text = Text.assemble(("error:", "red"), f" {sentence}")
    stderr.print(text, level=logging.ERROR, soft_wrap=True)


def tell_passed_over(what: str) -> None:
    """A line about what nothing is made of, which is no failure."""
    stderr.print(f"passed over: {what}", markup=False, soft_wrap=True)


def warn(sentences: Iterable[str], name: str = "") -> None:
    """Sentences about what may be wrong, after a name where there are several scans."""
    for sentence in sentences:
        text = f"warning: {name}{sentence}"
        stderr.print(text, style="yellow", markup=False, soft_wrap=True, level=logging.WARNING)


def tell_making(
    source: Path,
    facts: Mapping[str, Any],
    *,
    foretold: Mapping[str, Any] = MappingProxyType({}),
    several: bool = False,
) -> None:
    """What the user should know of how a result is made of the scan `source`.

    foretold: what was told of it already. several: there are others, so that it is named.
    """
    from arssr.upsampling.plain import NO_NETWORK

    new = {name: value for name, value in facts.items() if foretold.get(name) != value}
    name = f"{source.name}: " if several else ""
    if "taken" in new:
        stderr.print(f"{source} {new['taken']}", markup=False, soft_wrap=True)
    if "target" in new:
        stderr.print(f"{name}{new['target']}", markup=False, soft_wrap=True)
    if "method" in new:
        line = f"{name}{new['method']}: {NO_NETWORK}"
        stderr.print(line, markup=False, soft_wrap=True)
    notes, warnings = (
        [told for told in facts.get(kind, ()) if told not in foretold.get(kind, ())]
        for kind in ("notes", "warnings")
    )
    for told in notes:
        stderr.print(f"note: {name}{told}", markup=False, soft_wrap=True)
    warn(warnings, name)
    for done in ("even_slices", "cut_to_band"):
        if done in new:
            stderr.print(f"{name}{new[done]['in_words']}", markup=False, soft_wrap=True)


def tell_merged(scans: Sequence[Path | str]) -> None:
    """A line about which scans become one image, where there are several."""
    first, *others = [Path(scan).name for scan in scans]
    if others:
        line = f"from {', '.join([f'{first} (the frame)', *others])}"
        stderr.print(line, markup=False, soft_wrap=True)


def size_in_words(facts: Mapping[str, Any]) -> str:
    """The output's voxels in words."""
    from arssr.grid import shape_in_words, spacing_in_words

    grid = facts["output"]
    size = shape_in_words(grid["shape"])
    return f"{size} voxels of {spacing_in_words(grid['spacing_mm'])}"


def print_json(value: Any) -> None:
    """A machine-readable result on standard output."""
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


def progress_bar(*, counted: bool = False) -> Progress:
    """A progress bar with the time left; `counted` shows how many of how many."""
    count = MofNCompleteColumn() if counted else TaskProgressColumn()
    return Progress(
        TextColumn("{task.description}", markup=False),  # [brackets] in file names
        BarColumn(),
        count,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=stderr,
        disable=not stderr.is_terminal or stderr.only_warnings,
    )
