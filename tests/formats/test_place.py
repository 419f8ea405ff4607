"""Headers that contradict themselves about where a scan lies, and what is written instead."""

import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from arssr.errors import ArSSRError
from arssr.formats.place import apart_mm
from arssr.grid import Grid
from arssr.volume import Storage, Volume, open_writer

SHAPE = (40, 44, 12)
TRUE = np.array([[1.0, 0, 0, -20], [0, 1, 0, -30], [0, 0, 4, -10], [0, 0, 0, 1]])
DATA = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
# Where in the file: pixdim[1], vox_offset, xyzt_units, qform_code, sform_code, quatern_b.
PIXDIM, VOX_OFFSET, UNITS, QFORM, SFORM, QUATERN = 80, 108, 123, 252, 254, 256


def nifti(
    path: Path,
    sform: np.ndarray | None = TRUE,
    qform: np.ndarray | None = TRUE,
    **fields: tuple[int, str, float],
) -> Path:
    """A file with these two, and other fields as (byte, kind, value)."""
    image = nib.Nifti1Image(DATA, None)
    image.set_sform(sform, int(sform is not None))
    image.set_qform(qform, int(qform is not None))
    image.header["pixdim"][1:4] = nib.affines.voxel_sizes(TRUE if qform is None else qform)
    content = bytearray(image.to_bytes())
    for at, kind, value in fields.values():
        content[at : at + struct.calcsize(kind)] = struct.pack(f"<{kind}", value)
    path.write_bytes(content)
    return path


def warnings_of(path: Path) -> tuple[str, ...]:
    scan = Volume.read(path)
    np.testing.assert_array_equal(scan.data, DATA)
    return scan.warnings


def shifted(mm: float) -> np.ndarray:
    affine = TRUE.copy()
    affine[0, 3] += mm
    return affine


def test_files_in_order_are_not_doubted(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    assert warnings_of(nifti(path)) == warnings_of(nifti(path, sform=None)) == ()
    assert warnings_of(nifti(path, qform=None)) == ()
    for suffix in (".nii", ".nii.gz", ".mgz", ".nrrd", ".mha"):
        written = Volume(DATA, Grid(SHAPE, TRUE), Storage("i2")).write(tmp_path / f"b{suffix}")
        assert warnings_of(written) == ()


@pytest.mark.parametrize(("mm", "is_told"), [(0.4, False), (0.6, True), (60.0, True)])
def test_sform_against_qform_to_half_a_voxel(tmp_path: Path, mm: float, is_told: bool) -> None:
    told = warnings_of(nifti(tmp_path / "a.nii", qform=shifted(mm)))
    assert bool(told) == is_told
    if told:
        assert f"up to {mm:.3g} mm apart; the sform is used" in told[0]
        assert Volume.read(tmp_path / "a.nii").grid.matches(Grid(SHAPE, TRUE))


def test_sform_against_voxel_sizes(tmp_path: Path) -> None:
    thin = TRUE @ np.diag([0.5, 0.5, 0.75, 1])
    told = warnings_of(nifti(tmp_path / "a.nii", qform=thin))
    assert "the sform has voxels of 1×1×4 mm, but pixdim has 0.5×0.5×3 mm" in told[0]
    assert "different places" in told[1]
    told = warnings_of(nifti(tmp_path / "a.nii", qform=None, x=(PIXDIM, "f", 0.5)))
    assert len(told) == 1 and "pixdim has 0.5×1×4 mm; the sform is used" in told[0]


def test_a_header_that_does_not_say_where(tmp_path: Path) -> None:
    codes = {"q": (QFORM, "h", 0), "s": (SFORM, "h", 0)}
    [told] = warnings_of(nifti(tmp_path / "a.nii", **codes))
    assert "does not say where the scan lies" in told and "left and right" in told


def test_codes_that_mean_nothing(tmp_path: Path) -> None:
    [told] = warnings_of(nifti(tmp_path / "a.nii", code=(SFORM, "h", 77)))
    assert told == "sform_code is 77, which means nothing: 0 is taken"
    assert Volume.read(tmp_path / "a.nii").grid.matches(Grid(SHAPE, TRUE))


def test_nibabel_says_nothing_of_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    negative = nifti(tmp_path / "a.nii", sform=None, x=(PIXDIM, "f", -1.0))
    assert "pixdim is negative" in Volume.read(negative).warnings[0]
    (tmp_path / "page.mgh").write_text("<html></html>" * 99)
    with pytest.raises(ArSSRError, match="Unknown MGH format version"):
        Volume.read(tmp_path / "page.mgh")
    assert [record for record in caplog.records if record.name.startswith("nibabel")] == []


def test_qforms_that_are_none(tmp_path: Path) -> None:
    for value in (2.0, np.nan):
        quaternion = {"b": (QUATERN, "f", value)}
        [told] = warnings_of(nifti(tmp_path / "a.nii", **quaternion))
        assert "the qform in none; the sform is used" in told
        with pytest.raises(ArSSRError, match=r"a\.nii: "):
            Volume.read(nifti(tmp_path / "a.nii", sform=None, **quaternion))


def test_voxels_without_size_are_refused_where_it_counts(tmp_path: Path) -> None:
    zero, negative = {"x": (PIXDIM, "f", 0.0)}, {"x": (PIXDIM, "f", -1.0)}
    assert warnings_of(nifti(tmp_path / "a.nii", **zero))[1:] == ()
    with pytest.raises(ArSSRError, match="voxels are of 0×1×4 mm"):
        Volume.read(nifti(tmp_path / "a.nii", sform=None, **zero))
    [told] = warnings_of(nifti(tmp_path / "a.nii", sform=None, **negative))
    assert "pixdim is negative" in told


def test_samples_that_begin_in_the_header_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArSSRError, match=r"begin at byte 0, inside the header"):
        Volume.read(nifti(tmp_path / "a.nii", offset=(VOX_OFFSET, "f", 0.0)))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_more_samples_than_the_header_tells_of(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    nib.save(nib.Nifti1Image(DATA, TRUE), path)
    header = nib.load(path).header
    wrong = nib.Nifti1Header.from_header(header)
    wrong.set_data_shape((*SHAPE[:2], SHAPE[2] - 1))
    wrong["vox_offset"] = 352
    content = wrong.binaryblock + bytes(4) + DATA.tobytes(order="F")
    with nib.openers.Opener(str(path), "wb") as file:
        file.write(content)
    assert "3.52 KB lie behind the samples" in Volume.read(path).warnings[0]


@pytest.mark.parametrize(("code", "is_told"), [(0, False), (2, False), (3, True), (1, True)])
def test_units_that_no_scan_has(tmp_path: Path, code: int, is_told: bool) -> None:
    """xyzt_units: none, mm, µm, m, for a head in millimetres."""
    told = warnings_of(nifti(tmp_path / "a.nii", units=(UNITS, "B", code)))
    assert [("unit of length" in each) for each in told] == [True] * is_told


def test_images_in_memory_are_doubted_too(caplog: pytest.LogCaptureFixture) -> None:
    image = nib.Nifti1Image(DATA, TRUE)
    assert Volume.from_nibabel(image).warnings == ()
    image.set_qform(shifted(9), 1, update_affine=False)
    assert "up to 9 mm apart" in Volume.from_nibabel(image).warnings[0]
    assert "the image: sform and qform" in caplog.text


def test_a_volume_that_is_read_tells_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Volume.read(nifti(tmp_path / "a.nii", qform=shifted(9)))
    assert f"{tmp_path / 'a.nii'}: sform and qform" in caplog.text


# --- what is written -----------------------------------------------------------------------------


@given(
    turns=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 6)] * 3),
    shear=st.sampled_from((0.0, 1e-5, 0.002, 0.05, 0.3)),
    nifti2=st.booleans(),
)
def test_a_qform_in_use_puts_the_scan_where_the_sform_does(
    tmp_path_factory: pytest.TempPathFactory,
    turns: tuple,
    spacing: tuple,
    shear: float,
    nifti2: bool,
) -> None:
    """To half a voxel; where it cannot, as with a shear, it says that it is not in use."""
    axes = Rotation.from_euler("xyz", turns, degrees=True).as_matrix()
    axes[:, 2] += shear * axes[:, 1]
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    path = tmp_path_factory.getbasetemp() / "sheared.nii"
    header = nib.Nifti2Header() if nifti2 else None
    grid = Grid(SHAPE, affine)
    with open_writer(
        path, Volume(DATA, grid, Storage(header=header)), grid, overwrite=True
    ) as writer:
        writer.put(DATA)
    found = nib.load(path).header
    assert apart_mm(found.get_sform(), affine, SHAPE) < 1e-3
    assert int(found["sform_code"]) > 0
    if int(found["qform_code"]):
        assert apart_mm(found.get_qform(), affine, SHAPE) <= min(grid.spacing_mm) / 2 + 1e-6
    else:
        assert shear > 1e-5
    assert Volume.read(path).warnings == ()


def test_apart_is_the_farthest_corner() -> None:
    assert apart_mm(np.eye(4), np.diag([1, 1, 2, 1]), (5, 6, 7)) == 6
    assert apart_mm(np.eye(4), np.eye(4), (5, 6, 7)) == 0


def test_axes_that_are_no_unit_vectors_and_axes_in_a_plane(tmp_path: Path) -> None:
    path = Volume(DATA, Grid(SHAPE, TRUE), Storage("i2")).write(tmp_path / "a.mgh")
    content = path.read_bytes()
    path.write_bytes(content[:42] + struct.pack(">f", -2 * TRUE[0, 0]) + content[46:])
    [told] = warnings_of(path)
    assert "the matrix Mdc has voxels of 2×1×4 mm, but delta has 1×1×4 mm" in told
    path = Volume(DATA, Grid(SHAPE, TRUE), Storage("i2")).write(tmp_path / "a.mha")
    content = path.read_bytes().replace(b"TransformMatrix = -1 0 0", b"TransformMatrix = -2 0 0")
    path.write_bytes(content)
    [told] = warnings_of(path)
    assert "TransformMatrix has voxels of 2×1×4 mm, but ElementSpacing has 1×1×4 mm" in told
    for lean, count in ((2.0, 0), (20.0, 1)):
        leaning = TRUE.copy()
        leaning[1, 2] = lean
        told = warnings_of(nifti(tmp_path / "a.nii", sform=leaning, qform=None))
        assert sum("almost in one plane" in each for each in told) == count


def test_mgh_without_a_place_or_with_sizes_below_zero(tmp_path: Path) -> None:
    path = Volume(DATA, Grid(SHAPE, TRUE), Storage("i2")).write(tmp_path / "a.mgh")
    content = path.read_bytes()
    path.write_bytes(content[:28] + struct.pack(">h", 0) + content[30:])
    assert "goodRASFlag is 0" in warnings_of(path)[0]
    path.write_bytes(content[:30] + struct.pack(">f", -1) + content[34:])
    with pytest.raises(ArSSRError, match="must be positive"):
        Volume.read(path)
