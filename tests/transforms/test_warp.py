"""Fields of vectors, against SimpleITK where it defines them and closed forms elsewhere; on oblique
grids, with rotations, in both directions.
"""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from tests.phantoms import rotated, smooth
from tests.registrations import (
    RIGID,
    STRETCHED,
    as_sitk_maps,
    displacements,
    moved,
    sitk_vectors,
    sitk_warp,
)

from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.transforms.transform import Transform
from arssr.transforms.warp import read_warp

GRID = rotated(Grid((15, 16, 17), np.diag([-3.0, 2.5, 3.5, 1])), (12, -8, 20))
INSIDE = GRID.to_world(np.random.default_rng(3).uniform(0, 14, (40, 3)))
BESIDE = GRID.to_world([[-0.7, 3, 3], [3, 15.6, 3], [99, 99, 99]])


def nifti(
    path: Path,
    vectors: np.ndarray,
    intent: int = 1007,
    name: str = "",
    description: str = "",
    p1: float = 0,
    grid: Grid = GRID,
) -> Path:
    image = nib.Nifti1Image(np.asarray(vectors, np.float32), grid.affine)
    image.header["intent_code"], image.header["intent_name"] = intent, name
    image.header["descrip"], image.header["intent_p1"] = description, p1
    nib.save(image, path)
    return path


def five_d(vectors: np.ndarray) -> np.ndarray:
    return vectors[:, :, :, None]


def places_of(matrix: np.ndarray, grid: Grid = GRID) -> np.ndarray:
    """(I, J, K, 3) where a linear map leads."""
    here = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    return here @ matrix[:3, :3].T + matrix[:3, 3]


# --- ITK's ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("intent", [1006, 1007])
def test_vectors_of_nifti_are_what_itk_reads_in_the_file(intent: int, tmp_path: Path) -> None:
    path = nifti(tmp_path / "w.nii.gz", five_d(displacements(GRID)), intent)
    image = sitk.ReadImage(str(path), sitk.sitkVectorFloat64)
    itk = sitk.DisplacementFieldTransform(image)
    points = np.concatenate([INSIDE, BESIDE])
    np.testing.assert_allclose(read_warp(path).map(points), as_sitk_maps(itk, points), atol=1e-4)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "mha", "mhd"])
@pytest.mark.parametrize("packed", [False, True])
def test_what_itk_writes_is_read_in_every_format(suffix: str, packed: bool, tmp_path: Path) -> None:
    itk, _ = sitk_warp(GRID)
    image = sitk.Cast(itk.GetDisplacementField(), sitk.sitkVectorFloat32)
    path = tmp_path / f"w.{suffix}"
    sitk.WriteImage(image, str(path), useCompression=packed)
    np.testing.assert_allclose(read_warp(path).map(INSIDE), as_sitk_maps(itk, INSIDE), atol=1e-4)


def test_scaled_integers_are_vectors_in_millimetres(tmp_path: Path) -> None:
    vectors = np.rint(100 * displacements(GRID))
    image = nib.Nifti1Image(five_d(vectors).astype(np.int16), GRID.affine)
    image.header["intent_code"] = 1006
    image.header.set_slope_inter(0.01, 0)
    nib.save(image, tmp_path / "w.nii")
    expected = GRID.to_world([[3, 4, 5]]) + vectors[3, 4, 5] / 100
    warp = read_warp(tmp_path / "w.nii")
    np.testing.assert_allclose(warp.map(GRID.to_world([[3, 4, 5]])), expected, atol=1e-4)


def test_a_large_rotation_is_no_reason_to_refuse_displacements(tmp_path: Path) -> None:
    for axis in np.eye(3):
        for degrees in (60, 90, 180):
            itk = sitk.VersorRigid3DTransform()
            itk.SetRotation(axis.tolist(), np.radians(degrees))
            expected = as_sitk_maps(itk, places_of(np.eye(4)).reshape(-1, 3))
            vectors = expected.reshape(*GRID.shape, 3) - places_of(np.eye(4))
            lps = sitk_vectors((vectors * [-1, -1, 1]).astype(np.float32), GRID)
            sitk.WriteImage(lps, str(tmp_path / "w.nii"))
            found = read_warp(tmp_path / "w.nii").map(INSIDE)
            np.testing.assert_allclose(found, as_sitk_maps(itk, INSIDE), atol=1e-3)


# --- places --------------------------------------------------------------------------------------

MARKS = {
    "SPM's segmentation": {"intent": 0, "description": "Deformation"},
    "its inverse": {"intent": 0, "description": "Inverse Deformation"},
    "SPM's tool": {"name": "Mapping", "description": "Deformation field"},
    "SPM's shoot": {"intent": 0, "description": "Deformation (templ. to. ind.)"},
    "the name alone": {"name": "Mapping"},
    "NiftyReg": {"name": "NREG_TRANS", "p1": 0},
}


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("matrix", [STRETCHED, np.linalg.inv(STRETCHED)], ids=["there", "back"])
def test_places_are_read_as_places(mark: str, matrix: np.ndarray, tmp_path: Path) -> None:
    path = nifti(tmp_path / "y.nii", five_d(places_of(matrix)), **MARKS[mark])
    np.testing.assert_allclose(read_warp(path).map(INSIDE), moved(matrix, INSIDE), atol=1e-3)


def test_displacements_of_niftyreg_are_ras(tmp_path: Path) -> None:
    vectors = places_of(RIGID) - places_of(np.eye(4))
    path = nifti(tmp_path / "d.nii.gz", five_d(vectors), name="NREG_TRANS", p1=1)
    np.testing.assert_allclose(read_warp(path).map(INSIDE), moved(RIGID, INSIDE), atol=1e-3)


def test_places_are_unknown_beyond_their_grid_and_where_they_are_nan(tmp_path: Path) -> None:
    """There is air: SPM's own resampling leaves NaN."""
    places = places_of(RIGID)
    places[:5] = np.nan
    warp = read_warp(nifti(tmp_path / "iy.nii", five_d(places), description="Deformation"))
    assert np.isnan(warp.map(BESIDE)).all()
    assert np.isnan(warp.map(GRID.to_world([[2, 8, 8]]))).all()
    assert (Transform((warp,)).map(BESIDE) > 1e5).all()
    known = GRID.to_world([[9, 8, 8]])
    np.testing.assert_allclose(warp.map(known), moved(RIGID, known), atol=1e-3)


# --- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vectors", "mark", "reason"),
    [
        (displacements(GRID), {}, "five dimensions"),  # as FSL's, MRtrix's, FreeSurfer's
        (displacements(GRID)[..., None], {}, "five dimensions"),
        (five_d(displacements(GRID)).repeat(2, axis=3), {}, "five dimensions"),
        (five_d(displacements(GRID))[..., :2], {}, "five dimensions"),
        (five_d(displacements(GRID)), {"intent": 0}, "does not say"),  # as AFNI's, BrainSuite's
        (five_d(displacements(GRID)), {"intent": 2006}, "does not say"),
        (five_d(displacements(GRID)), {"intent": 0, "description": "Flow Field"}, "Flow Field"),
        (five_d(displacements(GRID)), {"intent": 0, "description": "Velocity (1)"}, "Velocity"),
        *(
            (five_d(places_of(RIGID)), {"name": "NREG_TRANS", "p1": p1}, "of NiftyReg")
            for p1 in range(2, 8)
        ),
        (five_d(places_of(RIGID)), {}, "look like places"),
        (five_d(places_of(RIGID)), {"intent": 1006}, "look like places"),
        (five_d(places_of(RIGID) * [-1, -1, 1]), {}, "look like places"),  # in LPS
        (five_d(displacements(GRID)), {"name": "Mapping"}, "into a plane"),
        (five_d(places_of(RIGID)), {"name": "NREG_TRANS", "p1": 1}, "look like places"),
        (five_d(displacements(GRID) * np.nan), {}, "NaN"),
        (five_d(displacements(GRID) * np.inf), {"name": "Mapping"}, "NaN or infinite"),
    ],
)
def test_what_is_not_marked_or_contradicts_its_mark_is_refused(
    vectors: np.ndarray, mark: dict, reason: str, tmp_path: Path
) -> None:
    path = nifti(tmp_path / "w.nii.gz", vectors, **mark)
    with pytest.raises(ArSSRError, match=reason):
        read_warp(path)


def test_freesurfers_warps_are_refused_by_name(tmp_path: Path) -> None:
    nib.save(nib.MGHImage(displacements(GRID), GRID.affine), tmp_path / "w.mgz")
    with pytest.raises(ArSSRError, match="mri_warp_convert"):
        read_warp(tmp_path / "w.mgz")


@pytest.mark.parametrize("suffix", ["nrrd", "mha"])
def test_an_image_without_vectors_is_no_warp(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w.{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(smooth((4, 5, 6))), str(path))
    with pytest.raises(ArSSRError, match="no field of vectors"):
        read_warp(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"left-posterior-superior", b"right-anterior-superior"),
        (b"endian: little", b"endian: little\nmeasurement frame: (0,1,0) (1,0,0) (0,0,1)"),
    ],
)
def test_vectors_of_nrrd_in_other_coordinates_are_refused(
    old: bytes, new: bytes, tmp_path: Path
) -> None:
    """SimpleITK turns the grid, but not the vectors."""
    itk, _ = sitk_warp(GRID)
    path = tmp_path / "w.nrrd"
    sitk.WriteImage(itk.GetDisplacementField(), str(path), useCompression=False)
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(ArSSRError, match=r"only vectors in the space|measurement frame"):
        read_warp(path)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "mha"])
@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.99])
def test_a_field_cut_short_is_refused(suffix: str, share: float, tmp_path: Path) -> None:
    itk, _ = sitk_warp(GRID)
    path = tmp_path / f"w.{suffix}"
    sitk.WriteImage(itk.GetDisplacementField(), str(path), useCompression=True)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ArSSRError, match="cannot be read"):
        read_warp(path)


def test_a_wrong_check_sum_is_noticed(tmp_path: Path) -> None:
    path = nifti(tmp_path / "w.nii.gz", five_d(displacements(GRID)))
    content = bytearray(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=0))
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(ArSSRError, match="field of vectors"):
        read_warp(path)
    image = sitk_vectors(displacements(GRID) * [-1, -1, 1], GRID)
    sitk.WriteImage(image, str(tmp_path / "w.nrrd"), useCompression=True)
    header, _, packed = (tmp_path / "w.nrrd").read_bytes().partition(b"\n\n")
    content = bytearray(gzip.compress(gzip.decompress(packed), compresslevel=0))
    content[len(content) // 2] ^= 0x40
    (tmp_path / "w.nrrd").write_bytes(header + b"\n\n" + content)
    with pytest.raises(ArSSRError, match="field of vectors"):
        read_warp(tmp_path / "w.nrrd")
