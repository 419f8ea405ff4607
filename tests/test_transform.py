"""Every format says the same millimetres, in the pull direction; SimpleITK is the witness."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation
from tests.engine.thin import lively_network
from tests.phantoms import rotated, smooth, tiny_network, volume

from arssr.antialias import averaging_matrix
from arssr.errors import ArSSRError
from arssr.field import VoxelField
from arssr.formats.slices import Slices
from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.labels import upsample_labels
from arssr.transform import (
    Affine,
    Displacement,
    Transform,
    load_transform,
    resample_through,
    slabs_through,
)
from arssr.volume import Volume

MOVING = rotated(Grid((12, 13, 11), np.diag([-1.0, 1.1, 1.3, 1])), (10, 5, -20))
REFERENCE = rotated(Grid((10, 9, 12), np.diag([1.2, 1, 0.9, 1])), (0, -15, 8))
RIGID = np.eye(4)
RIGID[:3, :3] = Rotation.from_euler("xyz", [8, -5, 12], degrees=True).as_matrix()
RIGID[:3, 3] = 3.25, -7.5, 11
STRETCHED = RIGID @ np.diag([1.1, 0.9, 1.05, 1])
LPS = np.diag([-1.0, -1, 1, 1])
POINTS = np.random.default_rng(0).uniform(-40, 40, (50, 3))


def moved(matrix: np.ndarray) -> np.ndarray:
    return POINTS @ matrix[:3, :3].T + matrix[:3, 3]


def image_on(grid: Grid) -> nib.Nifti1Image:
    return nib.Nifti1Image(np.zeros(grid.shape, np.float32), grid.affine)


def sitk_affine(matrix: np.ndarray, centre: tuple = (5.0, -3.0, 2.0)) -> sitk.AffineTransform:
    """The same map in ITK's terms, with a centre, for files have one."""
    lps = LPS @ matrix @ LPS
    affine = sitk.AffineTransform(3)
    affine.SetMatrix(lps[:3, :3].ravel().tolist())
    affine.SetCenter(centre)
    c = np.array(centre)
    affine.SetTranslation((lps[:3, 3] - c + lps[:3, :3] @ c).tolist())
    return affine


def sitk_warp(grid: Grid, seed: int = 0) -> tuple[sitk.DisplacementFieldTransform, Displacement]:
    """A smooth warp of some millimetres, in both worlds."""
    ras = np.stack([4 * smooth(grid.shape, seed + a, sigma=2) - 2 for a in range(3)])
    lps = np.ascontiguousarray((ras * [[[[-1]]], [[[-1]]], [[[1]]]]).transpose(3, 2, 1, 0))
    image = sitk.GetImageFromArray(lps.astype(np.float64), isVector=True)
    affine = LPS @ grid.affine
    image.SetSpacing(grid.spacing_mm.tolist())
    image.SetDirection((affine[:3, :3] / grid.spacing_mm).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return sitk.DisplacementFieldTransform(image), Displacement(ras.astype(np.float32), grid)


def as_sitk_maps(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    lps = points * [-1, -1, 1]
    return np.array([transform.TransformPoint(p) for p in lps.tolist()]) * [-1, -1, 1]


# --- formats -------------------------------------------------------------------------------------


def through_nitransforms(fmt: str) -> Callable[[np.ndarray, Path], None]:
    def write(matrix: np.ndarray, path: Path) -> None:
        import nitransforms

        affine = nitransforms.Affine(matrix, reference=image_on(REFERENCE))
        affine.to_filename(str(path), fmt=fmt, moving=image_on(MOVING))

    return write


def through_sitk(matrix: np.ndarray, path: Path) -> None:
    sitk.WriteTransform(sitk_affine(matrix), str(path))


WRITERS = {
    "itk.txt": through_nitransforms("itk"),
    "itk.mat": through_nitransforms("itk"),
    "flirt.mat": through_nitransforms("fsl"),
    "free.lta": through_nitransforms("fs"),
    "sitk.tfm": through_sitk,
    "sitk.h5": through_sitk,
    "sitk.mat": through_sitk,
}


@pytest.mark.parametrize("name", WRITERS)
def test_an_affine_is_the_same_millimetres_in_every_format(name: str, tmp_path: Path) -> None:
    WRITERS[name](STRETCHED, tmp_path / name)
    transform = load_transform(tmp_path / name, MOVING, REFERENCE)
    np.testing.assert_allclose(transform.map(POINTS), moved(STRETCHED), atol=1e-3)
    assert transform.matrix is not None


def test_flirt_counts_from_the_corner_of_flipped_images(tmp_path: Path) -> None:
    """By hand: flirt's millimetres are voxels times spacing, i reversed where the affine is RAS."""

    def to_flirt(grid: Grid) -> np.ndarray:
        scaled = np.diag([*grid.spacing_mm, 1])
        if np.linalg.det(grid.affine) > 0:
            flip = np.diag([-1.0, 1, 1, 1])
            flip[0, 3] = (grid.shape[0] - 1) * grid.spacing_mm[0]
            scaled = flip @ scaled
        return scaled @ np.linalg.inv(grid.affine)

    forwards = to_flirt(REFERENCE) @ np.linalg.inv(STRETCHED) @ np.linalg.inv(to_flirt(MOVING))
    np.savetxt(tmp_path / "flirt.mat", forwards)
    transform = load_transform(tmp_path / "flirt.mat", MOVING, REFERENCE)
    np.testing.assert_allclose(transform.map(POINTS), moved(STRETCHED), atol=1e-4)


@pytest.mark.parametrize("kind", ["rigid", "translation", "similarity"])
def test_all_of_itks_linear_transforms_are_known(kind: str, tmp_path: Path) -> None:
    itk = {
        "rigid": lambda: sitk.Euler3DTransform((1.0, 2, 3), 0.1, -0.2, 0.3, (4.0, 5, 6)),
        "translation": lambda: sitk.TranslationTransform(3, (4.0, 5, 6)),
        "similarity": lambda: sitk.Similarity3DTransform(1.2, (0.0, 1, 0), 0.3, (4.0, 5, 6)),
    }[kind]()
    sitk.WriteTransform(itk, str(tmp_path / "t.tfm"))
    transform = load_transform(tmp_path / "t.tfm", MOVING, REFERENCE)
    np.testing.assert_allclose(transform.map(POINTS), as_sitk_maps(itk, POINTS), atol=1e-6)


def test_composites_of_affine_and_warp_are_as_itk_has_them(tmp_path: Path) -> None:
    warp, _ = sitk_warp(rotated(Grid((30, 31, 32), np.diag([3.0, 3, 3, 1])), (5, 6, 7)))
    composite = sitk.CompositeTransform([sitk_affine(RIGID), warp, sitk_affine(STRETCHED)])
    sitk.WriteTransform(composite, str(tmp_path / "c.h5"))
    transform = load_transform(tmp_path / "c.h5", MOVING, REFERENCE)
    assert transform.matrix is None
    np.testing.assert_allclose(transform.map(POINTS), as_sitk_maps(composite, POINTS), atol=1e-4)


def test_of_several_files_a_point_takes_the_last_first(tmp_path: Path) -> None:
    """As antsApplyTransforms -t warp -t affine: affine, then warp."""
    warp, displacement = sitk_warp(Grid((40, 40, 40), np.diag([3.0, 3, 3, 1])))
    field = displacement.components.transpose(1, 2, 3, 0)[:, :, :, None] * [-1, -1, 1]
    image = nib.Nifti1Image(field.astype(np.float32), displacement.grid.affine)
    image.header.set_intent("vector")
    nib.save(image, tmp_path / "warp.nii.gz")
    through_sitk(RIGID, tmp_path / "affine.mat")
    both = [tmp_path / "warp.nii.gz", tmp_path / "affine.mat"]
    expected = as_sitk_maps(warp, moved(RIGID))
    np.testing.assert_allclose(
        load_transform(both, MOVING, REFERENCE).map(POINTS), expected, atol=1e-4
    )
    assert np.abs(load_transform(both[::-1], MOVING, REFERENCE).map(POINTS) - expected).max() > 0.1


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("gone.mat", None, "no such transform"),
        ("words.txt", b"once upon a time", "not a transform"),
        ("bytes.mat", bytes(range(256)), "not a transform"),
        ("empty.h5", b"", "not a transform"),
        ("half.lta", b"type = 1\nnxforms = 1\n", "not a transform"),
        ("three.mat", b"1 0 0\n0 1 0\n0 0 1\n", "not a transform"),
    ],
)
def test_what_is_no_transform_is_refused(
    name: str, content: bytes | None, reason: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ArSSRError, match=reason):
        load_transform(tmp_path / name, MOVING, REFERENCE)


def test_warps_of_other_programs_and_splines_are_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 3), np.float32), np.eye(4)), tmp_path / "fnirt.nii")
    with pytest.raises(ArSSRError, match="five dimensions"):
        load_transform(tmp_path / "fnirt.nii", MOVING, REFERENCE)
    sitk.WriteTransform(sitk.BSplineTransform(3), str(tmp_path / "spline.h5"))
    with pytest.raises(ArSSRError, match="displacement field first"):
        load_transform(tmp_path / "spline.h5", MOVING, REFERENCE)


# --- reading a field through a transform ---------------------------------------------------------


def field_on(grid: Grid) -> VoxelField:
    return VoxelField(
        lively_network("light", "residual"),
        Volume(smooth(grid.shape, sigma=1), grid),
        Normalisation.identity(),
    )


def nowhere(grid: Grid, shift_mm: tuple = (0.0, 0.0, 0.0)) -> Transform:
    """A displacement field that is the same everywhere."""
    field = np.ones((3, 50, 50, 50), np.float32) * np.reshape(shift_mm, (3, 1, 1, 1))
    around = np.diag([3.0, 3, 3, 1])
    around[:3, 3] = grid.to_world((np.array(grid.shape) - 1) / 2) - 75
    return Transform((Displacement(field.astype(np.float32), Grid((50, 50, 50), around)),))


def test_the_identity_is_the_field_itself() -> None:
    field = field_on(MOVING)
    grid = MOVING.scaled((2, 1.4, 1))
    expected = field.on(grid).data
    identity = Transform((Affine(np.eye(4)),))
    np.testing.assert_array_equal(resample_through(field, identity, grid).data, expected)
    dense = resample_through(field, nowhere(grid), grid, samples=1)
    assert dense.grid == grid
    np.testing.assert_allclose(dense.data, expected, atol=2e-4)


def test_what_a_transform_moved_has_not_the_slices_of_the_scan() -> None:
    """Not even on a grid equal to the scan's own, as that of a follow-up scan may be."""
    field = field_on(MOVING)
    field.volume = replace(field.volume, slices=Slices(2, 3.0, 4.0))
    assert field.on(MOVING).slices == Slices(2, 3.0, 4.0)
    still = Transform((Affine(np.eye(4)),))
    assert resample_through(field, still, MOVING).slices is None
    labels = replace(field.volume, data=np.ones(MOVING.shape))
    assert upsample_labels(labels, MOVING).slices == Slices(2, 3.0, 4.0)
    assert upsample_labels(labels, MOVING, still).slices is None


def test_an_equal_displacement_everywhere_is_a_translation() -> None:
    field, shift = field_on(MOVING), (1.5, -0.75, 2.25)
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    by_field = resample_through(field, nowhere(MOVING, shift), MOVING.scaled(1.5), samples=1)
    by_matrix = resample_through(field, Transform((Affine(matrix),)), MOVING.scaled(1.5))
    np.testing.assert_allclose(by_field.data, by_matrix.data, atol=2e-4)


def blob_at(point_mm: np.ndarray, grid: Grid) -> Volume:
    points = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    return Volume(np.exp(-0.5 * ((points - point_mm) ** 2).sum(-1) / 1.6**2), grid)


def centre_mm(image: Volume) -> np.ndarray:
    points = image.grid.to_world(np.moveaxis(np.indices(image.grid.shape), 0, -1))
    weight = image.data.astype(np.float64)[..., None]
    return (weight * points).sum((0, 1, 2)) / weight.sum()


@pytest.mark.parametrize("warped", [False, True], ids=["affine", "warp"])
def test_the_reference_point_gets_what_lies_where_it_is_sent(warped: bool) -> None:
    """The pull direction: a blob at T(p) of the moving scan appears at p."""
    network = tiny_network()
    torch.nn.init.zeros_(network.decoder.last.weight)  # type: ignore[union-attr, arg-type]
    grid = Grid((30, 30, 30), np.eye(4))
    p, steps = np.array([14.0, 16, 13]), [Affine(RIGID)]
    back = np.eye(4)
    back[:3, 3] = p - (RIGID @ [*p, 1])[:3] + [2, -1, 1]  # keeps it within the scan
    transform = Transform((*steps, Affine(back), *(nowhere(grid).steps if warped else ())))
    moving = blob_at(transform.map(p), grid)
    field = VoxelField(network, moving, Normalisation.identity())
    found = centre_mm(resample_through(field, transform, grid))
    np.testing.assert_allclose(found, p, atol=0.05)
    assert np.linalg.norm(centre_mm(moving) - p) > 2


def test_where_the_transform_leaves_the_scan_there_is_air() -> None:
    field = VoxelField(
        tiny_network(), volume(500 + smooth((6, 6, 6))), Normalisation(offset=-7, scale=900)
    )
    away = resample_through(field, nowhere(field.grid, (40, 0, 0)), field.grid)
    np.testing.assert_allclose(away.data, -7, rtol=1e-5)


def test_a_turned_voxel_is_the_average_of_its_parts() -> None:
    field, grid = field_on(MOVING), MOVING.scaled(1.3)
    transform = Transform((Affine(RIGID),))
    there = Grid(grid.shape, RIGID @ grid.affine)
    assert there.axis_positions_in(MOVING) is None
    once = resample_through(field, transform, grid, samples=1)
    np.testing.assert_allclose(once.data, field.on(there).data, atol=2e-4)
    fine = field.on(there.scaled(2)).data
    matrices = [averaging_matrix(n, 2) for n in grid.shape]
    expected = np.einsum("ijk,ai,bj,ck->abc", fine, *matrices, optimize=True)
    np.testing.assert_allclose(resample_through(field, transform, grid).data, expected, atol=2e-4)


def test_a_coarse_reference_is_averaged_down() -> None:
    field = field_on(Grid((16, 16, 16), np.eye(4)))
    coarse = field.grid.with_spacing((2, 1, 3))
    result = resample_through(field, nowhere(coarse), coarse, samples=1)
    fine = field.on(coarse.scaled((2, 1, 3))).data
    matrices = [averaging_matrix(n, p) for n, p in zip(coarse.shape, (2, 1, 3), strict=True)]
    expected = np.einsum("ijk,ai,bj,ck->abc", fine, *matrices, optimize=True)
    np.testing.assert_allclose(result.data, expected, atol=2e-4)


def test_slabs_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    field, told = field_on(MOVING), list[float]()
    transform = nowhere(MOVING, (0.5, 0.25, 0))
    whole = resample_through(field, transform, MOVING, samples=1).data
    monkeypatch.setattr("arssr.transform._SLAB_POINTS", 400)
    slabs = [*slabs_through(field, transform, MOVING, 1, lambda _what, share: told.append(share))]
    assert len(slabs) > 3 and told[-1] == 1
    np.testing.assert_allclose(np.concatenate(slabs, axis=-1), whole, atol=1e-5)


def test_displacements_are_linear_between_their_grid_and_none_outside() -> None:
    _, displacement = sitk_warp(Grid((8, 8, 8), np.eye(4)))
    inner = np.random.default_rng(1).uniform(0, 7, (20, 3))
    expected = np.stack(
        [ndimage.map_coordinates(c, inner.T, order=1) for c in displacement.components], -1
    )
    np.testing.assert_allclose(displacement.map(inner) - inner, expected, atol=1e-6)
    outer = np.array([[-0.6, 3, 3], [3, 7.6, 3], [99, 99, 99]])
    np.testing.assert_array_equal(displacement.map(outer), outer)
