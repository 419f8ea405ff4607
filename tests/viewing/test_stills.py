from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from tests.viewing.heads import head, las_grid

from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.viewing.display import canonical
from arssr.viewing.stills import _along_the_slices, planes_figure
from arssr.volume import Volume


def pixels(path: Path) -> np.ndarray:
    """(rows, columns, 3) in 0 … 1."""
    return imread(path)[..., :3]


def grey_parts(image: np.ndarray) -> np.ndarray:
    """Brightness of what is neither coloured nor background."""
    grey = np.ptp(image, axis=2) < 0.02
    return np.where(grey, image.mean(axis=2), 0)


def test_one_image_the_right_way_up(tmp_path: Path) -> None:
    scan = head(las_grid())
    x, y, _ = np.moveaxis(
        scan.grid.to_world(np.moveaxis(np.indices(scan.grid.shape), 0, -1)), -1, 0
    )
    right_anterior = scan.with_data(scan.data * np.where((x > 0) & (y > 0), 2, 1), scan.grid)
    path = planes_figure(tmp_path / "planes.png", [("scan", right_anterior)])
    image = grey_parts(pixels(path))[60:400, 60:-20]  # the axial plane
    rows, columns = np.nonzero((image > 0.4) & (image < 0.95))
    assert np.median(columns) < image.shape[1] / 2, "the patient's right is on the left"
    assert np.median(rows) < image.shape[0] / 2, "anterior is above"


def test_columns_of_a_comparison(tmp_path: Path) -> None:
    truth = head(las_grid())
    lr = resample(truth, truth.grid.scaled(0.5))
    columns = [("input", lr), ("cubic", resample(lr, truth.grid)), ("ours", head(las_grid(), 0.1))]
    alone = pixels(planes_figure(tmp_path / "a.png", columns[:2]))
    path = planes_figure(tmp_path / "b.png", columns, truth)
    compared = pixels(path)
    assert compared.shape[1] / alone.shape[1] == pytest.approx(6 / 2, rel=0.1)
    errors = compared[:, int(compared.shape[1] * 4.1 / 6) :]
    assert (np.ptp(errors, axis=2) > 0.2).mean() > 0.05, "the error maps are painted in colour"
    assert (compared.mean(axis=2) > 0.3).mean() > 0.2
    first = path.read_bytes()
    planes_figure(path, columns, truth)
    assert path.read_bytes() == first, "the same images give the same file, in place of the old"
    assert sorted(tmp_path.iterdir()) == [tmp_path / "a.png", path]


def test_an_error_of_zero_has_no_colour(tmp_path: Path) -> None:
    truth = head(las_grid())
    image = pixels(planes_figure(tmp_path / "same.png", [("same", truth)], truth))
    third = image[60:-200, int(image.shape[1] * 2.1 / 3) : -30]
    rows = third.reshape(-1, 3)
    dark = np.abs(rows - np.array([16, 18, 20]) / 255).max(axis=1) < 0.03
    assert dark.mean() > 0.9


def test_planes_of_a_thin_oblique_stack(tmp_path: Path) -> None:
    angle = np.radians(12)
    affine = np.diag([2.0, 2.0, 6.0, 1.0])
    affine[1:3, 1:3] = [
        [2 * np.cos(angle), -6 * np.sin(angle)],
        [2 * np.sin(angle), 6 * np.cos(angle)],
    ]
    affine[:3, 3] = -20, -22, -8
    stack = head(Grid((20, 24, 3), affine))
    image = pixels(planes_figure(tmp_path / "thin.png", [("stack", stack)]))
    assert (image.mean(axis=2) > 0.3).mean() > 0.1


def test_what_cannot_be_drawn_is_refused_in_words(tmp_path: Path) -> None:
    constant = Volume(np.full((8, 8, 8), 5.0), Grid((8, 8, 8), np.eye(4)))
    with pytest.raises(ArSSRError, match="constant"):
        planes_figure(tmp_path / "a.png", [("flat", constant)])
    with pytest.raises(ArSSRError, match="at least one"):
        planes_figure(tmp_path / "a.png", [])
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ArSSRError, match="cannot write"):
        planes_figure(blocked / "a.png", [("head", head(las_grid()))])
    assert list(tmp_path.iterdir()) == [blocked]


@pytest.mark.parametrize(("thick", "plane"), [(2, "coronal"), (0, "coronal"), (1, "axial")])
def test_the_detail_lies_along_the_slices(thick: int, plane: str) -> None:
    grid = canonical(head(las_grid())).grid
    scale = [1.0, 1.0, 1.0]
    scale[thick] = 0.25
    volumes = [head(grid), head(grid.scaled(scale))]
    assert _along_the_slices(volumes).name == plane
