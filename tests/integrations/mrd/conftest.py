"""A server with tiny weights, on loopback."""

from collections.abc import Iterator

import pytest
from tests.integrations.mrd.scanner import serving
from tests.phantoms import tiny_network

from arssr.integrations.mrd.models import Models
from arssr.integrations.mrd.server import MRDServer
from arssr.weights.files import save_weights


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, tiny_network(), {})
    return Models(str(path), "cpu", "float32")


@pytest.fixture(scope="module")
def address(models: Models) -> Iterator[tuple[str, int]]:
    """Of one server for all sessions of a module: none of them may harm it."""
    with serving(MRDServer(models, port=0)) as at:
        yield at
