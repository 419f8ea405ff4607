"""Options about the program itself, which many commands take: threads, messages and their log."""

import os
from pathlib import Path
from typing import Annotated

import typer

from arssr.cli.console import keep_log, stderr

PANEL = "This program"
# How often a thread of libgomp, PyTorch's library for threads on Linux, looks whether another is
# done before it sleeps: for 0.05 ms, as it does itself where it has more threads than processors.
# Else it looks for 13 ms, and where other programs use these processors nearly always in vain: with
# ten of them on two processors two threads took up to 5 times as long as one for a scan of 64
# voxels a side at 2x, and up to 9 times for a merge of three stacks of 48; now 0.8 to 1.1 times.
_LOOKS = "1000"


def wait_briefly() -> None:
    """Let threads that wait for others sleep soon, unless the user has said how they shall wait.

    For this process and those that it starts; before PyTorch is loaded.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _LOOKS)


def _set_threads(threads: int | None) -> int | None:
    """For libraries that are loaded from now on, for those that are, and for worker processes."""
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        import torch

        torch.set_num_threads(threads)
    return threads


def _hush(quiet: bool) -> bool:
    stderr.only_warnings = quiet
    return quiet


def _keep_log(path: Path | None) -> Path | None:
    keep_log(path)
    return path


Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        callback=_set_threads,
        is_eager=True,
        help="Processor threads to take, shared among --jobs; else all cores.",
        rich_help_panel=PANEL,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        callback=_hush,
        is_eager=True,
        help="Say nothing but warnings and errors.",
        rich_help_panel=PANEL,
    ),
]
LogFile = Annotated[
    Path | None,
    typer.Option(
        callback=_keep_log,
        is_eager=True,
        help="Append all messages to this file too, with the time.",
        rich_help_panel=PANEL,
    ),
]
