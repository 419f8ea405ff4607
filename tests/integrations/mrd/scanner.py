"""A scanner made up: series whose geometry is known, and a client that speaks through `ismrmrd`."""

import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

import ismrmrd
import numpy as np
from ismrmrd.serialization import ConfigFile, ProtocolDeserializer, ProtocolSerializer
from scipy.spatial.transform import Rotation
from tests.phantoms import anatomy

from arssr.grid import Grid
from arssr.integrations.mrd.server import MRDServer

HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>9</x><y>9</y><z>{z}</z></matrixSize></encodedSpace></encoding>
</ismrmrdHeader>"""


@dataclass(frozen=True)
class Series:
    """Oblique slices: shape (x, y, slices), spacing in mm with the distance of the slices, the
    centre of the first slice and directions along x, y and from slice to slice, LPS.
    """

    index: int = 3
    shape: tuple[int, int, int] = (14, 12, 7)
    spacing_mm: tuple[float, float, float] = (1.0, 1.1, 4.0)
    thickness_mm: float = 4.0
    first_mm: tuple[float, float, float] = (12.0, -30.5, 7.25)
    degrees: tuple[float, float, float] = (20.0, -10.0, 35.0)
    seed: int = 0
    meta: dict[str, Any] = field(default_factory=lambda: {"ProtocolName": "t2 flair"})

    @property
    def axes(self) -> np.ndarray:
        """(3, 3): along x, y and from slice to slice."""
        return Rotation.from_euler("xyz", self.degrees, degrees=True).as_matrix().T

    @property
    def data(self) -> np.ndarray:
        """(x, y, slices) uint16."""
        return (900 * anatomy(self.shape, self.seed)).astype(np.uint16)

    def centre_mm(self, x: float, y: float, k: float) -> np.ndarray:
        """Where a voxel lies, LPS."""
        nx, ny, _ = self.shape
        index = np.array([x - (nx - 1) / 2, y - (ny - 1) / 2, k])
        return np.array(self.first_mm) + (index * self.spacing_mm) @ self.axes

    @property
    def grid(self) -> Grid:
        """The same in RAS, voxel by voxel."""
        affine = np.eye(4)
        affine[:3, 3] = self.centre_mm(0, 0, 0)
        for axis, step in enumerate(np.eye(3)):
            affine[:3, axis] = self.centre_mm(*step) - affine[:3, 3]
        affine[:2] *= -1
        return Grid(self.shape, affine)

    def image(self, array: np.ndarray, at: np.ndarray, depth_mm: float) -> ismrmrd.Image:
        """An MRD image of samples (z, y, x), with its centre."""
        made = ismrmrd.Image.from_array(np.ascontiguousarray(array), transpose=False)
        nx, ny, _ = self.shape
        made.image_series_index, made.image_type = self.index, ismrmrd.IMTYPE_MAGNITUDE
        made.position = tuple(at)
        made.field_of_view = (nx * self.spacing_mm[0], ny * self.spacing_mm[1], depth_mm)
        made.read_dir, made.phase_dir, made.slice_dir = map(tuple, self.axes)
        made.attribute_string = ismrmrd.Meta(self.meta).serialize()
        return made

    def slices(self) -> list[ismrmrd.Image]:
        """An image each."""
        made = []
        for k in range(self.shape[2]):
            at = np.array(self.first_mm) + k * self.spacing_mm[2] * self.axes[2]
            image = self.image(self.data[:, :, k].T[None], at, self.thickness_mm)
            image.slice, image.image_index, image.user_int[0] = k, k + 1, 100 + k
            made.append(image)
        return made

    def slab(self) -> ismrmrd.Image:
        """One image of all."""
        n = self.shape[2]
        at = np.array(self.first_mm) + (n - 1) / 2 * self.spacing_mm[2] * self.axes[2]
        return self.image(self.data.T, at, n * self.spacing_mm[2])


def shuffled(images: Sequence[ismrmrd.Image], seed: int = 0) -> list[ismrmrd.Image]:
    """In no order."""
    return [images[n] for n in np.random.default_rng(seed).permutation(len(images))]


@contextmanager
def serving(server: MRDServer) -> Iterator[tuple[str, int]]:
    """The address of a server that answers."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        host, port = server.server_address[:2]
        yield str(host), int(port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def connected(address: tuple[str, int]) -> Iterator[socket.socket]:
    """A connection, on which nothing is waited for long."""
    with socket.create_connection(address, timeout=30) as connection:
        yield connection


@dataclass(frozen=True)
class Answer:
    """What a server sent before it closed the session."""

    images: list[ismrmrd.Image]
    texts: list[str]
    closed: bool


def session(
    address: tuple[str, int],
    images: Iterable[Any],
    parameters: str = "",
    header: str = HEADER.format(z=1),
) -> Answer:
    """A whole session as FIRE holds it."""
    with connected(address) as connection:
        with connection.makefile("wb") as out, ProtocolSerializer(out) as client:
            client.serialize(ConfigFile("arssr"))
            out.write(b"\3\0" + len(header).to_bytes(4, "little") + header.encode())
            if parameters:
                client.serialize(parameters)
            for image in images:
                client.serialize(image)
        return answer(connection)


def answer(connection: socket.socket) -> Answer:
    """All that comes until the server closes."""
    images, texts, closed = [], [], False
    with connection.makefile("rb") as stream:
        try:
            for message in ProtocolDeserializer(stream).deserialize():
                (texts if isinstance(message, str) else images).append(message)
            closed = True
        except EOFError:
            pass
    return Answer(images, texts, closed)
