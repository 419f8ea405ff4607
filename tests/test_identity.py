"""The same samples are recognised, however they are stored."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.phantoms import smooth, volume

from arssr.identity import is_among, samples_sha256
from arssr.volume import Volume

WHOLE = np.rint(1000 * smooth((6, 7, 8)) - 300)


@given(st.permutations(range(3)), st.sets(st.integers(0, 2)), st.sampled_from(["i2", "f4", "f8"]))
def test_axes_directions_and_types_do_not_count(axes: list[int], flips: set[int], to: str) -> None:
    stored = np.flip(WHOLE.transpose(axes), tuple(flips)).astype(to)
    assert samples_sha256(stored) == samples_sha256(WHOLE)


def test_no_other_image_is_taken_for_it() -> None:
    other = WHOLE.copy()
    other[1, 2, 3] += 1
    for data in (other, WHOLE[:-1], WHOLE.reshape(12, 7, 4), np.zeros_like(WHOLE)):
        assert samples_sha256(data) != samples_sha256(WHOLE)


def test_a_zero_is_a_zero() -> None:
    zeros = np.zeros((2, 2, 2))
    assert samples_sha256(-zeros) == samples_sha256(zeros)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mgz", "a.mha"])
def test_a_copy_in_another_format_is_the_same_image(name: str, tmp_path: Path) -> None:
    path = volume(WHOLE, np.diag([-1, -1, 2.0, 1])).write(tmp_path / name)
    assert samples_sha256(Volume.read(path).data) == samples_sha256(WHOLE)


def test_a_scaled_integer_is_the_float_that_it_stands_for(tmp_path: Path) -> None:
    image = nib.Nifti1Image(WHOLE.astype(np.int16), np.eye(4))
    image.header.set_slope_inter(0.37, -12.5)
    nib.save(image, tmp_path / "a.nii")
    nib.save(
        nib.Nifti1Image(nib.load(tmp_path / "a.nii").get_fdata(), np.eye(4)), tmp_path / "b.nii"
    )
    a, b = (samples_sha256(Volume.read(tmp_path / f"{n}.nii").data) for n in "ab")
    assert a == b


def test_an_image_is_known_by_its_file_or_its_samples() -> None:
    card = [{"name": "x", "sha256": "f"}, {"name": "y", "sha256": "g", "samples_sha256": "s"}]
    assert is_among(card, "f", "?") and is_among(card, "?", "s")
    assert not is_among(card, "?", "?") and not is_among([], "f", "s")
