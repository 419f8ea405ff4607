"""What stands for an image in Python, and what an image becomes there."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from tests.phantoms import rotated, smooth

from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.volume import Storage, Volume, grid_of, open_frames

GRID = rotated(Grid((6, 7, 5), np.diag([1.0, 1.2, 3, 1])), (10, 20, 30))
DATA = (1000 * smooth(GRID.shape, sigma=1)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_an_image_of_simpleitk_is_the_one_in_its_file(suffix: str, tmp_path: Path) -> None:
    """Whatever axes and millimetres it has."""
    path = Volume(DATA, GRID).write(tmp_path / f"image{suffix}")
    image = sitk.ReadImage(str(path))
    found = Volume.coerce(image)
    np.testing.assert_array_equal(found.data, DATA)
    assert found.grid.matches(GRID, 1e-4) and grid_of(image).matches(GRID, 1e-4)


def test_to_simpleitk_and_back() -> None:
    scan = Volume(DATA, GRID)
    image = scan.to_sitk()
    assert image.GetSize() == GRID.shape and image.GetPixelIDValue() == sitk.sitkFloat32
    at = (2, 5, 1)
    assert image[at] == DATA[at]
    there = image.TransformIndexToPhysicalPoint(at)
    np.testing.assert_allclose(there * np.array([-1, -1, 1]), GRID.to_world(at), atol=1e-6)
    back = Volume.coerce(image)
    assert back.grid.matches(GRID) and back.data.tobytes() == scan.data.tobytes()


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (sitk.Image(9, 8, sitk.sitkFloat32), r"a 2D image \(9×8\)"),
        (sitk.Image([9, 8, 7], sitk.sitkVectorFloat32, 3), "holds 3 values"),
        (sitk.Image([9, 8, 7], sitk.sitkComplexFloat32), "no real numbers"),
        (sitk.Image([9, 8, 7, 2], sitk.sitkFloat32), "4D image"),
        ((np.zeros((4, 4)), np.eye(4)), r"a 2D image \(4×4\)"),
        ((np.zeros((4, 4, 4)), np.eye(3)), "an affine is a 4×4 matrix"),
        ((np.zeros((4, 4, 4)), "RAS"), "no array with an affine"),
        ((np.zeros((4, 4, 4)), np.zeros((4, 4))), "affine"),
        ((np.zeros((4, 4, 4), complex), np.eye(4)), "complex"),
        ((np.full((4, 4, 4), None), np.eye(4)), "no numbers"),
        ((np.full((4, 4, 4), np.nan), np.eye(4)), "NaN"),
        (np.zeros((4, 4, 4)), r"\(array, affine\), not ndarray"),
        ((1, 2, 3), "not tuple"),
        (None, "not NoneType"),
    ],
)
def test_what_is_no_3d_image_is_refused_in_a_sentence(image: Any, reason: str) -> None:
    with pytest.raises(ArSSRError, match=reason):
        Volume.coerce(image)


def test_an_image_of_vectors_has_a_grid() -> None:
    assert grid_of(sitk.Image([9, 8, 7], sitk.sitkVectorFloat32, 3)).shape == (9, 8, 7)


@pytest.mark.parametrize(
    "make", [np.asarray, np.asfortranarray, torch.from_numpy, np.ndarray.tolist]
)
def test_an_array_with_its_affine_is_an_image(make: Any) -> None:
    found = Volume.coerce((make(DATA), GRID.affine.tolist()))
    np.testing.assert_array_equal(found.data, DATA)
    assert found.grid == GRID and grid_of((DATA, GRID.affine)) == GRID


@pytest.mark.parametrize(
    ("dtype", "stored"), [("i2", "i2"), ("u1", "u1"), ("f8", "f4"), (bool, "u1"), (">f4", "f4")]
)
def test_an_array_is_stored_as_what_it_is(dtype: Any, stored: str, tmp_path: Path) -> None:
    scan = Volume.coerce(((DATA > 500).astype(dtype), GRID.affine))
    written = nib.load(scan.write(tmp_path / "a.nii"))
    assert written.get_data_dtype() == np.dtype(stored)
    np.testing.assert_array_equal(written.get_fdata(), DATA > 500)


def test_frames_of_what_is_in_memory() -> None:
    four = np.stack([DATA, 2 * DATA], axis=-1)
    itk = sitk.JoinSeries([Volume(d, GRID).to_sitk() for d in (DATA, 2 * DATA)])
    for image in ((four, GRID.affine), itk, nib.Nifti1Image(four, GRID.affine)):
        with open_frames(image) as frames:
            assert len(frames) == 2 and frames.grid.matches(GRID, 1e-4)
            np.testing.assert_array_equal(frames.frame(1).data, 2 * DATA)
            with pytest.raises(ArSSRError, match="the image: there is no frame 2"):
                frames.frame(2)
    scan = Volume(DATA, GRID, storage=Storage("i2", 2))
    with open_frames(scan) as frames:
        [one] = frames
    assert (one.storage, one.grid) == (scan.storage, scan.grid)


def test_an_image_is_an_array_for_numpy() -> None:
    scan = Volume(DATA, GRID)
    assert np.asarray(scan) is scan.data
    assert np.asarray(scan, np.float64).dtype == np.float64
    copy = np.array(scan)
    copy[:] = 0
    np.testing.assert_array_equal(scan.data, DATA)
    assert np.mean(scan) == DATA.mean()


def test_simpleitk_is_not_imported_to_find_out_that_it_is_not_used() -> None:
    code = "import sys, numpy as np; from arssr import Volume; "
    code += "Volume.coerce((np.ones((4, 4, 4)), np.eye(4))); assert 'SimpleITK' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_python_runs_the_package_as_the_command_line() -> None:
    words = [sys.executable, "-m", "arssr", "--version"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == __import__("arssr").__version__
