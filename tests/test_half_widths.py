"""Half-widths come with the values, wherever and however a field is read, and change none."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from tests.phantoms import rotated, smooth, volume
from tests.test_ensemble import ensemble_of
from tests.test_field import (
    ACQUISITION,
    NETWORKS,
    NOISE,
    UNITS,
    along_the_axes,
    centres,
    field_of,
    little_memory,
    random_image,
    seeds,
)
from tests.transforms.test_transform import MOVING, RIGID
from torch import nn

from arssr.errors import ArSSRError
from arssr.field import VoxelField
from arssr.networks.spread import SpreadHead, with_spread
from arssr.readings import BOTH
from arssr.transforms.transform import Affine, Transform, slabs_through
from arssr.volume import Volume
from arssr.weights.interval import Interval

__all__ = ["little_memory"]  # a fixture
INTERVAL = Interval(0.9, air=0.004, share=1.5)


def head_of(width: int = 8, seed: int = 0) -> SpreadHead:
    """A head with random weights everywhere."""
    torch.manual_seed(seed)
    head = SpreadHead(width, 4)
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.5)
    return head.eval().requires_grad_(False)


TELLING = with_spread(NETWORKS["residual"], head_of())


def telling_field(image: Volume, **options: Any) -> VoxelField:
    told = {"acquisition_ijk": ACQUISITION, "noise": NOISE, "interval": INTERVAL}
    return VoxelField(TELLING, image, UNITS, **{**told, **options})


def as_the_network_says(image: Volume, index_ijk: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Half-widths at voxel coordinates (P, 3), straight from `network.forward`."""
    condition = TELLING.condition(ACQUISITION, NOISE)
    assert condition is not None
    with torch.inference_mode():
        [told] = TELLING(
            torch.from_numpy(UNITS.apply(image.data))[None, None],
            condition[None],
            torch.from_numpy(index_ijk).float()[None],
            torch.from_numpy(np.minimum(cell, 1)).float()[None],
        )
    return UNITS.scale * np.maximum(INTERVAL.share * told[:, 1].numpy(), INTERVAL.air)


@settings(max_examples=15)
@given(seed=seeds)
def test_lattices_points_oblique_grids_and_the_network_agree(seed: int) -> None:
    random = np.random.default_rng(seed)
    image = random_image(random)
    field = telling_field(image)
    for grid in (
        along_the_axes(image.grid, random),
        rotated(image.grid.isotropic().scaled(1.3), random.uniform(5, 85, 3)),
    ):
        index_map = grid.index_map_to(image.grid)
        index = centres(grid) @ index_map[:3, :3].T + index_map[:3, 3]
        expected = as_the_network_says(image, index, np.linalg.norm(index_map[:3, :3], axis=1))
        _, half_widths = field.on_with_half_widths(grid)
        np.testing.assert_allclose(half_widths.data.ravel(), expected, rtol=2e-3)
    points = image.grid.to_world(random.uniform(0, 4, (30, 3)))
    _, half_widths = field.at_with_half_widths(points)
    expected = as_the_network_says(image, image.grid.to_index(points), np.full(3, 0.5))
    np.testing.assert_allclose(half_widths, expected, rtol=2e-3)


@settings(max_examples=10)
@given(seed=seeds)
def test_the_image_is_the_same_to_the_bit_with_half_widths_and_without(seed: int) -> None:
    random = np.random.default_rng(seed)
    image = random_image(random)
    grid = along_the_axes(image.grid, random)
    plain = field_of(NETWORKS["residual"], image).on(grid)
    values, _ = telling_field(image).on_with_half_widths(grid)
    np.testing.assert_array_equal(values.data, plain.data)
    np.testing.assert_array_equal(telling_field(image).on(grid).data, plain.data)


def test_in_little_memory_they_are_the_same_slab_by_slab(little_memory: object) -> None:
    image = volume(300 + 900 * smooth((9, 8, 7)))
    grid = image.grid.scaled(1.5)
    slabs = list(telling_field(image).read(grid, outputs=BOTH))
    assert [slab.shape for slab in slabs] == [(2, 14, 12, 3)] * 3 + [(2, 14, 12, 1)]
    index_map = grid.index_map_to(image.grid)
    index = centres(grid) @ index_map[:3, :3].T + index_map[:3, 3]
    expected = as_the_network_says(image, index, np.full(3, 2 / 3))
    found = np.concatenate(slabs, axis=-1)[1]
    np.testing.assert_allclose(found.ravel(), expected, rtol=2e-3)


def test_of_an_ensemble_they_are_the_mean_of_the_members() -> None:
    image = volume(300 + 900 * smooth((7, 6, 5), sigma=1))
    grid = image.grid.scaled(1.5)
    ensemble = ensemble_of(TELLING, image, 4, interval=INTERVAL)
    values, half_widths = ensemble.on_with_half_widths(grid)
    np.testing.assert_allclose(
        values.data, ensemble_of(NETWORKS["residual"], image, 4).on(grid).data, rtol=1e-5
    )
    members = [
        telling_field(image.with_data(np.flip(image.data, flip), image.grid.flipped(flip)))
        for flip in ((), (0, 1), (0, 2), (1, 2))
    ]
    each = [member.on_with_half_widths(grid)[1].data for member in members]
    np.testing.assert_allclose(half_widths.data, np.mean(each, axis=0), rtol=1e-4)
    _, at = ensemble.at_with_half_widths(grid.to_world(centres(grid)), image.grid.spacing_mm / 1.5)
    np.testing.assert_allclose(at.reshape(grid.shape), half_widths.data, rtol=2e-3)


def test_skipped_air_has_the_least_and_nothing_has_less() -> None:
    data = np.zeros((14, 12, 10), np.float32)
    data[8:] = 900 * smooth((6, 12, 10), sigma=1)
    field = telling_field(volume(data))
    assert 0 < field.air < 1
    least = np.float32(INTERVAL.air * UNITS.scale)
    _, half_widths = field.on_with_half_widths(field.grid.scaled(2))
    assert half_widths.data.min() == pytest.approx(least)
    assert half_widths.data[:8].max() == pytest.approx(least)
    # averaged half-widths ring where they end, as images do
    _, half_widths = field.on_with_half_widths(field.grid.scaled((0.4, 0.5, 2)))
    assert half_widths.data.min() >= least * (1 - 1e-6)


def test_where_a_grid_is_coarser_they_are_averaged_as_the_values_are() -> None:
    image = volume(300 + 900 * smooth((9, 8, 7), sigma=1))
    grid = image.grid.scaled((2, 2, 0.5))
    _, half_widths = telling_field(image).on_with_half_widths(grid)
    _, fine = telling_field(image).on_with_half_widths(grid.scaled((1, 1, 2)))
    middle = half_widths.data[4:-4, 4:-4, 1:-1]
    assert middle.shape == (10, 8, 2)
    pairs = fine.data[4:-4, 4:-4].reshape(10, 8, -1, 2).mean(axis=-1)[..., 1:-1]
    np.testing.assert_allclose(middle, pairs, rtol=0.2)


@pytest.mark.parametrize("matrix", [RIGID, np.diag([1.0, -1, 1, 1])])
def test_through_a_transform_values_stay_what_they_are(matrix: np.ndarray) -> None:
    transform = Transform((Affine(matrix),))
    image = volume(300 + 900 * smooth((9, 8, 7), sigma=1))
    plain = [slab[0] for slab in slabs_through(telling_field(image), transform, MOVING)]
    both = list(slabs_through(telling_field(image), transform, MOVING, outputs=BOTH))
    values, half_widths = np.concatenate(both, axis=-1)
    np.testing.assert_allclose(values, np.concatenate(plain, axis=-1), rtol=1e-5)
    assert half_widths.shape == values.shape and np.ptp(half_widths) > 0


def test_a_field_without_an_interval_has_none() -> None:
    field = field_of(NETWORKS["residual"], volume(300 + 900 * smooth((5, 5, 6))))
    with pytest.raises(ArSSRError, match="made without an interval"):
        field.on_with_half_widths(field.grid)
    with pytest.raises(ArSSRError, match="made without an interval"):
        field.at_with_half_widths([0, 0, 0])


def test_a_plan_has_room_for_both() -> None:
    image = volume(300 + 900 * smooth((9, 8, 7)))
    plain, both = (
        f.plan(image.grid.scaled(2))
        for f in (field_of(NETWORKS["residual"], image), telling_field(image))
    )
    assert both.slabs == 2 * plain.slabs
    assert both.decode_flops > plain.decode_flops


def test_no_half_width_is_wider_than_the_range() -> None:
    head = head_of()
    nn.init.constant_(head.last.bias, 50.0)
    told = head(torch.randn(9, 8))
    assert float(told.max()) == 1.0
