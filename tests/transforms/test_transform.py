"""A field read through a transform; which files hold transforms, `test_registration.py` says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from tests.engine.thin import lively_network
from tests.phantoms import smooth, tiny_network, volume
from tests.registrations import MOVING, RIGID, sitk_warp

from arssr.antialias import averaging_matrix
from arssr.field import VoxelField
from arssr.formats.slices import Slices
from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.labels import upsample_labels
from arssr.transforms.transform import (
    Affine,
    Displacement,
    Transform,
    resample_through,
    slabs_through,
)
from arssr.volume import Volume


def field_on(grid: Grid) -> VoxelField:
    return VoxelField(
        lively_network("light", "residual"),
        Volume(smooth(grid.shape, sigma=1), grid),
        Normalisation.identity(),
    )


def nowhere(grid: Grid, shift_mm: tuple = (0.0, 0.0, 0.0)) -> Transform:
    """A displacement field that is the same everywhere."""
    field = np.ones((3, 50, 50, 50), np.float32) * np.reshape(shift_mm, (3, 1, 1, 1))
    around = np.diag([3.0, 3, 3, 1])
    around[:3, 3] = grid.to_world((np.array(grid.shape) - 1) / 2) - 75
    return Transform((Displacement(field.astype(np.float32), Grid((50, 50, 50), around)),))


def test_the_identity_is_the_field_itself() -> None:
    field = field_on(MOVING)
    grid = MOVING.scaled((2, 1.4, 1))
    expected = field.on(grid).data
    identity = Transform((Affine(np.eye(4)),))
    np.testing.assert_array_equal(resample_through(field, identity, grid).data, expected)
    dense = resample_through(field, nowhere(grid), grid, samples=1)
    assert dense.grid == grid
    np.testing.assert_allclose(dense.data, expected, atol=2e-4)


def test_what_a_transform_moved_has_not_the_slices_of_the_scan() -> None:
    """Not even on a grid equal to the scan's own, as that of a follow-up scan may be."""
    field = field_on(MOVING)
    field.volume = replace(field.volume, slices=Slices(2, 3.0, 4.0))
    assert field.on(MOVING).slices == Slices(2, 3.0, 4.0)
    still = Transform((Affine(np.eye(4)),))
    assert resample_through(field, still, MOVING).slices is None
    labels = replace(field.volume, data=np.ones(MOVING.shape))
    assert upsample_labels(labels, MOVING).slices == Slices(2, 3.0, 4.0)
    assert upsample_labels(labels, MOVING, still).slices is None


def test_an_equal_displacement_everywhere_is_a_translation() -> None:
    field, shift = field_on(MOVING), (1.5, -0.75, 2.25)
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    by_field = resample_through(field, nowhere(MOVING, shift), MOVING.scaled(1.5), samples=1)
    by_matrix = resample_through(field, Transform((Affine(matrix),)), MOVING.scaled(1.5))
    np.testing.assert_allclose(by_field.data, by_matrix.data, atol=2e-4)


def blob_at(point_mm: np.ndarray, grid: Grid) -> Volume:
    points = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    return Volume(np.exp(-0.5 * ((points - point_mm) ** 2).sum(-1) / 1.6**2), grid)


def centre_mm(image: Volume) -> np.ndarray:
    points = image.grid.to_world(np.moveaxis(np.indices(image.grid.shape), 0, -1))
    weight = image.data.astype(np.float64)[..., None]
    return (weight * points).sum((0, 1, 2)) / weight.sum()


@pytest.mark.parametrize("warped", [False, True], ids=["affine", "warp"])
def test_the_reference_point_gets_what_lies_where_it_is_sent(warped: bool) -> None:
    """The pull direction: a blob at T(p) of the moving scan appears at p."""
    network = tiny_network()
    torch.nn.init.zeros_(network.decoder.last.weight)  # type: ignore[union-attr, arg-type]
    grid = Grid((30, 30, 30), np.eye(4))
    p, steps = np.array([14.0, 16, 13]), [Affine(RIGID)]
    back = np.eye(4)
    back[:3, 3] = p - (RIGID @ [*p, 1])[:3] + [2, -1, 1]  # keeps it within the scan
    transform = Transform((*steps, Affine(back), *(nowhere(grid).steps if warped else ())))
    moving = blob_at(transform.map(p), grid)
    field = VoxelField(network, moving, Normalisation.identity())
    found = centre_mm(resample_through(field, transform, grid))
    np.testing.assert_allclose(found, p, atol=0.05)
    assert np.linalg.norm(centre_mm(moving) - p) > 2


def test_where_the_transform_leaves_the_scan_there_is_air() -> None:
    field = VoxelField(
        tiny_network(), volume(500 + smooth((6, 6, 6))), Normalisation(offset=-7, scale=900)
    )
    away = resample_through(field, nowhere(field.grid, (40, 0, 0)), field.grid)
    np.testing.assert_allclose(away.data, -7, rtol=1e-5)


def test_a_turned_voxel_is_the_average_of_its_parts() -> None:
    field, grid = field_on(MOVING), MOVING.scaled(1.3)
    transform = Transform((Affine(RIGID),))
    there = Grid(grid.shape, RIGID @ grid.affine)
    assert there.axis_positions_in(MOVING) is None
    once = resample_through(field, transform, grid, samples=1)
    np.testing.assert_allclose(once.data, field.on(there).data, atol=2e-4)
    fine = field.on(there.scaled(2)).data
    matrices = [averaging_matrix(n, 2) for n in grid.shape]
    expected = np.einsum("ijk,ai,bj,ck->abc", fine, *matrices, optimize=True)
    np.testing.assert_allclose(resample_through(field, transform, grid).data, expected, atol=2e-4)


def test_a_coarse_reference_is_averaged_down() -> None:
    field = field_on(Grid((16, 16, 16), np.eye(4)))
    coarse = field.grid.with_spacing((2, 1, 3))
    result = resample_through(field, nowhere(coarse), coarse, samples=1)
    fine = field.on(coarse.scaled((2, 1, 3))).data
    matrices = [averaging_matrix(n, p) for n, p in zip(coarse.shape, (2, 1, 3), strict=True)]
    expected = np.einsum("ijk,ai,bj,ck->abc", fine, *matrices, optimize=True)
    np.testing.assert_allclose(result.data, expected, atol=2e-4)


def test_slabs_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    field, told = field_on(MOVING), list[float]()
    transform = nowhere(MOVING, (0.5, 0.25, 0))
    whole = resample_through(field, transform, MOVING, samples=1).data
    monkeypatch.setattr("arssr.transforms.transform._SLAB_POINTS", 400)
    slabs = [*slabs_through(field, transform, MOVING, 1, lambda _what, share: told.append(share))]
    assert len(slabs) > 3 and told[-1] == 1
    np.testing.assert_allclose(np.concatenate(slabs, axis=-1)[0], whole, atol=1e-5)


def test_displacements_are_linear_between_their_grid_and_none_outside() -> None:
    _, displacement = sitk_warp(Grid((8, 8, 8), np.eye(4)))
    inner = np.random.default_rng(1).uniform(0, 7, (20, 3))
    expected = np.stack(
        [ndimage.map_coordinates(c, inner.T, order=1) for c in displacement.components], -1
    )
    np.testing.assert_allclose(displacement.map(inner) - inner, expected, atol=1e-6)
    outer = np.array([[-0.6, 3, 3], [3, 7.6, 3], [99, 99, 99]])
    np.testing.assert_array_equal(displacement.map(outer), outer)
