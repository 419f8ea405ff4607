"""`arssr view` as a process: where it listens, how the browser comes in, what is left of it."""

import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.cli.conftest import Arssr, arssr  # noqa: F401 - a fixture

from arssr.jobs.batch import ModelRef
from arssr.serving.server import private_folder

from .conftest import Server, wait_for

BROWSER = """#!/bin/sh
echo "$@" > {calls}
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_nothing_is_left_at_the_end(
    start: Callable[..., Server], thick: Path, number: signal.Signals
) -> None:
    server = start("--no-browser", thick)
    session = server.enter()
    key = server.call("POST", "scans", b'{"name": "a.nii.gz"}', session)["id"]
    server.call("POST", f"scans/{key}/files?name=a.nii.gz", thick.read_bytes(), session)
    server.call("POST", f"scans/{key}/end", b"", session)
    [folder] = server.temporary.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    process = psutil.Process(server.process.pid)
    wait_for(process.children)
    if number == signal.SIGTERM:  # the others while the workers start
        wait_for(lambda: server.call("GET", "state", None, session)["scans"][1]["state"] == "ready")
    workers = process.children(recursive=True)
    server.end(number)
    assert list(server.temporary.iterdir()) == []
    assert not psutil.wait_procs(workers, 10)[1]
    assert thick.exists()


@pytest.mark.slow
def test_only_this_machine_can_connect_and_a_killed_run_is_swept_up(
    start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = start("--no-browser", "--port", port)
    assert f"ssh -L {port}:127.0.0.1:{port} " in server.said.read_text()
    process = psutil.Process(server.process.pid)
    listening = [c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    assert listening == [("127.0.0.1", port)]
    server.enter()
    wait_for(lambda: server.said.read_text().count("/#") == 2)  # another for another tab

    workers = process.children(recursive=True)
    server.end(signal.SIGKILL)
    assert not psutil.wait_procs(workers, 20)[1]
    assert len(list(server.temporary.iterdir())) == 1
    monkeypatch.setattr("tempfile.tempdir", str(server.temporary))
    with private_folder() as folder:
        assert list(server.temporary.iterdir()) == [folder]


@pytest.mark.slow
def test_the_browser_is_opened_by_a_file_that_others_cannot_read(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    script, calls = tmp_path / "browser", tmp_path / "calls"
    script.write_text(BROWSER.format(calls=calls))
    script.chmod(0o755)
    server = start(browser=f"{script} %s")
    wait_for(lambda: calls.exists() and calls.read_text().endswith("\n"))
    [given] = calls.read_text().split()
    assert given.startswith("file://") and server.token not in given
    file = Path(given.removeprefix("file://"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert f"{server.origin}/#{server.token}" in file.read_text()
    everything = " ".join(psutil.Process(server.process.pid).cmdline())
    assert server.token not in everything
    assert "ssh" not in server.said.read_text()


def test_a_port_that_is_taken_is_a_sentence(arssr: Arssr, network: ModelRef) -> None:  # noqa: F811
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = arssr("view", "--no-browser", "--port", port, "-m", network.weights)
    assert f"port {port} of 127.0.0.1 cannot be used" in done.complaint


def test_a_missing_extra_is_a_sentence(
    arssr: Arssr,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("arssr.extras.find_spec", lambda name: None)
    assert "pip install 'arssr[view]'" in arssr("view").complaint


@pytest.mark.parametrize("option", ["--host", "--bind", "--address", "--ip"])
def test_no_option_names_another_address(arssr: Arssr, option: str) -> None:  # noqa: F811
    assert arssr("view", option, "0.0.0.0").code == 2
