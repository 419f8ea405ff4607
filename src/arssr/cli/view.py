"""`arssr view`: see scans, super-resolve them and compare, in a browser on this machine."""

import socket
import threading
from pathlib import Path
from typing import Annotated

import typer

from arssr.cli.console import stderr
from arssr.cli.options import Device, Memory, ModelName, Precision, bytes_of
from arssr.cli.session import Threads
from arssr.extras import require


def view(
    images: Annotated[
        list[Path] | None, typer.Argument(help="Scans, or folders of scans; others can be dropped.")
    ] = None,
    model: ModelName = "light",
    device: Device = "auto",
    precision: Precision = "auto",
    memory: Memory = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of 127.0.0.1; else any that is free.")
    ] = 0,
    no_browser: Annotated[
        bool,
        typer.Option(
            "--no-browser", help="Open none; say how to reach the page from another machine."
        ),
    ] = False,
    threads: Threads = None,
) -> None:
    """See scans, super-resolve them and compare, in a browser. They stay on this machine.

    Only this machine can connect. Ctrl-C ends it; nothing is kept but what was saved.
    """
    require("view", "arssr view")
    from arssr.files import find_images_below
    from arssr.jobs.batch import ModelRef
    from arssr.serving.server import serve

    network = ModelRef.find(model, device, precision)
    named = find_images_below(images) if images else []

    def ready(number: int, file: Path) -> None:
        if no_browser:
            line = f"ssh -L {number}:127.0.0.1:{number} {socket.gethostname()}"
            stderr.print(f"from another machine: {line}", markup=False, soft_wrap=True)
        else:
            threading.Thread(target=_open, args=(file,), daemon=True).start()
        stderr.print("Ctrl-C ends it; nothing is kept but what was saved")

    def tell(address: str) -> None:
        line = f"good for one page: {address}"
        stderr.print(line, markup=False, soft_wrap=True, highlight=False)

    try:
        serve(named, network, bytes_of(memory), port, ready, tell)
    except KeyboardInterrupt:
        stderr.print("ended; nothing was kept but what was saved")


def _open(file: Path) -> None:
    """The browser is given a file, not the address: its arguments are seen by all users."""
    import webbrowser

    webbrowser.open(file.as_uri())
