"""Three planes of an image in a notebook: square in mm, the right way up, never failing."""

import base64
import io
import re
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.engine.thin import lively_network
from tests.phantoms import rotated, smooth, volume

from arssr.api import Model
from arssr.ensemble import EnsembleField
from arssr.field import VoxelField
from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.planes import PLANES, as_html, brightness_at_a_glance, png, three_cuts
from arssr.volume import Volume
from arssr.weights.registry import Weights, load

NAMES = [plane.name for plane in PLANES]


def seen(html: str) -> dict[str, np.ndarray]:
    """The pictures of a page, by the name of their plane, as a browser decodes them."""
    found = re.findall(r'<img alt="(\w+),[^>]* src="data:image/png;base64,([^"]*)"', html)
    pictures = {name: Image.open(io.BytesIO(base64.b64decode(source))) for name, source in found}
    return {name: np.asarray(picture).astype(float) for name, picture in pictures.items()}


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_a_png_holds_its_pixels(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    picture = Image.open(io.BytesIO(png(pixels)))
    assert picture.mode == "L"
    np.testing.assert_array_equal(np.asarray(picture), pixels)


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((-1, 1), repeat=3)))
def test_pictures_are_radiological_and_square_in_mm_however_voxels_lie(
    axes: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    spacing_mm, shape = np.array([1.0, 1.5, 4.0]), np.array([24, 20, 6])
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    affine[list(axes), range(3)] = spacing_mm * signs
    grid = Grid(tuple(shape.tolist()), affine)  # type: ignore[arg-type]
    places = grid.to_world(np.moveaxis(np.indices(shape), 0, -1))
    middle = grid.to_world((shape - 1) / 2)
    extent_mm = np.empty(3)
    extent_mm[list(axes)] = grid.extent_mm
    right, anterior, superior = (
        seen(Volume(places[..., world] > middle[world], grid)._repr_html_()) for world in range(3)
    )
    assert list(right) == NAMES
    for picture in (
        *(right["axial"], right["coronal"], anterior["sagittal"]),  # bright on the left
        *(anterior["axial"].T, superior["coronal"].T, superior["sagittal"].T),  # bright on top
    ):
        assert (picture[:, 0] == 255).all() and (picture[:, -1] == 0).all()
    for plane in PLANES:
        height, width = right[plane.name].shape
        across, up = extent_mm[plane.across], extent_mm[plane.up]
        assert max(extent_mm) / 240 * np.array([width, height]) == pytest.approx([across, up], 0.03)


def test_an_oblique_image_is_shown_along_its_own_axes_and_said_to_be_oblique() -> None:
    grid = Grid((20, 22, 9), np.diag([1, 1, 3, 1]))
    data = smooth(grid.shape)
    straight, oblique = (
        Volume(data, each)._repr_html_() for each in (grid, rotated(grid, (15, 0, 0)))
    )
    for name, picture in seen(straight).items():
        np.testing.assert_array_equal(picture, seen(oblique)[name])
    assert "RAS, oblique by up to 15°" in oblique and "oblique" not in straight


@given(
    st.tuples(*[st.integers(1, 5)] * 3),
    st.lists(st.sampled_from([0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-44])),
    st.tuples(*[st.sampled_from([1e-4, 1.0, 1e4])] * 3),
)
def test_there_is_always_something_to_show(
    shape: tuple[int, int, int], values: list[float], spacing_mm: tuple[float, float, float]
) -> None:
    data = np.resize(np.array(values or [7.0], np.float32), shape)
    found = Volume(data, Grid(shape, np.diag([*spacing_mm, 1])))._repr_html_()
    assert list(seen(found)) == NAMES


@pytest.mark.parametrize("of", [np.bool_, np.int64, np.uint8])
def test_other_types_of_samples_are_shown_too(of: type) -> None:
    found = Volume(np.arange(60).reshape(3, 4, 5).astype(of), Grid((3, 4, 5), np.eye(4)))
    assert seen(found._repr_html_())["axial"].max() > 200


def test_of_a_huge_image_few_voxels_are_read() -> None:
    """64 billion of them, 256 GB, none of which is anywhere."""
    shape = (4000, 4000, 4000)
    huge = Volume(np.broadcast_to(np.float32(3), shape), Grid(shape, np.eye(4)))
    assert "constant, 3" in huge._repr_html_()
    some = np.broadcast_to(np.arange(4000, dtype=np.float32), shape)
    assert brightness_at_a_glance(some)[1] == pytest.approx(3990, rel=0.01)


def test_what_files_and_cards_say_is_text() -> None:
    evil = "<script>alert(1)&"
    image = replace(
        volume(smooth((4, 5, 6))), path=Path(f"{evil}.nii"), remark=evil, warnings=(evil,)
    )
    model = Model(
        Weights(evil, lively_network("light", "residual"), {"note": evil}, Path("x")), "cpu"
    )
    field = VoxelField(lively_network("light", "residual"), image, Normalisation(0, 1))
    for found in (image, model, field):
        html = found._repr_html_()
        assert "<script" not in html and "&lt;script&gt;" in html
    assert as_html("a", {"b": "", "c": "d"}).count("<tr>") == 1


def test_a_model_shows_its_licence_and_what_it_is_for() -> None:
    html = Model(load("light"), "cpu")._repr_html_()
    assert "CC BY 4.0" in html and "scale 1 to 4 per axis" in html and "519,201 parameters" in html


def field_of(image: Volume, kind: type[VoxelField] = VoxelField, **options: float) -> VoxelField:
    return kind(
        lively_network("light", "residual"), image, Normalisation(0, 1), skip_air=False, **options
    )  # type: ignore[arg-type]


def test_a_field_shows_its_own_values_at_the_pixels() -> None:
    image = volume(smooth((9, 8, 7)), np.diag([1, 1, 3, 1.0]))
    field = field_of(image)
    pictures = seen(field._repr_html_())
    low, high = brightness_at_a_glance(image.data)
    for cut in three_cuts(image.grid):
        values = field.at(image.grid.to_world(cut.index_ijk), 1.0)
        expected = 255 * np.clip((values - low) / (high - low), 0, 1)
        np.testing.assert_allclose(pictures[cut.plane.name], expected, atol=0.51)
        assert np.abs(cut.nearest(image.data) - values).max() > 0.05 * (high - low)


def test_of_a_field_three_planes_are_decoded_and_what_was_computed_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    field = field_of(volume(smooth((30, 30, 30))))
    points = list[int]()
    read_at = VoxelField.read_at

    def counted(self: VoxelField, places: np.ndarray, *options: object) -> np.ndarray:
        points.append(len(places))
        return read_at(self, places, *options)  # type: ignore[arg-type]

    monkeypatch.setattr(VoxelField, "read_at", counted)
    monkeypatch.setattr(VoxelField, "finished", None)  # grids are not read
    assert "the field, read as voxels of 1 mm" in field._repr_html_()
    assert points == [3 * 240**2]
    kept = field._runner.kept
    assert kept is not None
    field._repr_html_()
    assert field._runner.kept is kept


def test_where_features_would_not_stay_the_scan_is_shown() -> None:
    image = volume(smooth((12, 12, 12)))
    expected = seen(image._repr_html_())
    for field in (field_of(image, EnsembleField), field_of(image, memory=1.0)):
        html = field._repr_html_()
        assert "the scan, as " in html
        assert field.encode_seconds == 0
        for name, picture in seen(html).items():
            np.testing.assert_array_equal(picture, expected[name])
