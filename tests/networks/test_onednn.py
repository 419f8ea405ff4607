"""What is not part of PyTorch's interface may be missing; then PyTorch's own functions compute."""

import pytest
import torch
from tests.engine.thin import lively_network
from tests.phantoms import smooth, volume

from arssr.field import VoxelField
from arssr.intensity import Normalisation
from arssr.networks import onednn


def test_without_one_of_the_operators_all_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    image = volume(smooth((9, 8, 7)))
    grid = image.grid.scaled(2)
    network = lively_network("rdn")
    expected = VoxelField(network, image, Normalisation.identity()).on(grid).data
    monkeypatch.setattr(onednn, "_OPERATORS", (*onednn._OPERATORS, "_not_in_this_version"))
    assert not onednn.onednn_computes(torch.zeros(1))
    found = VoxelField(network, image, Normalisation.identity()).on(grid).data
    torch.testing.assert_close(
        torch.from_numpy(found), torch.from_numpy(expected), rtol=0, atol=1e-4
    )
