"""The paper flavour against what the reference program answers (`../shared/golden/README.md`)."""

import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from arssr.networks import ImplicitVoxelNetwork
from arssr.volume import Volume
from arssr.weights.files import load_reference, save_reference

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
ANSWERS = sorted(GOLDEN.glob("*.npy"))

pytestmark = pytest.mark.skipif(
    not ANSWERS, reason="the answers of the reference program are not here (../shared/golden)"
)


def weight(name: str, shape: tuple[int, ...], seed: int = 20) -> np.ndarray:
    """The rule for the reference's weights, from the README of the answers."""
    rng = np.random.default_rng([seed, *name.encode()])
    if shape == (1,):
        return np.full(shape, 0.5, np.float32)
    if len(shape) == 1:
        return (0.05 * rng.standard_normal(shape)).astype(np.float32)
    fan_in = int(np.prod(shape[1:]))
    return (np.sqrt(1 / fan_in) * rng.standard_normal(shape)).astype(np.float32)


def layouts() -> dict[str, dict[str, list[int]]]:
    """Names and shapes of the parameters of each checkpoint, in order."""
    return json.loads((GOLDEN / "state_dict_layout.json").read_text()) if ANSWERS else {}


def checkpoint(layout: dict[str, list[int]], path: Path) -> Path:
    """A checkpoint as the reference program writes it."""
    state = OrderedDict((n, torch.from_numpy(weight(n, tuple(s)))) for n, s in layout.items())
    torch.save(state, path)
    return path


def answer(network: ImplicitVoxelNetwork, scale: float) -> np.ndarray:
    """The network on the whole field of view, int(n · scale) voxels per axis, in (i, j, k)."""
    image = torch.from_numpy(Volume.read(GOLDEN / "lr.nii.gz").data.copy())
    features = network.encode(image[None, None])
    along = []
    for n in image.shape:
        n_out = int(n * scale)
        along.append((torch.arange(n_out) + 0.5) * (n / n_out) - 0.5)
    values = [
        network.decode(features, torch.cartesian_prod(plane[None], *along[1:])[None], image[:1])
        for plane in along[0]
    ]
    return torch.cat(values).reshape([len(p) for p in along]).numpy()


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.stem)
def test_the_reference_programs_answers_are_reproduced(path: Path, tmp_path: Path) -> None:
    """Largest difference at most 1e-4 of the range; what the network is comes from the file."""
    name, _, scale = path.stem.rpartition("_x")
    network = load_reference(checkpoint(layouts()[name], tmp_path / "a.pkl"))
    encoder, *sizes = name.split("_")
    config = network.config
    assert config.encoder == encoder.lower()
    assert [
        f"f{config.feature_dim}",
        f"d{config.decoder_depth}",
        f"w{config.decoder_width}",
    ] == sizes
    expected = np.load(path)
    with torch.inference_mode():
        actual = answer(network, float(scale)).T
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= 1e-4 * np.ptp(expected)


@pytest.mark.parametrize("name", layouts())
def test_our_checkpoints_have_the_references_layout(name: str, tmp_path: Path) -> None:
    """Names, shapes and their order, in an OrderedDict: the reference program can load them."""
    layout = layouts()[name]
    network = load_reference(checkpoint(layout, tmp_path / "a.pkl"))
    save_reference(tmp_path / "b.pkl", network)
    state = torch.load(tmp_path / "b.pkl", weights_only=True)
    assert isinstance(state, OrderedDict)
    assert {n: list(tensor.shape) for n, tensor in state.items()} == layout
    assert list(state) == list(layout)
    assert all(
        torch.equal(state[n], torch.from_numpy(weight(n, tuple(s)))) for n, s in layout.items()
    )
