"""Whatever comes over the wire, the server says a sentence where it can, and goes on."""

import logging
import socket
import struct
import time
from pathlib import Path

import ismrmrd
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.integrations.mrd.scanner import Answer, Series, answer, connected, serving, session

from arssr.errors import ArSSRError
from arssr.integrations.mrd.image import MRDImage
from arssr.integrations.mrd.messages import (
    CutOffError,
    Dropped,
    Limits,
    ProtocolError,
    Stream,
    Text,
)
from arssr.integrations.mrd.models import Models
from arssr.integrations.mrd.server import LOOPBACK, MRDServer

Address = tuple[str, int]
CONFIG = struct.pack("<H", 1) + b"arssr".ljust(1024, b"\0")


def said(address: Address, content: bytes) -> Answer:
    """What comes back for these bytes, after which the client only listens."""
    with connected(address) as connection:
        connection.sendall(content)
        return answer(connection)


def image_message(**fields: object) -> bytes:
    """A header, and nothing that it announces."""
    header = Series().slices()[0].getHead()
    for name, value in fields.items():
        setattr(header, name, value)
    return struct.pack("<H", 1022) + bytes(header)


HUGE = (65535, 65535, 65535)
HOSTILE = {
    "text": (struct.pack("<HI", 5, 2**32 - 1), "a text of 4.29 GB was announced"),
    "header": (struct.pack("<HI", 3, 2**31), "a text of 2.15 GB was announced"),
    "image": (image_message(matrix_size=HUGE), "an image of"),
    "channels": (image_message(channels=65535, matrix_size=(999, 999, 999)), "an image of"),
    "attributes": (image_message() + struct.pack("<Q", 2**63), "the attributes of an image of"),
    "type": (image_message(data_type=77), "samples of type 77, unknown to MRD"),
    "old image": (struct.pack("<H", 1021), "a message of kind 1021"),
    "nonsense": (b"\xff\xff" * 50, "a message of kind 65535"),
    "array": (struct.pack("<H", 1030), "a message of kind 1030"),
}


@pytest.mark.parametrize("which", HOSTILE)
def test_hostile_lengths_and_unknown_kinds_end_the_session_alone(
    which: str, address: Address
) -> None:
    content, sentence = HOSTILE[which]
    got = said(address, CONFIG + content)
    [text] = got.texts
    assert text.startswith("ERROR") and sentence in text and got.closed
    assert len(session(address, Series().slices()).images) == 8


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (struct.pack("<HI", 3, 4) + b"<a/>", "a session begins with a configuration"),
        (CONFIG + struct.pack("<H", 1008) + bytes(340), "k-space came"),
    ],
)
def test_what_is_no_session_of_images_is_refused(
    content: bytes, sentence: str, address: Address
) -> None:
    got = said(address, content)
    assert sentence in got.texts[0] and got.closed


def test_a_client_that_only_asks_whether_somebody_is_here_is_answered(address: Address) -> None:
    assert said(address, struct.pack("<H", 4)).closed
    assert said(address, CONFIG + struct.pack("<H", 4)) == Answer([], [], True)


def test_waveforms_are_passed_over_and_headers_that_are_none_do_no_harm(address: Address) -> None:
    wave = ismrmrd.Waveform.from_array(np.zeros((2, 500), np.uint32))
    got = session(address, [wave, *Series().slices(), wave], header="Dummy XML header")
    assert len(got.images) == 8
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbb">]><a>&b;</a>'
    assert len(session(address, Series().slices(), header=bomb).images) == 8


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9])
def test_a_connection_that_is_cut_harms_no_other(
    share: float, address: Address, caplog: pytest.LogCaptureFixture
) -> None:
    images = [image.to_bytes() for image in Series().slices()]
    content = CONFIG + b"".join(struct.pack("<H", 1022) + image for image in images)
    with caplog.at_level(logging.WARNING), connected(address) as connection:
        connection.sendall(content[: int(share * len(content))])
    assert len(session(address, Series().slices()).images) == 8
    assert "a bug of ours" not in caplog.text


def test_a_client_that_does_not_listen_is_left_and_harms_no_other(
    models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    # two slices at one place: all goes back, more than the buffers of a connection hold
    image = Series(shape=(400, 400, 1)).slices()[0].to_bytes()
    sent = CONFIG + (struct.pack("<H", 1022) + image) * 60 + struct.pack("<H", 4)
    with (
        serving(MRDServer(models, port=0, limits=Limits(message_s=1))) as at,
        connected(at) as deaf,
    ):
        deaf.sendall(sent)
        assert len(session(at, Series().slices()).images) == 8
        for _ in range(600):  # half a minute at most
            if "nothing can be sent any more" in caplog.text:
                break
            time.sleep(0.05)
        assert "nothing can be sent any more" in caplog.text


@pytest.mark.parametrize("begun", [b"", CONFIG, CONFIG + b"\5", CONFIG + struct.pack("<HI", 5, 9)])
def test_who_falls_silent_is_left(begun: bytes, models: Models) -> None:
    limits = Limits(idle_s=0.2, message_s=0.2)
    with serving(MRDServer(models, port=0, limits=limits)) as at, connected(at) as connection:
        connection.sendall(begun)
        answer(connection)  # else the client's own patience ends, with an error


def test_it_listens_on_this_machine_alone_and_says_where_it_cannot(models: Models) -> None:
    with MRDServer(models, port=0) as server:
        host, port = server.server_address[:2]
        assert host == LOOPBACK
        with pytest.raises(ArSSRError, match=f"cannot listen at {LOOPBACK}:{port}"):
            MRDServer(models, port=int(port))


def test_a_fifth_session_at_a_time_is_refused(address: Address) -> None:
    with connected(address), connected(address), connected(address), connected(address):
        time.sleep(0.2)
        with connected(address) as fifth:
            assert "sessions are under way already" in answer(fifth).texts[0]


def test_weights_that_cannot_be_loaded_are_said_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(ArSSRError, match="no such weight file"):
        Models(str(tmp_path / "mine.safetensors"))


KINDS = st.sampled_from([1, 2, 3, 5, 1008, 1022, 1026])


@given(st.lists(st.one_of(st.binary(max_size=300), KINDS)))
def test_any_bytes_are_messages_or_an_end(parts: list[bytes | int]) -> None:
    content = b"".join(p if isinstance(p, bytes) else struct.pack("<H", p) for p in parts)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(content)
        theirs.shutdown(socket.SHUT_WR)
        try:
            for message in Stream(ours, Limits(message_s=2, idle_s=2)).messages():
                assert isinstance(message, Text | Dropped | MRDImage)
        except (ProtocolError, CutOffError):
            pass
