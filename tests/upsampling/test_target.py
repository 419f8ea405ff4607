"""Where a result shall lie."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.phantoms import rotated, smooth, volume

from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.transforms.transform import Displacement, Transform
from arssr.upsampling.target import NoTargetError, Target, require_overlap
from arssr.weights.limits import outside_valid_range
from arssr.weights.registry import load

SCAN = Grid((10, 12, 5), np.diag([-1.0, 1.0, 3.0, 1.0]))


def test_each_target_is_a_rule_of_the_grid() -> None:
    assert Target(scale=2).on(SCAN) == SCAN.scaled(2)
    assert Target(spacing=(1, 1, 1.5)).on(SCAN) == SCAN.with_spacing((1, 1, 1.5))
    assert Target(shape=(5, 6, 5)).on(SCAN) == SCAN.with_shape((5, 6, 5))
    assert Target(isotropic=True).on(SCAN) == SCAN.isotropic()
    assert Target(like=SCAN.scaled(3)).on(SCAN) == SCAN.scaled(3)


def test_a_reference_is_taken_by_its_path_too(tmp_path: Path) -> None:
    path = volume(smooth((4, 5, 6)), np.diag([2, 2, 2.0, 1])).write(tmp_path / "a.nii.gz")
    assert Target(like=path).on(SCAN.scaled(1)) == Grid((4, 5, 6), np.diag([2, 2, 2.0, 1]))


@pytest.mark.parametrize("given", [{"scale": 2, "isotropic": True}, {"shape": 3, "like": SCAN}])
def test_there_is_at_most_one(given: dict[str, Any]) -> None:
    with pytest.raises(ArSSRError, match="one target alone, not "):
        Target(**given)


def test_a_grid_beside_the_scan_is_refused() -> None:
    away = Grid((4, 4, 4), np.array([[1.0, 0, 0, 500], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    with pytest.raises(ArSSRError, match="outside the scan's field of view"):
        Target(like=away).on(SCAN)


def test_what_was_asked_is_plain_values() -> None:
    asked = [Target(scale=(1, 1, 2.5)), Target(isotropic=True), Target(like=Path("b/a.nii"))]
    assert json.loads(json.dumps([t.asked() for t in asked])) == [
        {"scale": [1, 1, 2.5]},
        {"isotropic": True},
        {"like": "b/a.nii"},
    ]


@pytest.mark.parametrize("turns", [(0, 0, 0), (10, 20, -30), (-50, 5, 65)])
def test_a_field_that_leads_beside_the_scan_is_refused(turns: tuple[float, ...]) -> None:
    """One on the grid of the reference, as they are: beyond it points stay where they are."""
    grid = rotated(Grid((15, 16, 17), np.diag([-1, 1.3, 2, 1])), turns)
    for shift_mm, fits in ((0, True), (10, True), (400, False)):
        field = Displacement(np.full((3, *grid.shape), shift_mm, np.float32), grid)
        if fits:
            require_overlap(grid, grid, Transform((field,)))
        else:
            with pytest.raises(ArSSRError, match="lead the other way"):
                require_overlap(grid, grid, Transform((field,)))


def test_an_open_target_refines_thick_slices_alone() -> None:
    found = Target().on(SCAN)
    assert found == SCAN.with_spacing((1, 1, 1)) and found.shape == (10, 12, 15)
    assert Target().on(SCAN, SCAN.with_spacing((1.5, 2, 3))).spacing_mm[2] == 1.5
    sagittal = Grid((5, 12, 10), np.diag([3.0, 1.0, 1.0, 1.0]))
    assert Target().on(sagittal) == sagittal.scaled((3, 1, 1))


@pytest.mark.parametrize(
    ("spacing", "slices_mm"),
    [((0.5, 0.5, 3), 0.8), ((0.5, 0.5, 6), 1.0), ((1, 1, 6), 1.0), ((0.9, 0.9, 9), 1.5)],
)
def test_an_open_target_goes_no_further_than_weights_were_trained_for(
    spacing: tuple[float, ...], slices_mm: float
) -> None:
    scan = Grid((30, 30, 20), np.diag([*spacing, 1.0]))
    found = Target().on(scan)
    assert tuple(found.spacing_mm) == pytest.approx((*spacing[:2], slices_mm))
    for name in ("light", "rdn"):
        assert outside_valid_range(load(name).card, scan, found) == []


@pytest.mark.parametrize(
    ("spacing", "measured", "said"),
    [
        ((1, 1, 1), None, "1 mm along all axes already"),
        ((0.8, 0.797, 0.797), None, "0.798 mm along all axes already"),
        ((1, 1, 1.3), None, "along no axis clearly thicker than the others"),
        ((0.5, 0.5, 1), (1, 1, 1), "than what was measured (1 mm)"),
        ((0.1, 0.1, 0.5), None, "than shipped weights were trained for (0.8 mm)"),
    ],
)
def test_where_no_slices_are_thick_a_target_is_wanted(
    spacing: tuple[float, ...], measured: tuple[float, ...] | None, said: str
) -> None:
    grid = Grid((20, 20, 20), np.diag([*spacing, 1.0]))
    with pytest.raises(NoTargetError) as refused:
        Target().on(grid, grid.with_spacing(measured) if measured else None)
    assert said in str(refused.value) and "name a target, such as --scale 2" in str(refused.value)
