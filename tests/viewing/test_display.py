from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.phantoms import rotated
from tests.viewing.heads import SPOT_RAS_MM, head, las_grid

from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.viewing.display import (
    PLANES,
    Plane,
    Window,
    beside,
    canonical,
    content_box,
    disagreement,
    edges_mm,
    field_of_view,
    find_detail,
    index_at,
    middle,
    on_display,
    picture,
    to_bytes,
)
from arssr.volume import Volume

AXES = list(permutations(range(3)))
FLIPS = list(product((1, -1), repeat=3))


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("flips", FLIPS)
def test_canonical_moves_no_voxel_in_space(axes: tuple[int, ...], flips: tuple[int, ...]) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.diag([1.0, 2.0, 3.0])[:, axes] * flips
    affine[:3, 3] = 7, -5, 3
    volume = Volume(np.arange(60, dtype=np.float32).reshape(3, 4, 5), Grid((3, 4, 5), affine))
    turned = canonical(volume)
    assert turned.grid.orientation == "RAS"
    for index in np.ndindex(volume.grid.shape):
        there = np.rint(turned.grid.to_index(volume.grid.to_world(index))).astype(int)
        assert turned.data[tuple(there)] == volume.data[index]


def test_pictures_follow_the_radiological_convention() -> None:
    volume = canonical(head(las_grid()))
    spot = np.rint(volume.grid.to_index(SPOT_RAS_MM)).astype(int)
    halves = {}
    for plane in PLANES:
        image = picture(volume.data, plane, int(spot[plane.normal]))
        assert image.shape == (volume.grid.shape[plane.up], volume.grid.shape[plane.across])
        row, column = (np.mean(where) for where in np.nonzero(image > 180))
        vertical = plane.top if row < image.shape[0] / 2 else plane.bottom
        halves[plane.name] = vertical + (plane.left if column < image.shape[1] / 2 else plane.right)
    assert halves == {"axial": "AR", "coronal": "SR", "sagittal": "SA"}


@given(
    st.floats(-1e3, 1e3),
    st.floats(0.1, 1e3),
    st.floats(0, 1e3),
    st.floats(0, 1e4),
    st.integers(0, 2**32 - 1),
)
def test_bytes_stand_for_intensities(
    low: float, width: float, under: float, over: float, seed: int
) -> None:
    window = Window(low, low + width)
    levels = window.grey_levels(low - under, low + width + over)
    assert levels.shape == (255,)
    assert (np.diff(levels) >= 0).all()
    assert levels[0] == pytest.approx(low - under)
    assert levels[-1] == pytest.approx(low + width + over)
    data = np.random.default_rng(seed).uniform(low, low + width, 100).astype(np.float32)
    error = np.abs(levels[to_bytes(data, levels)] - data)
    assert error.max() <= 0.51 * width / 206 + 1e-5 * abs(low + width)


@pytest.mark.parametrize("degrees", [0, 20])
def test_the_field_of_view_is_where_voxels_lie_in_it(degrees: float) -> None:
    frame = canonical(head(las_grid())).grid
    part = rotated(frame.part((slice(5, 30), slice(0, 52), slice(10, 20))), (0, 0, degrees))
    inside = field_of_view(part, frame)
    assert inside is not None
    index = part.to_index(frame.to_world(np.moveaxis(np.indices(frame.shape), 0, -1)))
    expected = ((index > -0.5) & (index < np.array(part.shape) - 0.5)).all(-1)
    assert (inside == expected).all()
    assert field_of_view(frame.scaled(0.7), frame.scaled(0.7)) is None
    assert field_of_view(frame, frame.scaled(2)) is None


def test_nothing_is_made_up_outside_the_field_of_view() -> None:
    volume = canonical(head(las_grid()))
    frame = volume.grid
    for degrees in (0, 10):  # nearest and cubic
        grid = rotated(frame.part((slice(12, 30), slice(0, 52), slice(8, 20))), (degrees, 0, 0))
        part = resample(volume, grid)
        inside = field_of_view(grid, frame)
        assert inside is not None
        assert (on_display(part, frame)[0].data[~inside] == part.data.min()).all()


def test_window_spares_the_tissue_and_refuses_a_constant_image() -> None:
    volume = head(las_grid())
    window = Window.fit(volume.data)
    assert window.low == 0
    assert 130 < window.high < 260
    assert window.object_mask(volume.data)[middle(window.object_mask(volume.data))]
    with pytest.raises(ArSSRError, match="constant"):
        Window.fit(np.full((4, 4, 4), 3, np.float32))


def test_on_display_says_how_an_image_came_there() -> None:
    volume = head(las_grid())
    frame = canonical(volume).grid
    same, how = on_display(volume, frame)
    assert how is None
    np.testing.assert_array_equal(same.data, volume.data[::-1])
    coarse = resample(volume, volume.grid.scaled(0.5))
    blocks, how = on_display(coarse, frame)
    assert how == "nearest"
    assert set(np.unique(blocks.data)) <= set(np.unique(coarse.data))
    wide = resample(volume, volume.grid.scaled((0.5, 1, 1)))
    assert on_display(wide, frame)[1] == "nearest"
    moved = frame.affine.copy()
    moved[:3, 3] += 0.3
    _, how = on_display(volume, Grid(frame.shape, moved))
    assert how == "cubic"


def test_places_agree_between_images_of_different_voxels() -> None:
    volume = head(las_grid())
    frame = canonical(volume).grid
    coarse = beside(resample(volume, volume.grid.scaled((0.5, 0.25, 0.4))), frame)
    for axis in range(3):
        assert edges_mm(coarse, frame, axis)[0] == pytest.approx(0)
        for index in range(coarse.grid.shape[axis]):
            at = np.zeros(3)
            at[axis] = index
            mm = (frame.to_index(coarse.grid.to_world(at))[axis] + 0.5) * frame.spacing_mm[axis]
            assert index_at(coarse, frame, axis, mm) == index


def test_an_oblique_image_is_brought_on_the_frame() -> None:
    frame = canonical(head(las_grid())).grid
    angle = np.radians(20)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    tilted = head(Grid(frame.shape, turn @ frame.affine))
    assert beside(tilted, frame).grid.matches(frame)


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
def test_the_detail_is_where_the_images_differ(plane: Plane) -> None:
    grid = canonical(head(las_grid())).grid
    one = np.full(grid.shape, 100, np.float32)
    other = one.copy()
    other[20:24, 30:34, 10:14] += 50
    other[:2] += 500  # at the border of the field of view, and outside the object
    mask = np.zeros(grid.shape, bool)
    mask[4:-4, 4:-4, 2:-2] = True
    detail = find_detail(disagreement([one, other]), mask, grid, plane, side_mm=12)
    half = [
        detail.side_mm / 2 / mm if axis != plane.normal else 0.5
        for axis, mm in enumerate(grid.spacing_mm)
    ]
    for centre, reach, (low, high) in zip(
        detail.centre, half, ((20, 23), (30, 33), (10, 13)), strict=True
    ):
        assert centre - reach <= high
        assert centre + reach >= low


def test_content_box() -> None:
    mask = np.zeros((20, 20, 20), bool)
    assert content_box(mask) == (slice(0, 20),) * 3
    mask[5:9, 1, 18] = True
    assert content_box(mask) == (slice(2, 12), slice(0, 5), slice(15, 20))
