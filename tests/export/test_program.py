"""The program of docs/onnx.md makes what ArSSR makes."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.phantoms import anatomy, tiny_network

from arssr.api import Model
from arssr.export.files import export_onnx
from arssr.grid import Grid
from arssr.volume import Volume
from arssr.weights.files import save_weights
from arssr.weights.registry import Weights, load

PAGE = Path(__file__).parents[2] / "docs" / "onnx.md"
SLICES = ("kspace", "kspace", "slice")


@pytest.fixture(scope="module")
def upsample() -> Callable[..., np.ndarray]:
    """The function of the first program on the page."""
    program = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    assert len([line for line in program.splitlines() if line.strip()]) <= 40
    names: dict[str, Any] = {}
    exec(compile(program, str(PAGE), "exec"), names)
    return names["upsample"]


def scan(shape: tuple[int, int, int], seed: int = 0) -> Volume:
    data = 700 * anatomy(shape, seed) + np.random.default_rng(seed).normal(0, 5, shape)
    affine = np.diag([1, 0.9, 2, 1])
    return Volume(data.astype(np.float32), Grid(shape, affine))


def compare(
    upsample: Callable[..., np.ndarray],
    weights: Weights,
    folder: Path,
    shape: tuple[int, int, int],
    scale: tuple[float, float, float],
    **options: Any,
) -> None:
    """Hold the program to 1e-4 of the range."""
    volume = scan(shape)
    acquisition, noise = options.get("acquisition", ("unknown",) * 3), options.get("noise")
    expected = Model(weights, "cpu", "float32").upsample(
        volume,
        scale=scale,
        acquisition=acquisition,
        noise=noise,
        as_stored=True,
        clamp=False,
        skip_air=False,
    )
    export_onnx(weights, folder / f"{weights.name}.onnx")
    found = upsample(volume.data, scale, folder / weights.name, **options)
    assert found.shape == expected.data.shape
    assert np.abs(found - expected.data).max() < 1e-4 * np.ptp(expected.data)
    assert np.ptp(expected.data) > 0


def test_the_default_weights_on_thick_slices_in_tiles(
    upsample: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    shape, told = (19, 13, 9), SLICES
    weights = load("light")
    compare(upsample, weights, tmp_path, shape, (1, 1.7, 3.2), acquisition=told, noise=12, tile=16)


@pytest.mark.parametrize("card", [{}, {"recipe": {}}])
def test_networks_of_the_papers_flavour_in_tiles(
    card: dict[str, object], upsample: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "paper.safetensors"
    save_weights(path, tiny_network("light", "paper"), card)
    compare(upsample, load(path), tmp_path, (23, 10, 11), (2, 1.3, 1), tile=12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["light", "rdn", "rescnn", "srresnet"])
@pytest.mark.parametrize("told", [SLICES, ("kspace",) * 3])
def test_all_shipped_weights(
    name: str, told: tuple[str, str, str], upsample: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    scale = (1, 1, 4) if told == SLICES else (1.5, 2, 1.3)
    compare(upsample, load(name), tmp_path, (35, 14, 11), scale, acquisition=told)
