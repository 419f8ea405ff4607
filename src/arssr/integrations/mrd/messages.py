"""MRD messages on a socket: whole ones, within limits, and in time.

The streaming protocol of MRD ("MRD Messages", https://ismrmrd.readthedocs.io): an identifier of two
bytes, then what belongs to it, little-endian. A length is judged before memory is taken for what it
announces: `ismrmrd.serialization` takes it at once.
"""

import ctypes
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from ismrmrd.acquisition import AcquisitionHeader
from ismrmrd.image import ImageHeader
from ismrmrd.waveform import WaveformHeader

from arssr.files import bytes_in_words
from arssr.integrations.mrd.image import TYPES, MRDImage, sample_bytes

_FILE_NAME_BYTES = 1024
_CHUNK = 2**16
_LAST_WORDS_S = 2.0  # for which what still comes is read and dropped, so that our words arrive


class Id(IntEnum):
    """What a message is."""

    CONFIG_FILE = 1
    CONFIG_TEXT = 2
    HEADER = 3
    CLOSE = 4
    TEXT = 5
    ACQUISITION = 1008
    IMAGE = 1022
    WAVEFORM = 1026


class ProtocolError(Exception):
    """What came is no message of a session; nothing that follows it can be read."""


class CutOffError(Exception):
    """The other side is gone, or silent for too long."""


@dataclass(frozen=True)
class Limits:
    """What one session may ask for.

    text_bytes: of a text, and of the attributes of one image (of Siemens's some 100 KB).
    image_bytes: of the samples of one image.
    session_bytes: of all images of a session together, and of each result.
    idle_s: until the next message; the scan itself may last.
    message_s: for a message, from its first byte to its last, either way.
    """

    text_bytes: int = 16 * 2**20
    image_bytes: int = 2**30
    session_bytes: int = 2 * 10**9
    idle_s: float = 3600.0
    message_s: float = 120.0


@dataclass(frozen=True)
class Text:
    """A message that is text: configuration, header or remark."""

    kind: Id
    text: str


@dataclass(frozen=True)
class Dropped:
    """A message that was read and is of no use here: k-space or a waveform."""

    kind: Id


Message = Text | Dropped | MRDImage


class Stream:
    """One side of a session."""

    def __init__(self, connection: socket.socket, limits: Limits) -> None:
        self.limits = limits
        self._socket = connection
        self._deadline = 0.0

    def messages(self) -> Iterator[Message]:
        """What comes until the other side says that it has sent everything.

        Raises ProtocolError and CutOffError.
        """
        while True:
            self._within(self.limits.idle_s)
            [number] = struct.unpack("<H", self._read(2))
            self._within(self.limits.message_s)
            if number == Id.CLOSE:
                return
            yield self._message(number)

    def send_image(self, image: MRDImage) -> None:
        """Raises CutOffError."""
        header = ImageHeader.from_buffer_copy(image.header)
        header.attribute_string_len = len(image.attributes)
        lengths = struct.pack("<Q", len(image.attributes))
        head = struct.pack("<H", Id.IMAGE) + bytes(header) + lengths + image.attributes
        self._send(head, np.ascontiguousarray(image.samples).ravel().view(np.uint8).data)

    def say(self, level: Literal["INFO", "WARNING", "ERROR"], sentence: str) -> None:
        """A text for the other side's log, as FIRE's programs write it. Raises CutOffError."""
        text = f"{level:<8} arssr: {sentence}".encode()
        self._send(struct.pack("<HI", Id.TEXT, len(text)) + text)

    def close(self) -> None:
        """Say that everything was sent, and see that it arrives; nothing is raised."""
        with suppress(CutOffError, OSError):
            self._send(struct.pack("<H", Id.CLOSE))
            self._socket.shutdown(socket.SHUT_WR)
            self._within(_LAST_WORDS_S)  # closed with input unread, a connection is reset
            self._skip(2**63)

    def _message(self, number: int) -> Message:
        match number:
            case Id.CONFIG_FILE:
                name = self._read(_FILE_NAME_BYTES).split(b"\0")[0]
                return Text(Id.CONFIG_FILE, name.decode("utf-8", "replace"))
            case Id.CONFIG_TEXT | Id.HEADER | Id.TEXT:
                [length] = struct.unpack("<I", self._read(4))
                self._require(length, self.limits.text_bytes, "a text")
                text = self._read(length).rstrip(b"\0").decode("utf-8", "replace")
                return Text(Id(number), text)
            case Id.IMAGE:
                return self._image()
            case Id.ACQUISITION:
                head = AcquisitionHeader.from_buffer(self._read(ctypes.sizeof(AcquisitionHeader)))
                samples = head.number_of_samples
                self._skip(samples * (4 * head.trajectory_dimensions + 8 * head.active_channels))
                return Dropped(Id.ACQUISITION)
            case Id.WAVEFORM:
                wave = WaveformHeader.from_buffer(self._read(ctypes.sizeof(WaveformHeader)))
                self._skip(4 * wave.channels * wave.number_of_samples)
                return Dropped(Id.WAVEFORM)
        raise ProtocolError(f"a message of kind {number} is none that can be read here")

    def _image(self) -> MRDImage:
        header = ImageHeader.from_buffer(self._read(ctypes.sizeof(ImageHeader)))
        size = sample_bytes(header)
        if size is None:
            raise ProtocolError(f"an image has samples of type {header.data_type}, unknown to MRD")
        self._require(size, self.limits.image_bytes, "an image")
        [length] = struct.unpack("<Q", self._read(8))
        self._require(length, self.limits.text_bytes, "the attributes of an image")
        attributes = bytes(self._read(length))
        x, y, z = header.matrix_size
        samples = np.frombuffer(self._read(size), TYPES[header.data_type])
        return MRDImage(header, attributes, samples.reshape(header.channels, z, y, x))

    def _require(self, size: int, most: int, what: str) -> None:
        if size > most:
            raise ProtocolError(
                f"{what} of {bytes_in_words(size)} was announced; {bytes_in_words(most)} are the "
                "most that is read"
            )

    def _within(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds

    def _read(self, size: int) -> bytearray:
        """So many bytes, before the deadline."""
        content = bytearray(size)
        view, have = memoryview(content), 0
        while have < size:
            have += self._receive(view[have:])
        return content

    def _skip(self, size: int) -> None:
        view = memoryview(bytearray(_CHUNK))
        while size > 0:
            size -= self._receive(view[: min(size, _CHUNK)])

    def _receive(self, into: memoryview) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise CutOffError("the other side took too long to send what it had begun")
        self._socket.settimeout(left)
        try:
            received = self._socket.recv_into(into)
        except TimeoutError:
            raise CutOffError("nothing came any more") from None
        except OSError as error:
            raise CutOffError(f"the connection broke: {error.strerror or error}") from None
        if not received:
            raise CutOffError("the other side hung up before it had said that it was done")
        return received

    def _send(self, *parts: "bytes | memoryview") -> None:
        self._socket.settimeout(self.limits.message_s)
        try:
            for part in parts:
                self._socket.sendall(part)
        except OSError as error:
            raise CutOffError(f"nothing can be sent any more: {error.strerror or error}") from None
