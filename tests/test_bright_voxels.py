"""Far from voxels that are no tissue a scan comes out as it would without them."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage
from tests.phantoms import tissue, volume

from arssr.api import Model, load_model
from arssr.degradation import degrade, named_degradation
from arssr.interpolation import resample
from arssr.weights.registry import shipped

BRIGHTEST = 190.0  # of tissue
SCALE = (1, 1, 4)
FAR = 8  # voxels of the scan
TRUTH = tissue((64, 64, 64))
SCAN = degrade(volume(TRUTH), SCALE, named_degradation("slice"))  # (64, 64, 16)
AT = np.indices(SCAN.data.shape)

pytestmark = pytest.mark.skipif("light" not in shipped(), reason="needs light.safetensors")

Hurt = Callable[[np.ndarray], np.ndarray]  # where a scan, which it changes, is no tissue


@pytest.fixture(scope="module")
def light() -> Model:
    return load_model("light", "cpu", "float32")


def block(brightness: float) -> Hurt:
    """0.15 % of the voxels: metal."""

    def hurt(data: np.ndarray) -> np.ndarray:
        i, j, k = AT
        where = (abs(i - 32) < 3) & (abs(j - 32) < 3) & (abs(k - 8) < 2)
        data[where] = BRIGHTEST * brightness
        return where

    return hurt


def vessel(radius: float, brightness: float) -> Hurt:
    """A bent tube that is not equally bright everywhere: inflow, a contrast agent."""

    def hurt(data: np.ndarray) -> np.ndarray:
        i, j, k = AT
        where = (i - 32 - 2 * np.sin(k / 3)) ** 2 + (j - 32) ** 2 < radius**2
        data[where] = BRIGHTEST * brightness * (1 + 0.2 * np.sin(k[where]))
        return where

    return hurt


def runaway(count: int, value: float) -> Hurt:
    """Single voxels of a map, where the fit ran away to either side."""

    def hurt(data: np.ndarray) -> np.ndarray:
        random = np.random.default_rng(0)
        where = np.zeros(data.shape, bool)
        where.flat[random.choice(data.size, count, replace=False)] = True
        data[where] = value * random.uniform(0.1, 1, count) * random.choice([-1, 1], count)
        return where

    return hurt


@pytest.mark.parametrize(
    "hurt",
    [
        pytest.param(block(20), id="metal"),
        pytest.param(block(100), id="bright metal"),
        pytest.param(block(-20), id="dark"),
        pytest.param(vessel(1.6, 5), id="inflow"),
        pytest.param(vessel(5, 8), id="contrast agent"),
        pytest.param(runaway(5, 1e4 * BRIGHTEST), id="few fits"),
        pytest.param(runaway(30, 1e4 * BRIGHTEST), id="more fits"),
    ],
)
@pytest.mark.parametrize(
    ("gain", "offset"),
    [
        pytest.param(1, 0, id="as it is"),
        pytest.param(1, 1e4, id="offset", marks=pytest.mark.slow),
        pytest.param(-1, 0, id="negative", marks=pytest.mark.slow),
        pytest.param(0.01, 1e3, id="nearly constant", marks=pytest.mark.slow),
        pytest.param(1, -95, id="signed", marks=pytest.mark.slow),
    ],
)
def test_far_from_them_the_error_is_what_it_is_without(
    light: Model, hurt: Hurt, gain: float, offset: float
) -> None:
    data = SCAN.data.copy()
    distance = ndimage.distance_transform_edt(~hurt(data)).repeat(SCALE[2], axis=2)
    far = distance > FAR
    grid = volume(TRUTH).grid

    def error(ours: bool, of: np.ndarray) -> float:
        lr = SCAN.with_data((gain * of + offset).astype(np.float32), SCAN.grid)
        found = light.field(lr, towards=grid).on(grid) if ours else resample(lr, grid)
        return float(np.sqrt(np.mean((found.data - (gain * TRUTH + offset))[far] ** 2)))

    assert far.mean() > 0.3
    assert error(True, data) <= 1.02 * min(error(False, data), error(True, SCAN.data))
