"""What cannot be used is told at once; what is on both sides is found out."""

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tests.phantoms import smooth, volume

from arssr.errors import ArSSRError
from arssr.files import sha256
from arssr.survey import named, require_apart, require_intensities, settle, survey
from arssr.volume import Volume

GOOD = smooth((12, 13, 14))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One image that can be used, and one of every kind that cannot."""
    volume(GOOD).write(tmp_path / "good.nii.gz")
    volume(0 * GOOD + 7).write(tmp_path / "constant.nii")
    volume(GOOD[:5]).write(tmp_path / "small.nii")
    volume(np.rint(GOOD)).write(tmp_path / "a_dseg.nii")
    nib.save(nib.Nifti1Image(np.stack([GOOD] * 3, -1), np.eye(4)), tmp_path / "frames.nii")
    nib.save(nib.Nifti1Image(GOOD * np.nan, np.eye(4)), tmp_path / "nan.nii")
    (tmp_path / "cut.nii.gz").write_bytes((tmp_path / "good.nii.gz").read_bytes()[:500])
    return tmp_path


def require(path: Path) -> Volume:
    return require_intensities(path, 8, "to train on")


def test_every_image_that_cannot_be_used_is_named_with_its_reason(folder: Path) -> None:
    seen: list[None] = []
    images = named(sorted(folder.iterdir()))
    found, unusable = survey(images, require, lambda: seen.append(None))
    assert [image.name for image in found] == ["good.nii.gz"]
    assert len(seen) == len(images) == 7
    with pytest.raises(ArSSRError) as caught:
        settle(unusable, 7, skip=False)
    first, *lines = str(caught.value).splitlines()
    assert first == "6 of 7 images cannot be used; --skip-unusable leaves them out:"
    reasons = {
        "a_dseg": "holds labels, not intensities",
        "constant": "every voxel is 7, nothing to train on",
        "cut": "cannot be read",
        "frames": "4D image of 3 frames, and a 3D one is needed to train on",
        "nan": "NaN or infinite",
        "small": "too small to train on: 5×13×14, needs 8 voxels",
    }
    for line, (name, reason) in zip(lines, reasons.items(), strict=True):
        assert str(folder / name) in line and reason in line
        assert "--" not in line  # no option of another command


def test_what_cannot_be_used_is_left_out_where_that_is_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        settle(["a: bad", "b: bad"], 3, skip=True)
    assert caplog.messages == ["a: bad", "b: bad", "2 of 3 images cannot be used: left out"]
    settle([], 3, skip=False)
    with pytest.raises(ArSSRError, match=r"^1 of 1 image cannot be used:\n  a: bad$"):
        settle(["a: bad"], 1, skip=True)
    with pytest.raises(ArSSRError, match=r"and 150 more$"):
        settle(["bad"] * 200, 300, skip=False)


def test_a_file_that_is_known_is_not_read_again(folder: Path) -> None:
    path = folder / "nan.nii"
    known = {"samples_sha256": "digest", "look": {"roughness": 0.1, "peak": 0.2}}
    found, unusable = survey(named([path]), require, known={sha256(path): known})
    assert found[0].samples_sha256 == "digest" and found[0].look == known["look"]
    assert not unusable


def test_the_same_voxels_on_both_sides_are_found_out(folder: Path) -> None:
    good = folder / "good.nii.gz"
    copy = Volume.read(good).write(folder / "other" / "name.nrrd")
    other = volume(smooth((12, 13, 14), seed=1)).write(folder / "other" / "good.nii.gz")
    [ours], _ = survey(named([good]), require)
    theirs, _ = survey(named([copy, other]), require)
    with pytest.raises(ArSSRError, match=r"on both sides by their voxels: .*name\.nrrd is .*good"):
        require_apart([ours], theirs)
    require_apart([ours], theirs[1:])
