"""Autograd's slope is the slope, and the values are the field's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.thin import lively_network
from tests.phantoms import rotated, smooth

from arssr.differentiable import DifferentiableField
from arssr.errors import ArSSRError
from arssr.field import VoxelField
from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.volume import Volume

GRID = rotated(Grid((7, 8, 6), np.diag([1.0, -1.5, 2, 1])), (20, -10, 35))
UNITS = Normalisation(offset=-300, scale=1500)


def field_of(dtype: torch.dtype = torch.float32) -> VoxelField:
    image = Volume(300 + 900 * smooth(GRID.shape, sigma=1), GRID)
    network = lively_network("light", "residual").to(dtype)
    told = ("kspace", "unknown", "slice")
    return VoxelField(network, image, UNITS, acquisition_ijk=told, noise=0.02)


FIELD, EXACT = field_of(), field_of(torch.float64)
seeds = st.integers(0, 2**32 - 1)


def points_around(seed: int, n: int = 40, beyond: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return GRID.to_world(rng.uniform(-0.5 - beyond, np.array(GRID.shape) - 0.5 + beyond, (n, 3)))


@settings(max_examples=25)
@given(seed=seeds)
def test_values_are_the_fields(seed: int) -> None:
    points = points_around(seed)
    values = DifferentiableField(FIELD)(torch.from_numpy(points))
    np.testing.assert_allclose(values.detach(), FIELD.at(points), atol=0.2)


def test_a_cell_may_be_named() -> None:
    points = points_around(1)
    values = DifferentiableField(FIELD, torch.tensor([0.25, 0.5, 1.0]))(torch.from_numpy(points))
    expected = FIELD.at(points, spacing_mm=GRID.spacing_mm * [0.25, 0.5, 1.0])
    np.testing.assert_allclose(values.detach(), expected, atol=0.2)
    assert np.abs(FIELD.at(points) - expected).max() > 1


def away_from_seams(points: np.ndarray) -> np.ndarray:
    """Points where a step of a thousandth of a voxel meets no seam between voxels."""
    phase = (GRID.to_index(points) * 2) % 1  # seams lie at whole and half voxels
    return points[((phase > 0.02) & (phase < 0.98)).all(axis=1)]


@settings(max_examples=25)
@given(seed=seeds)
def test_the_gradient_is_the_slope_in_float64(seed: int) -> None:
    points = away_from_seams(points_around(seed))
    read = DifferentiableField(EXACT)
    values, gradient = read.gradient(torch.from_numpy(points))
    step = 1e-5
    slopes = [
        (read(torch.from_numpy(points + s)) - read(torch.from_numpy(points - s))) / (2 * step)
        for s in step * np.eye(3)
    ]
    np.testing.assert_allclose(gradient, torch.stack(slopes, -1).detach(), rtol=1e-5, atol=1e-3)
    assert values.shape == (len(points),) and not values.requires_grad


def test_the_gradient_in_float32_is_that_in_float64() -> None:
    points = torch.from_numpy(away_from_seams(points_around(5, 200)))
    _, exact = DifferentiableField(EXACT).gradient(points)
    _, single = DifferentiableField(FIELD).gradient(points.float())
    assert single.dtype == torch.float32
    assert float((single - exact).abs().max() / exact.abs().max()) < 1e-3


def test_beyond_the_border_nothing_changes_any_more() -> None:
    far = torch.from_numpy(GRID.to_world([[-3.0, 4, 4], [3, 9.5, 2]]))
    values, gradient = DifferentiableField(FIELD).gradient(far)
    assert (values == UNITS.offset).all() and (gradient == 0).all()


def test_a_shift_is_found_by_following_the_gradient() -> None:
    """What it is for: the field read at points that were moved tells where they came from."""
    read = DifferentiableField(FIELD)
    inner = points_around(7, 400, beyond=-1.5)
    truth = torch.from_numpy(FIELD.at(inner)).double()
    shift = torch.tensor([0.35, -0.2, 0.3], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([shift], max_iter=40, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        error = (read(torch.from_numpy(inner) + shift) - truth).square().mean()
        error.backward()
        return error

    optimiser.step(loss)
    assert shift.detach().abs().max() < 0.01


def test_shapes_and_no_points_at_all() -> None:
    read = DifferentiableField(FIELD)
    assert read(torch.zeros(2, 5, 3, dtype=torch.float64)).shape == (2, 5)
    assert read(torch.zeros(3)).shape == ()
    assert read(torch.zeros(0, 3)).shape == (0,)


def test_the_papers_flavour_is_refused() -> None:
    image = Volume(smooth((5, 5, 5)), Grid((5, 5, 5), np.eye(4)))
    field = VoxelField(lively_network("light", "paper"), image, Normalisation.identity())
    with pytest.raises(ArSSRError, match="residual"):
        DifferentiableField(field)
