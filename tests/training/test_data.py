"""Images as the training device holds them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from tests.phantoms import anatomy, smooth, volume, zero_filled

from arssr.errors import ArSSRError
from arssr.intensity import Normalisation
from arssr.training.data import Item, load_item, load_items, require_truth, sharp_truth


def test_half_precision_costs_no_more_than_noise_75_db_below_the_range() -> None:
    image = smooth((40, 40, 40), sigma=1)
    error = Item.of("x", image).image.numpy().astype(np.float64) - image
    assert 10 * np.log10(1 / np.mean(error**2)) > 75


def test_intensities_keep_their_units_where_asked(tmp_path: Path) -> None:
    """Also those that float16 cannot hold."""
    data = 90_000 * smooth((20, 22, 24), sigma=1) + 1000
    path = volume(data).write(tmp_path / "x.nii")
    raw, normalised = load_item(path, 8, normalise=False), load_item(path, 8)
    assert torch.equal(raw.image, normalised.image)
    np.testing.assert_allclose(raw.units.invert(raw.image.float().numpy()), data, atol=50)
    assert normalised.units == Normalisation.identity()


def test_a_spike_stays_a_finite_number() -> None:
    image = smooth((8, 8, 8))
    image[0, 0, 0] = 1e9
    assert torch.isfinite(Item.of("x", image).image).all()


def test_centres_lie_in_the_foreground() -> None:
    image = np.zeros((30, 30, 30), np.float32)
    image[5:25, 5:25, 5:25] = 1
    centres = Item.of("x", image).centres
    assert len(centres) == 4096 and (image[tuple(centres.T)] == 1).all()
    assert len(Item.of("x", 0 * image).centres) == 0


def test_what_cannot_be_trained_on_is_refused(tmp_path: Path) -> None:
    path = volume(smooth((20, 7, 24))).write(tmp_path / "x.nii")
    with pytest.raises(ArSSRError, match=r"x.nii is too small to train on: 20×7×24, needs 8"):
        load_items([path], 8)
    with pytest.raises(ArSSRError, match="no images to train on"):
        load_items([], 8)


def test_labels_are_nothing_to_train_on(tmp_path: Path) -> None:
    """A folder of scans may hold their masks too."""
    path = volume(np.rint(smooth((20, 20, 20)))).write(tmp_path / "sub-01_dseg.nii")
    for normalise in (True, False):
        with pytest.raises(ArSSRError, match=r"sub-01_dseg\.nii: holds labels, not intensities"):
            load_item(path, 8, normalise)


def test_an_image_is_cut_to_its_own_band_and_soft_axes_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sharp = anatomy((72, 64, 64))
    path = volume(zero_filled(sharp, 0, 0.6)).write(tmp_path / "filled.nii.gz")
    assert 43 <= load_item(path, 8).image.shape[0] <= 48
    assert load_item(path, 8, normalise=False).image.shape[0] == 72
    blurred = ndimage.gaussian_filter1d(sharp, 1.7, axis=1)
    item = load_item(volume(blurred).write(tmp_path / "soft.nii.gz"), 8)
    assert item.thick_axes == (0, 2) and item.image.shape == (72, 64, 64)
    assert "soft.nii.gz: soft along j" in caplog.text


def test_a_look_at_an_image_warns_of_nothing_that_reading_it_will(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each axis that is soft was told of twice by `train`, three times by `prepare`."""
    blurred = ndimage.gaussian_filter1d(anatomy((72, 64, 40)), 1.7, axis=1)
    path = volume(blurred).write(tmp_path / "soft.nii.gz")
    require_truth(path, 24)
    assert caplog.text == ""
    load_item(path, 24)
    assert caplog.text.count("soft along j") == 1


def test_patches_are_taken_as_they_are() -> None:
    patch = volume(zero_filled(anatomy((40, 40, 40)), 0, 0.6))
    assert sharp_truth(patch, "patch")[0] is patch
