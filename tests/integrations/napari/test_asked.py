"""What is asked for of a layer, axis by axis."""

import numpy as np
import pytest
from napari.layers import Image, Labels

from arssr import ArSSRError
from arssr.integrations.napari import asked
from arssr.integrations.napari.layers import grid_of

THICK = Image(np.zeros((4, 6, 5)), scale=(3, 1, 2))


def test_three_numbers_are_in_the_order_of_the_layers_axes() -> None:
    scale = asked.options_of(THICK, asked.SCALE, "3, 1 2")["scale"]
    grid = grid_of(THICK).scaled(scale or 0)
    np.testing.assert_allclose(grid.spacing_mm, 1)  # of (z, y, x): 3 / 3, 1 / 1, 2 / 2
    assert asked.options_of(THICK, asked.SPACING, "0.5")["spacing"] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("numbers", ["", "two", "1 2", "1;2;3"])
def test_other_numbers_are_refused_in_a_sentence(numbers: str) -> None:
    with pytest.raises(ArSSRError, match="one number or three"):
        asked.options_of(THICK, asked.SCALE, numbers)


def test_thick_slices_are_suggested_where_there_are_some() -> None:
    assert asked.usual_target(THICK) == asked.THICK
    assert asked.usual_target(Image(np.zeros((4, 6, 5)))) == asked.SCALE


def test_label_maps_are_asked_for_as_such() -> None:
    layer = Labels(np.zeros((4, 6, 5), int))
    options = asked.options_of(layer, asked.LIKE, like=THICK, acquisition="2D")
    assert options == {"labels": True, "like": grid_of(THICK)}
    with pytest.raises(ArSSRError, match="choose the layer"):
        asked.options_of(layer, asked.LIKE)
    assert asked.options_of(THICK, asked.ISOTROPIC) == {"isotropic": True, "acquisition": "auto"}
