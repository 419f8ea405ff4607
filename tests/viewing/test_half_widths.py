"""The section on where a result is least sure."""

import base64
import io

import numpy as np
import pytest
from matplotlib.image import imread
from tests.viewing.heads import head, las_grid

from arssr.grid import Grid
from arssr.viewing.display import Window, canonical
from arssr.viewing.half_widths import sureness
from arssr.volume import Volume

TOLD = {"probability": 0.9, "in_words": "with a probability of 90 %"}
RESULT = head(las_grid())


def of_place(volume: Volume, inside: float, elsewhere: float) -> Volume:
    """Half-widths that are larger on the patient's right."""
    at = volume.grid.to_world(np.moveaxis(np.indices(volume.grid.shape), 0, -1))
    return volume.with_data(
        np.where(at[..., 0] > 0, inside, elsewhere).astype(np.float32), volume.grid
    )


def test_the_numbers_are_those_of_the_object() -> None:
    window = Window.fit(RESULT.data)
    wide = of_place(RESULT, 0.2 * window.width, 0.01 * window.width)
    inside = wide.data[window.object_mask(RESULT.data)]
    sure = sureness(RESULT, wide, TOLD)
    words = " ".join(sure.sentences)
    assert f"without the air around it, H is {inside.mean():.3g} on average." in words
    share = 100 * np.mean(inside > 0.1 * window.width)
    assert f"three twentieths of that window, in {share:.0f} % of the object" in words
    assert f"black to white, in {100 - share:.0f} % of the object" in words
    short = " ".join(sure.in_short)
    assert "a probability of 90 % the truth lies within ±H of the result" in short
    assert f"in the object H is {inside.mean():.3g} on average" in short
    assert f"That is {100 * inside.mean() / window.width:.2g} % of the window" in short
    assert all(sentence.count("%") <= 1 for sentence in [*sure.sentences, *sure.in_short])


def test_what_is_seen_is_told_before_the_look() -> None:
    sure = sureness(RESULT, of_place(RESULT, 9, 1), TOLD)
    *_, seen, look = sure.sentences
    assert seen == sure.seen and "from 0 (black) to 9 and more (yellow)" in seen
    assert "where the lower picture is yellow" in look


def test_the_right_is_on_the_left_and_yellow_where_it_is_least_sure() -> None:
    sure = sureness(RESULT, of_place(RESULT, 9, 1), TOLD)
    image = imread(io.BytesIO(base64.b64decode(sure.png)), format="png")[..., :3]
    lower = image[image.shape[0] // 2 : int(0.85 * image.shape[0]), : image.shape[1] // 4]
    yellow = (lower[..., 0] > 0.9) & (lower[..., 1] > 0.9) & (lower[..., 2] < 0.8)
    half = lower.shape[1] // 2
    assert yellow[:, :half].mean() > 0.3 > yellow[:, half:].mean()


@pytest.mark.parametrize("oblique", [False, True])
def test_the_planes_meet_in_the_object(oblique: bool) -> None:
    turned = RESULT
    if oblique:
        turn = np.eye(4)
        turn[:3, :3] = [[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]]
        turned = head(Grid(RESULT.grid.shape, turn @ RESULT.grid.affine))
    right = canonical(turned)
    sure = sureness(turned, of_place(turned, 9, 1), TOLD)
    index = right.grid.to_index(sure.centre_ras_mm)
    np.testing.assert_allclose(index, np.rint(index), atol=1e-6)
    assert right.data[tuple(np.rint(index).astype(int))] > 20
