"""`arssr mrd`: a server for scanners."""

from typing import Annotated

import typer

from arssr.cli.console import stderr
from arssr.cli.numbers import number_of_bytes
from arssr.cli.options import Device, ModelName, Precision
from arssr.cli.session import LogFile, Quiet, Threads
from arssr.extras import require


def mrd(
    host: Annotated[
        str, typer.Option(help="The address to listen at; 0.0.0.0 inside a container.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 9002,
    model: ModelName = "light",
    device: Device = "auto",
    precision: Precision = "auto",
    limit: Annotated[
        str, typer.Option(metavar="SIZE", help="What the images of one session may take.")
    ] = "2GB",
    threads: Threads = None,
    quiet: Quiet = False,
    log_file: LogFile = None,
) -> None:
    """Answer FIRE, OpenRecon and other MRD clients: images in, sharper ones back, for research.

    Only this machine can connect, unless told otherwise. Nothing is kept. Ctrl-C ends it.
    """
    require("mrd", "arssr mrd")
    most_bytes = int(number_of_bytes("--limit", limit))
    from arssr.integrations.mrd.messages import Limits
    from arssr.integrations.mrd.models import Models
    from arssr.integrations.mrd.server import LOOPBACK, MRDServer

    models, limits = Models(model, device, precision), Limits(session_bytes=most_bytes)
    with MRDServer(models, host, port, limits) as server:
        at = f"{host}:{server.server_address[1]}"
        stderr.print(f"listening at {at}; Ctrl-C ends it", markup=False, soft_wrap=True)
        if host != LOOPBACK:
            line = "whoever reaches that address can send scans and read what comes of them"
            stderr.print(line, markup=False, soft_wrap=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            stderr.print("ended; nothing was kept")
