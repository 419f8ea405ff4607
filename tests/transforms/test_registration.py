"""Every format says the same millimetres, in the pull direction; SimpleITK is the witness."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy.io import savemat
from tests.phantoms import rotated
from tests.registrations import (
    MOVING,
    POINTS,
    REFERENCE,
    RIGID,
    STRETCHED,
    as_sitk_maps,
    displacements,
    moved,
    sitk_affine,
    sitk_vectors,
    sitk_warp,
)

from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.transforms.registration import load_transform


def image_on(grid: Grid) -> nib.Nifti1Image:
    return nib.Nifti1Image(np.zeros(grid.shape, np.float32), grid.affine)


def rows(matrix: np.ndarray) -> str:
    return "\n".join(" ".join(f"{v:.12e}" for v in row) for row in matrix)


def volume_info(grid: Grid, valid: bool = True) -> str:
    """A volume as an .lta describes it: the centre counts, of FreeSurfer's kind."""
    axes = (grid.affine[:3, :3] / grid.spacing_mm).T
    centre = grid.to_world(np.array(grid.shape) / 2)
    lines = [f"valid = {int(valid)}", "filename = x", "volume = {} {} {}".format(*grid.shape)]
    lines += ["voxelsize = " + " ".join(map(str, grid.spacing_mm))]
    lines += [
        f"{name}ras = " + " ".join(map(str, v))
        for name, v in zip("xyzc", (*axes, centre), strict=True)
    ]
    return "\n".join(lines) + "\n"


def lta(kind: int, matrix: np.ndarray, src: Grid, dst: Grid, valid: bool = True) -> str:
    return (
        f"type      = {kind}\nnxforms   = 1\nmean      = 0 0 0\nsigma     = 1.0\n1 4 4\n"
        f"{rows(matrix)}\nsrc volume info\n{volume_info(src, valid)}"
        f"dst volume info\n{volume_info(dst, valid)}"
    )


def of_freesurfer(kind: int) -> Callable[[np.ndarray, Path], None]:
    def write(matrix: np.ndarray, path: Path) -> None:
        push = np.linalg.inv(matrix)  # from the moving scan to the reference
        if kind == 0:  # in voxels
            push = np.linalg.inv(REFERENCE.affine) @ push @ MOVING.affine
        path.write_text(lta(kind, push, MOVING, REFERENCE))

    return write


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
    "ras.lta": of_freesurfer(1),
    "vox.LTA": of_freesurfer(0),
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


@pytest.mark.parametrize("suffix", ["h5", "tfm"])
def test_composites_of_affine_and_warp_are_as_itk_has_them(suffix: str, tmp_path: Path) -> None:
    warp, _ = sitk_warp(rotated(Grid((30, 31, 32), np.diag([3.0, 3, 3, 1])), (5, 6, 7)))
    composite = sitk.CompositeTransform([sitk_affine(RIGID), warp, sitk_affine(STRETCHED)])
    path = tmp_path / f"c.{suffix}"
    sitk.WriteTransform(composite, str(path))
    transform = load_transform(path, MOVING, REFERENCE)
    assert transform.matrix is None
    np.testing.assert_allclose(transform.map(POINTS), as_sitk_maps(composite, POINTS), atol=1e-4)


def test_of_several_files_a_point_takes_the_last_first(tmp_path: Path) -> None:
    """As antsApplyTransforms -t warp -t affine: affine, then warp."""
    grid = Grid((40, 40, 40), np.diag([3.0, 3, 3, 1]))
    warp, _ = sitk_warp(grid)
    field = sitk_vectors((displacements(grid) * [-1, -1, 1]).astype(np.float32), grid)
    sitk.WriteImage(field, str(tmp_path / "warp.nii.gz"))
    through_sitk(RIGID, tmp_path / "affine.mat")
    both = [tmp_path / "warp.nii.gz", tmp_path / "affine.mat"]
    expected = as_sitk_maps(warp, moved(RIGID))
    np.testing.assert_allclose(
        load_transform(both, MOVING, REFERENCE).map(POINTS), expected, atol=1e-4
    )
    assert np.abs(load_transform(both[::-1], MOVING, REFERENCE).map(POINTS) - expected).max() > 0.1


def test_an_lta_of_the_other_direction_is_refused(tmp_path: Path) -> None:
    """FreeSurfer's own programs see it by the volumes, too, and turn it round."""
    path = tmp_path / "back.lta"
    path.write_text(lta(1, STRETCHED, REFERENCE, MOVING))
    with pytest.raises(ArSSRError, match="from the reference to the scan"):
        load_transform(path, MOVING, REFERENCE)
    there = load_transform(path, REFERENCE, MOVING)
    np.testing.assert_allclose(there.map(moved(STRETCHED)), POINTS, atol=1e-3)


def test_an_lta_in_voxels_of_unknown_volumes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.lta").write_text(lta(0, RIGID, MOVING, REFERENCE, valid=False))
    with pytest.raises(ArSSRError, match="does not say where they lie"):
        load_transform(tmp_path / "a.lta", MOVING, REFERENCE)


# --- what is no transform, or a damaged one ------------------------------------------------------


def itk_text(*parameters: str) -> bytes:
    text = "#Insight Transform File V1.0\n"
    for number, line in enumerate(parameters):
        text += f"#Transform {number}\nTransform: AffineTransform_double_3_3\n"
        text += f"Parameters: {line}\nFixedParameters: 0 0 0\n"
    return text.encode()


XFM = (
    b"MNI Transform File\n% made by hand\n\nTransform_Type = Linear;\nLinear_Transform =\n"
    b" 1 0 0 5\n 0 1 0 6\n 0 0 1 7;\n"
)
SIXTEEN = b"1 0 0 5\n0 1 0 6\n0 0 1 7\n0 0 0 1\n"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("gone.mat", None, "no such transform"),
        ("words.txt", b"once upon a time", "not a transform"),
        ("bytes.mat", bytes(range(256)), "not a transform"),
        ("empty.h5", b"", "not a transform"),
        ("empty.mat", b"", "not a transform"),
        ("half.lta", b"type = 1\nnxforms = 1\n", "not a transform"),
        ("three.mat", b"1 0 0\n0 1 0\n0 0 1\n", "not a transform"),
        ("talairach.xfm", XFM, "MNI .xfm"),
        ("renamed.txt", XFM, "MNI .xfm"),
        ("other.xfm", itk_text("1 0 0 0 1 0 0 0 1 2 3 4"), "ends in .xfm"),
        ("morph.m3z", b"\x1f\x8b", "ends in .m3z"),
        ("register.dat", b"subject\n1\n1\n0.15\n" + SIXTEEN + b"round\n", "ends in .dat"),
        ("TransformParameters.0.txt", b'(Transform "EulerTransform")\n', "elastix"),
        ("aladin.txt", SIXTEEN, "NiftyReg"),
        ("MAT_0000", SIXTEEN, "name it .mat"),
        ("flat.mat", SIXTEEN.replace(b"0 1 0", b"1 0 0"), "not a transform"),
        ("last_row.mat", SIXTEEN.replace(b"0 0 0 1", b"0 0 1 1"), "no map of space"),
        ("nan.mat", SIXTEEN.replace(b"7", b"nan"), "no map of space"),
        ("nan.tfm", itk_text("1 0 0 0 nan 0 0 0 1 2 3 4"), "not a transform"),
        ("flat.tfm", itk_text("1 0 0 0 1 0 0 0 0 2 3 4"), "no map of space"),
        ("two.tfm", itk_text(*["1 0 0 0 1 0 0 0 1 2 3 4"] * 2), "more than one"),
        ("no_centre.tfm", itk_text("1 0 0 0 1 0 0 0 1 2 3 4")[:-23], "cut short"),
    ],
)
def test_what_is_no_transform_is_refused(
    name: str, content: bytes | None, reason: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ArSSRError, match=reason):
        load_transform(tmp_path / name, MOVING, REFERENCE)


@pytest.mark.parametrize("packed", [False, True])
def test_spms_sn_mat_is_refused_by_name(packed: bool, tmp_path: Path) -> None:
    savemat(tmp_path / "a_sn.mat", {"Affine": np.eye(4)}, do_compression=packed)
    with pytest.raises(ArSSRError, match=r"_sn\.mat"):
        load_transform(tmp_path / "a_sn.mat", MOVING, REFERENCE)


def test_splines_are_refused(tmp_path: Path) -> None:
    sitk.WriteTransform(sitk.BSplineTransform(3), str(tmp_path / "spline.h5"))
    with pytest.raises(ArSSRError, match="displacement field first"):
        load_transform(tmp_path / "spline.h5", MOVING, REFERENCE)


# HDF5 refuses such files, too, but its library tells so on standard error, at length.
@pytest.mark.parametrize("name", [name for name in WRITERS if name != "sitk.h5"])
def test_a_file_cut_short_is_refused_or_lacks_nothing(name: str, tmp_path: Path) -> None:
    """ITK's readers take what is missing for the identity, or for what is in memory."""
    WRITERS[name](STRETCHED, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    cut = tmp_path / "cut"
    cut.mkdir()
    refused = 0
    for length in range(0, len(content), max(1, len(content) // 100)):
        (cut / name).write_bytes(content[:length])
        try:
            transform = load_transform(cut / name, MOVING, REFERENCE)
        except ArSSRError:
            refused += 1
            continue
        np.testing.assert_allclose(transform.map(POINTS), moved(STRETCHED), atol=1e-3)
    assert refused > 50
