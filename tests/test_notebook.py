"""Images in a notebook: what NiiVue is given, and what it shows of that in a browser."""

import gzip
import sys
from dataclasses import replace
from typing import Any

import ipywidgets
import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.niivue import CHROMIUM, SIZE, picture, shown
from tests.phantoms import rotated, smooth, volume

import arssr
from arssr.errors import ArSSRError, ArSSRWarning
from arssr.grid import Grid, corner_voxels
from arssr.notebook import as_nifti, common_grid, view
from arssr.volume import Volume

LEFT_HANDED = rotated(Grid((40, 36, 12), np.diag([-2, 2, 6, 1.0])), (10, -15, 20))
# axes k, i, j of a body, the second backwards
PERMUTED = Grid((48, 40, 44), np.array([[0, -2, 0, 0], [0, 0, 2, 0], [2, 0, 0, 0], [0, 0, 0, 1.0]]))
TURNED = rotated(PERMUTED, (-12, 8, 5))
SPOT_RAS_MM = np.array([14.0, 10.0, 8.0])


def spot(grid: Grid) -> Volume:
    """A ball that fades, to the right, the front and the top of the middle of the grid."""
    centre = LEFT_HANDED.to_world((np.array(LEFT_HANDED.shape) - 1) / 2)
    places = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    distance = np.linalg.norm(places - centre - SPOT_RAS_MM, axis=-1)
    return Volume(100 * np.exp(-((distance / 14) ** 2)), grid)


def centred(grid: Grid) -> Grid:
    """The grid moved so that its middle is that of `LEFT_HANDED`."""
    affine = grid.affine.copy()
    middles = [each.to_world((np.array(each.shape) - 1) / 2) for each in (LEFT_HANDED, grid)]
    affine[:3, 3] += middles[0] - middles[1]
    return Grid(grid.shape, affine)


@pytest.mark.parametrize("grid", [LEFT_HANDED, TURNED], ids=["left-handed", "permuted"])
def test_the_viewer_gets_samples_and_place_of_either_image(grid: Grid) -> None:
    before, after = spot(grid), spot(grid.isotropic())
    viewer = view(before, after).children[0]
    _, *given = viewer.volumes
    for image, handed_over in zip((before, after), given, strict=True):
        read = nib.Nifti1Image.from_bytes(gzip.decompress(handed_over.data))
        assert read.header["sform_code"] > read.header["qform_code"]
        np.testing.assert_array_equal(read.affine, image.grid.affine.astype(np.float32))
        np.testing.assert_allclose(read.get_fdata(), image.data, atol=np.ptp(image.data) / 65534)
    assert viewer.opts.is_radiological_convention
    assert {(each.cal_min, each.cal_max) for each in given} == {
        (given[0].cal_min, given[1].cal_max)
    }


def test_the_slider_is_the_opacity_of_the_second_image_without_a_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    linked: list[Any] = []
    monkeypatch.setattr(ipywidgets, "jslink", lambda *ends: linked.extend(ends))
    viewer, below = view(spot(LEFT_HANDED), spot(TURNED)).children
    slider, last = below.children[1], viewer.volumes[-1]
    assert linked == [(slider, "value"), (last, "opacity")]
    assert (slider.min, slider.max, slider.value) == (0, 1, last.opacity)


def test_images_that_share_no_place_are_told_of() -> None:
    affine = LEFT_HANDED.affine.copy()
    affine[0, 3] += 1000
    elsewhere = replace(spot(LEFT_HANDED), grid=Grid(LEFT_HANDED.shape, affine))
    with pytest.warns(ArSSRWarning, match="share no place"):
        view(spot(LEFT_HANDED), elsewhere)


def test_one_image_needs_no_slider() -> None:
    [viewer] = view(spot(LEFT_HANDED)).children
    assert [each.name for each in viewer.volumes] == ["volume.nii.gz"]


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_what_is_drawn_on_holds_both_images_and_is_as_fine_as_either(
    seed: int, oblique: bool
) -> None:
    random = np.random.default_rng(seed)

    def some_grid() -> Grid:
        i, j, k = random.integers(2, 30, 3).tolist()
        spacing_mm = random.uniform(0.3, 5, 3) * random.choice([-1, 1], 3)
        return rotated(
            Grid((i, j, k), np.diag([*spacing_mm, 1])), oblique * random.uniform(-9, 9, 3)
        )

    one, other = some_grid(), some_grid()
    found = common_grid(one, other)
    for each in (one, other):
        index = found.to_index(each.to_world(corner_voxels([n + 1 for n in each.shape]) - 0.5))
        assert (index > -0.51).all() and (index < np.array(found.shape) - 0.49).all()
        assert oblique or (found.cell_in(each) < 1 + 1e-9).all()
    assert (found.spacing_mm <= one.spacing_mm * (1 + 1e-9)).all()


def test_what_is_drawn_on_stays_small_enough_for_a_graphics_card() -> None:
    fine = Grid((2000, 2000, 10), np.diag([0.1, 0.1, 5, 1]))
    across = Grid((10, 2000, 2000), np.diag([5, 0.1, 0.1, 1]))
    assert np.prod(common_grid(fine, across).shape) < 2**26 * 1.05


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38, -3e38])
def test_no_value_is_too_much(bad: float) -> None:
    image = volume(smooth((5, 6, 7)))
    image.data[2, 3, 4] = bad
    read = nib.Nifti1Image.from_bytes(gzip.decompress(as_nifti(image.data, image.grid)))
    assert np.isfinite(read.get_fdata()).all()
    view(image)
    view(volume(np.full((3, 4, 5), bad)))


def test_nothing_is_no_image() -> None:
    with pytest.raises(ArSSRError, match="not NoneType"):
        view(None)  # type: ignore[arg-type]


def test_without_ipyniivue_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipyniivue", None)
    with pytest.raises(ArSSRError, match=r"pip install 'arssr\[notebook\]'"):
        arssr.view(spot(LEFT_HANDED))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open a page in")
def test_a_browser_shows_both_where_they_are_in_the_world() -> None:
    """A left-handed, oblique image and another, whose axes run elsewhere, show the same spot."""
    before, after = spot(LEFT_HANDED), spot(centred(TURNED))
    viewer = view(before, after).children[0]
    with shown(viewer) as page:
        images = [picture(page, viewer.volumes[-1], opacity) for opacity in (0.0, 1.0)]
    red, *_ = np.moveaxis(images[0].astype(int), -1, 0)
    assert red.max() > 200
    lines = np.any([np.ptp(image, axis=-1) > 40 for image in images], axis=0)  # the crosshair
    grey = [np.where(lines, 0, image.mean(axis=-1)) for image in images]
    assert np.abs(grey[0] - grey[1]).mean() < 3
    for image in grey:
        for tile in np.split(image, [SIZE["width"] // 3, 2 * SIZE["width"] // 3], axis=1):
            rows, columns = np.nonzero(tile > 0.8 * tile.max())
            high, wide = np.array(tile.shape) / 2
            assert rows.mean() < high - 5 and columns.mean() < wide - 5  # right or front, and up
