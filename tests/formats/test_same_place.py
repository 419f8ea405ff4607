"""One scan through every format that is read: every sample at the same millimetre."""

import shutil
import tempfile
from itertools import permutations
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from tests.formats.series import write_series

from arssr.files import image_suffixes
from arssr.grid import Grid
from arssr.volume import Storage, Volume

SHAPE = (5, 4, 3)
STORED = np.random.default_rng(0).permutation(60).astype(np.int16).reshape(SHAPE)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Oblique or straight, axes in any order, right- and left-handed."""
    turns = draw(st.just((0.0, 0.0, 0.0)) | st.tuples(*[st.floats(-180, 180)] * 3))
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turns, degrees=True).as_matrix()
    affine[:3, :3] = affine[:3, draw(st.sampled_from([*permutations(range(3))]))]
    affine[:3, :3] *= draw(st.tuples(*[st.floats(0.3, 6)] * 3))
    affine[:3, :3] *= draw(st.tuples(*[st.sampled_from((-1.0, 1.0))] * 3))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-200, 200)] * 3))
    return Grid(SHAPE, affine)


def in_every_format(grid: Grid, folder: Path) -> list[Path]:
    scan = Volume(STORED, grid, Storage("int16"))
    paths = [scan.write(folder / f"a{s}") for s in image_suffixes() if s != ".nhdr"]
    for number, kind in ((1, nib.Nifti1Image), (2, nib.Nifti2Image)):
        paths.append(folder / f"nifti{number}.nii")
        nib.save(kind(STORED, grid.affine), paths[-1])
    paths.append(folder / "detached.nhdr")
    sitk.WriteImage(sitk.ReadImage(str(folder / "a.nrrd")), str(paths[-1]))
    paths.append(folder / "dicom")
    write_series(paths[-1], STORED, grid)
    paths.append(Path(shutil.make_archive(str(folder / "archive"), "zip", paths[-1])))
    return paths


@pytest.mark.filterwarnings("ignore:The value length")  # of pydicom, decimals with many digits
@given(grids())
@settings(max_examples=20)
def test_the_same_scan_gives_the_same_millimetres(grid: Grid) -> None:
    index = np.moveaxis(np.indices(SHAPE), 0, -1)
    with tempfile.TemporaryDirectory() as folder:
        paths = in_every_format(grid, Path(folder))
        assert {p.suffix for p in paths} >= {
            ".nii",
            ".gz",
            ".zst",
            ".mgh",
            ".mgz",
            ".nrrd",
            ".nhdr",
        }
        for path in paths:
            found = Volume.read(path)
            at = found.grid.to_index(grid.to_world(index))  # DICOM sorts slices by place
            nearest = np.rint(at).astype(int)
            error_mm = np.abs(found.grid.to_world(nearest) - grid.to_world(index)).max()
            assert error_mm < 1e-3, (path.name, error_mm)
            np.testing.assert_array_equal(found.data[tuple(np.moveaxis(nearest, -1, 0))], STORED)
