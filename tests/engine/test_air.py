"""Air is where nothing changes within two voxels; everything else is computed."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from arssr.api import load_model
from arssr.degradation import degrade, named_degradation
from arssr.engine import air
from arssr.evaluation.head import mni152_head
from arssr.evaluation.metrics import Reference
from arssr.interpolation import resample


def active_voxels(image: np.ndarray) -> np.ndarray:
    return air.active_voxels(torch.from_numpy(image))


images = arrays(
    np.float32,
    st.tuples(*[st.integers(1, 9)] * 3),
    elements=st.sampled_from([-0.5, 0.0, 0.004, 0.01, 0.0100001, 0.013, 1.0]),
)


@given(images, st.integers(1, 200))
def test_it_is_what_filters_find_however_many_voxels_are_looked_at_together(
    image: np.ndarray, together: int
) -> None:
    highest = ndimage.maximum_filter(image, size=5, mode="nearest")
    lowest = ndimage.minimum_filter(image, size=5, mode="nearest")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(air, "_TOGETHER", together)
        found = active_voxels(image)
    assert np.array_equal(found, highest - lowest > 0.01)


@pytest.mark.parametrize("background", [0.0, 0.3, -0.2])
def test_a_voxel_wakes_its_neighbours_two_away_along_every_axis(background: float) -> None:
    image = np.full((9, 10, 11), background, np.float32)
    image[4, 0, 10] += 0.5
    expected = np.zeros(image.shape, bool)
    expected[2:7, 0:3, 8:11] = True
    assert np.array_equal(active_voxels(image), expected)


def test_faint_structures_count_and_rounding_does_not() -> None:
    image = np.full((3, 3, 3), 0.4, np.float32)
    image[1, 1, 1] -= 0.002
    assert not active_voxels(image).any()
    image[1, 1, 1] -= 0.03
    assert active_voxels(image).all()


def test_noise_is_not_air() -> None:
    noise = np.abs(np.random.default_rng(0).normal(0, 0.01, (20, 20, 20))).astype(np.float32)
    assert active_voxels(noise).all()


@pytest.mark.parametrize(
    ("scale", "acquisition"), [(2.0, "slice"), (4.0, "slice"), (4.0, "kspace")]
)
def test_leaving_air_alone_changes_no_head_and_nothing_for_the_worse(
    scale: float, acquisition: str
) -> None:
    """With the weights that ship. What the network does to air is a bias of its own (some 0.1 % of
    the range, more at the faces of the image): without it the result is nearer to the truth.
    """
    pytest.importorskip("nilearn", reason="the head comes from nilearn")
    head = mni152_head()
    truth = resample(head, head.grid.with_shape([n // 2 for n in head.grid.shape]))
    scan = degrade(truth, scale, named_degradation(acquisition))
    model = load_model("light", "cpu", "float32")
    skipped, computed = (
        model.upsample(scan, like=truth, acquisition=acquisition, skip_air=skip)
        for skip in (True, False)
    )
    reference = Reference(truth)
    difference = (skipped.data - computed.data) / np.ptp(truth.data)
    assert decibels(difference[reference.head]) > 60
    assert decibels(difference) > 55
    assert reference.score(skipped)["psnr"] >= reference.score(computed)["psnr"]


@pytest.mark.slow
def test_over_a_whole_head_even_the_air_stays_what_it_was() -> None:
    """What is left of 0.3 % at the faces of the image, where few voxels lie."""
    pytest.importorskip("nilearn", reason="the head comes from nilearn")
    head = mni152_head()
    scan = degrade(head, 2.0, named_degradation("slice"))
    model = load_model("light", "cpu", "float32")
    skipped, computed = (
        model.upsample(scan, like=head, acquisition="slice", skip_air=skip).data
        for skip in (True, False)
    )
    assert decibels((skipped - computed) / np.ptp(head.data)) > 60


def decibels(difference: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        return float(-10 * np.log10(np.mean(np.square(difference, dtype=np.float64))))
