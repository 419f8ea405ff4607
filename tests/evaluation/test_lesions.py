"""Lesions that are put into an image, and what is said of what comes back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from tests.phantoms import tissue

from arssr.degradation import degrade, named_degradation
from arssr.evaluation.lesions import (
    NEAR,
    Comparison,
    Lesion,
    occupied,
    scattered,
    smallest_surviving,
    with_lesions,
)
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.volume import Volume

SHAPE = (72, 70, 68)
HEAD = Volume(tissue(SHAPE), Grid(SHAPE, np.eye(4)))
SCALE = (2.0, 2.0, 2.0)
LESIONS = scattered(HEAD, SCALE, (0.5, 1, 2, 4), (0.5, -0.2), seed=3)
offsets = st.floats(-0.5, 0.5)


@given(st.floats(0.5, 6), st.tuples(offsets, offsets, offsets))
def test_partial_volume_of_a_sphere_sums_to_its_volume(radius: float, off: tuple) -> None:
    sphere = Lesion.sphere(np.add((8, 9, 10), off).tolist(), radius, 1.0, 1.0)
    _, share = occupied(sphere, (20, 20, 20))
    assert share.sum() == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.01)
    assert share.min() >= 0 and share.max() <= 1 + 1e-12
    assert sphere.volume == pytest.approx(4 / 3 * math.pi * radius**3)


@given(st.integers(0, 99), st.floats(1, 3))
def test_partial_volume_of_a_turned_ellipsoid_sums_to_its_volume(seed: int, longer: float) -> None:
    form = (
        np.diag(1 / np.array([2, 2 * longer, 3])) @ Rotation.random(random_state=seed).as_matrix()
    )
    lesion = Lesion(np.array([10.2, 9.7, 10.1]), form, 1.0, 1.0)
    box, share = occupied(lesion, (21, 21, 21))
    assert share.sum() == pytest.approx(lesion.volume, rel=0.01)
    centre = [(share * x).sum() / share.sum() for x in np.mgrid[box]]
    np.testing.assert_allclose(centre, lesion.centre_ijk, atol=0.02)


def test_a_voxel_inside_is_full_and_one_outside_empty() -> None:
    box, share = occupied(Lesion.sphere((5, 5, 5), 2.5, 1.0, 1.0), (11, 11, 11))
    assert share[5 - box[0].start, 5 - box[1].start, 5 - box[2].start] == pytest.approx(1)
    assert all(s.start == 3 and s.stop == 9 for s in box) or all(s.stop - s.start < 8 for s in box)
    assert share[0, 0, 0] == 0


def test_a_lesion_at_a_face_is_cut_there() -> None:
    _, share = occupied(Lesion.sphere((-0.5, 5, 5), 3, 1.0, 1.0), (11, 11, 11))
    assert share.sum() == pytest.approx(2 / 3 * math.pi * 27, rel=0.01)


def test_nothing_gets_darker_than_the_darkest_voxel() -> None:
    dark = with_lesions(HEAD, [Lesion.sphere((36, 35, 34), 5, 1.0, -1e4)])
    assert dark.data.min() == HEAD.data.min()
    assert (dark.data != HEAD.data).sum() > 100


def test_the_truth_itself_recovers_every_lesion_and_invents_nothing() -> None:
    compared = Comparison(HEAD, LESIONS, SCALE)
    difference = with_lesions(HEAD, LESIONS).data - HEAD.data
    found = compared.of(difference)
    np.testing.assert_allclose(found, [(1, 1, 1, 1, 0)] * len(LESIONS), rtol=1e-4, atol=1e-9)
    assert compared.false_energy(difference) == 0


def test_half_of_the_difference_is_half_of_the_contrast() -> None:
    compared = Comparison(HEAD, LESIONS, SCALE)
    for one in compared.of((with_lesions(HEAD, LESIONS).data - HEAD.data) * 0.501):
        assert one.contrast == pytest.approx(0.501, rel=1e-3)
        assert one.peak == pytest.approx(0.501, rel=1e-3)
        assert one.signal == pytest.approx(0.501, rel=1e-3)


def test_what_appears_far_away_is_false_structure_of_the_nearest_lesion() -> None:
    lesions = [Lesion.sphere((15, 35, 34), 3, 3.0, 40.0), Lesion.sphere((55, 35, 34), 3, 3.0, 40.0)]
    difference = with_lesions(HEAD, lesions).data - HEAD.data
    difference[44, 35, 34] = -20.0
    difference[50, 35, 34] = 5.0  # 1 input voxel away: it belongs to the lesion
    compared = Comparison(HEAD, lesions, SCALE)
    first, second = compared.of(difference)
    assert first.false_peak == 0
    assert second.false_peak == pytest.approx(0.5)
    true = (with_lesions(HEAD, lesions).data.astype(float) - HEAD.data) ** 2
    assert compared.false_energy(difference) == pytest.approx(20**2 / true.sum(), rel=1e-4)


def test_scattered_lesions_lie_in_tissue_and_far_from_each_other() -> None:
    assert {(x.diameter, x.contrast > 0) for x in LESIONS} == {
        (d, b) for d in (0.5, 1, 2, 4) for b in (True, False)
    }
    for number, lesion in enumerate(LESIONS):
        assert lesion.volume == pytest.approx(math.pi / 6 * (2 * lesion.diameter) ** 3)
        for other in LESIONS[:number]:
            apart = np.linalg.norm(lesion.centre_ijk - other.centre_ijk)
            assert apart > 2 * NEAR * 2 + lesion.reach_ijk.min() + other.reach_ijk.min()
    again = scattered(HEAD, SCALE, (0.5, 1, 2, 4), (0.5, -0.2), seed=3)
    assert all((a.centre_ijk == b.centre_ijk).all() for a, b in zip(LESIONS, again, strict=True))


def test_through_cubic_small_lesions_fade_and_large_ones_stay() -> None:
    def back(image: Volume) -> np.ndarray:
        return resample(degrade(image, 2.0, named_degradation("slice")), HEAD.grid).data

    found = Comparison(HEAD, LESIONS, SCALE).of(back(with_lesions(HEAD, LESIONS)) - back(HEAD))
    kept = {lesion.diameter: one.contrast for lesion, one in zip(LESIONS, found, strict=True)}
    assert kept[0.5] < kept[1] < kept[2] < kept[4] and kept[0.5] < 0.3 and kept[4] > 0.8


@pytest.mark.parametrize(
    ("contrasts", "smallest"),
    [
        ({0.5: 0.9, 1: 0.95}, 0.5),
        ({0.5: 0.1, 1: 0.2}, None),
        ({0.5: 0.6, 1: 0.4, 2: 0.6, 4: 1}, 1.5),  # a size that fails in between does count
    ],
)
def test_the_smallest_that_survives(contrasts: dict, smallest: float | None) -> None:
    assert smallest_surviving(contrasts, 0.5) == pytest.approx(smallest)
