"""What a network was taught is what it serves: a step of training, a file, and a field of it.

The numbers are those that training itself computes. Nothing in here is alike along two axes, so
an order of axes that training and serving do not share is seen.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from tests.engine.thin import KINDS, lively_network, thin_encoders
from tests.phantoms import smooth, volume

from arssr.api import Model
from arssr.degradation import Slice
from arssr.intensity import Normalisation
from arssr.networks import NATIVE, ImplicitVoxelNetwork, ModelConfig
from arssr.training.config import SamplingConfig, TrainConfig
from arssr.training.data import Item
from arssr.training.draw import Draw, Turn
from arssr.training.images import Resident
from arssr.training.loop import Trainer
from arssr.training.run import make_fabric
from arssr.training.sampler import Batch, simulate
from arssr.weights.files import load_reference, save_reference, save_weights
from arssr.weights.registry import load

REFERENCES = ("rdn", "rescnn", "srresnet")
SAMPLING = SamplingConfig(batch=2, patch=8, points=200, margin=0, context=2, unknown=0, noisy=0)
# coarser along two of its axes, then turned and flipped, as most samples are
SAMPLE = Draw(Slice(), np.array([1, 1.5, 2]), turn=Turn((2, 0, 1), (True, False, True)))
TOLD_IJK = ("slice", NATIVE, "slice")


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return make_fabric("cpu", 1, 1, "float32")


@pytest.fixture(autouse=True)
def thin() -> Iterator[None]:
    with thin_encoders():
        yield


def item() -> Item:
    """A pattern that is fine along i, coarser along j, coarse along k."""
    return Item.of("pattern", smooth((24, 26, 28), sigma=(1, 2, 4)))  # type: ignore[arg-type]


def taught(
    network: ImplicitVoxelNetwork, fabric: Fabric, folder: Path
) -> tuple[ImplicitVoxelNetwork, Batch, np.ndarray]:
    """The network that a run keeps, a sample, and the values that training computes of that."""
    config = TrainConfig(
        network.config, SAMPLING, steps=2, warmup_steps=0, lr=1e-3, ema=0.5, precision="float32"
    )
    if network.corrects:  # corrections of the size of what there is to correct
        for parameter in network.decoder.last.parameters():  # type: ignore[union-attr]
            parameter.mul_(0.02)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    run = Trainer(
        config, Resident.plain([item()], 20, 2), fabric, folder, network.requires_grad_(True)
    )
    run.run()
    kept = run.averaged.eval()
    assert any(not torch.equal(value, before[name]) for name, value in kept.state_dict().items())
    data = simulate([item()], SAMPLING, [SAMPLE], [np.random.default_rng(0)])
    with torch.no_grad():
        values = kept(data.image, data.condition, data.positions, data.cell)
    return kept, data, kept.intensities(values, data.base)[0].numpy()


def served(path: Path, data: Batch, config: ModelConfig) -> np.ndarray:
    """The values of a weight file at the points of a sample, read from a field of its patch."""
    affine = np.diag([-1.0, 0.8, 2.5, 1])
    affine[:3, 3] = 40, -30, 20
    patch = volume(data.image[0, 0].numpy(), affine)
    field = Model(load(path, config), "cpu", "float32").field(
        patch,
        acquisition=TOLD_IJK,
        noise=0,
        normalisation=Normalisation.identity(),
        skip_air=False,
    )
    points = patch.grid.to_world(data.positions[0].double().numpy())
    return field.at(points, data.cell[0].double().numpy() * patch.grid.spacing_mm)


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.ptp(expected))


def kji(data: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Image and positions of a sample, as the reference program has them."""
    return data.image.permute(0, 1, 4, 3, 2).contiguous(), data.positions.flip(-1)


def in_the_reference_program(path: Path, config: ModelConfig, data: Batch) -> np.ndarray:
    """What a checkpoint answers there: its parameters as they are, on (k, j, i) arrays."""
    network = ImplicitVoxelNetwork(config)
    network.load_state_dict(torch.load(path, weights_only=True))
    image, positions = kji(data)
    with torch.no_grad():
        return network(image, None, positions, data.cell)[0, :, 0].numpy()


@pytest.mark.parametrize(("encoder", "flavour"), KINDS)
def test_weights_serve_what_they_were_taught(
    encoder: str, flavour: str, fabric: Fabric, tmp_path: Path
) -> None:
    kept, data, values = taught(lively_network(encoder, flavour), fabric, tmp_path)
    save_weights(tmp_path / "w.safetensors", kept, {})
    assert_same(served(tmp_path / "w.safetensors", data, kept.config), values)


@pytest.mark.parametrize("encoder", REFERENCES)
def test_a_checkpoint_serves_what_it_was_taught_here_and_there(
    encoder: str, fabric: Fabric, tmp_path: Path
) -> None:
    kept, data, values = taught(lively_network(encoder, "paper"), fabric, tmp_path)
    save_reference(tmp_path / "w.pkl", kept)
    assert_same(served(tmp_path / "w.pkl", data, kept.config), values)
    assert_same(in_the_reference_program(tmp_path / "w.pkl", kept.config, data), values)


@pytest.mark.parametrize("encoder", REFERENCES)
def test_a_checkpoint_of_the_reference_comes_in_is_trained_on_and_goes_out(
    encoder: str, fabric: Fabric, tmp_path: Path
) -> None:
    theirs, ours = tmp_path / "theirs.pkl", tmp_path / "ours.pkl"
    torch.save(lively_network(encoder, "paper").state_dict(), theirs)
    network = load_reference(theirs)
    _, data, _ = taught(load_reference(theirs), fabric, tmp_path)
    with torch.no_grad():
        first = network(data.image, None, data.positions, data.cell)[0, :, 0].numpy()
    assert_same(in_the_reference_program(theirs, network.config, data), first)
    kept, data, values = taught(network, fabric, tmp_path)
    assert np.abs(values - first).max() > 0.01 * np.ptp(first)  # it has learnt
    save_reference(ours, kept)
    assert_same(in_the_reference_program(ours, kept.config, data), values)
    assert_same(served(ours, data, kept.config), values)
