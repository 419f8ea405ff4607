"""`arssr mrd`."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Arssr
from tests.integrations.mrd.scanner import Series, session

from arssr.integrations.mrd.models import Models
from arssr.integrations.mrd.server import MRDServer

PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
from arssr.cli.main import main
main()
"""


def test_a_port_that_is_taken_is_said_in_a_sentence(arssr: Arssr, tiny: Path) -> None:
    with MRDServer(Models(str(tiny), "cpu", "float32"), port=0) as server:
        port = server.server_address[1]
        complaint = arssr("mrd", "--port", port, "--model", tiny, "--device", "cpu").complaint
    assert complaint.startswith(f"cannot listen at 127.0.0.1:{port}: ")


def test_without_ismrmrd_a_sentence_says_what_to_install(
    arssr: Arssr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arssr.extras.find_spec", lambda name: None)
    assert arssr("mrd").complaint == "arssr mrd needs ismrmrd: pip install 'arssr[mrd]'"


def test_a_limit_that_is_no_size_is_a_usage_error(arssr: Arssr) -> None:
    assert arssr("mrd", "--limit", "much").code == 2


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_ended(end: signal.Signals, tiny: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "mrd", "--port", "0", "--model", str(tiny)]
    options = {"stderr": subprocess.PIPE, "text": True, "env": {**os.environ, "COLUMNS": "200"}}
    with subprocess.Popen([*command, "--device", "cpu"], **options) as process:  # type: ignore[call-overload]
        assert process.stderr
        found = re.search(r"listening at 127\.0\.0\.1:(\d+)", process.stderr.readline())
        assert found
        assert len(session(("127.0.0.1", int(found[1])), Series().slices()).images) == 8
        process.send_signal(end)
        try:
            said = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert (process.returncode, said) in [
        (0, "ended; nothing was kept\n"),
        (143, "error: terminated\n"),
    ]
