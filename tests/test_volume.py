"""Images come back from the disk in place and in their units, whole or not at all."""

import gzip
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.volume import Storage, Volume, check_output, grid_of

INTEGERS = [np.dtype(t) for t in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")]
SHAPE = (5, 4, 3)
AFFINE = np.array([[0, -2.0, 0, 10], [1.5, 0, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]])


def volume(**fields: object) -> Volume:
    """A small volume with different values everywhere, all of them whole numbers under 60."""
    data = np.arange(60, dtype=np.float32).reshape(SHAPE)
    return Volume(**{"data": data, "grid": Grid(SHAPE, AFFINE), **fields})  # type: ignore[arg-type]


def save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """By nibabel, in the type of the array."""
    nib.save(nib.Nifti1Image(data, affine, dtype=data.dtype), path)
    return path


@contextmanager
def refusal(*parts: str | Path) -> Iterator[None]:
    """The block must raise ArSSRError with one sentence that holds each of these."""
    with pytest.raises(ArSSRError) as caught:
        yield
    message = str(caught.value)
    assert all(str(part) in message for part in parts), message
    assert "\n" not in message


# --- there and back ------------------------------------------------------------------------------


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Oblique, flipped, anisotropic grids without shear, half turns included."""
    turns = draw(st.tuples(*[st.floats(-180, 180) | st.sampled_from((0.0, 90.0, 180.0))] * 3))
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turns, degrees=True).as_matrix()
    affine[:3, :3] *= draw(st.tuples(*[st.floats(0.1, 8)] * 3))
    affine[:3, 0] *= draw(st.sampled_from((-1.0, 1.0)))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-300, 300)] * 3))
    return Grid(draw(st.tuples(*[st.integers(1, 9)] * 3)), affine)


@given(
    grids(),
    st.sampled_from([*INTEGERS, np.dtype("f4"), np.dtype("f8"), None]),
    st.floats(0.01, 100),
    st.floats(-1000, 1000),
    st.sampled_from((".nii", ".nii.gz")),
    st.sampled_from((nib.Nifti1Header, nib.Nifti2Header)),
)
@settings(max_examples=150, deadline=None)
def test_round_trip(
    grid: Grid, storage: np.dtype | None, slope: float, inter: float, suffix: str, header_type: type
) -> None:
    stored = np.random.default_rng(0).integers(0, 128, grid.shape)
    original = Volume(
        data=stored * slope + inter,
        grid=grid,
        storage=Storage(storage, slope, inter, header_type()),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = original.write(Path(folder) / f"scan{suffix}")
        back = Volume.read(path)
        image = nib.load(path)
        on_disk = np.asanyarray(image.dataobj.get_unscaled())

    assert back.grid.matches(grid)
    assert type(image.header) is header_type
    assert back.data.dtype == np.float32
    np.testing.assert_allclose(back.data, original.data, rtol=1e-5, atol=1e-5 * (1 + abs(inter)))
    if storage in INTEGERS:
        assert image.get_data_dtype() == storage
        np.testing.assert_array_equal(on_disk, stored)
        np.testing.assert_allclose(
            [back.storage.slope, back.storage.inter], [slope, inter], rtol=1e-6, atol=1e-9
        )
    else:
        assert image.get_data_dtype() == np.float32
        np.testing.assert_array_equal(on_disk, original.data)


@given(grids())
@settings(deadline=None)
def test_qform_and_sform_agree_on_disk(grid: Grid) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Volume(np.zeros(grid.shape), grid).write(Path(folder) / "scan.nii")
        header = nib.load(path).header
    qform, qform_code = header.get_qform(coded=True)
    sform, sform_code = header.get_sform(coded=True)
    assert qform_code == sform_code > 0
    np.testing.assert_allclose(sform, grid.affine, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(header.get_zooms(), grid.spacing_mm, rtol=1e-6)
    # A qform holds b, c, d of a quaternion in float32, and readers find a as √(1 − b² − c² − d²):
    # the smaller a is, the less of it is left, and below about 7e-4 it is read as 0.
    a = np.sqrt(max(0.0, 1 - sum(float(header[f"quatern_{part}"]) ** 2 for part in "bcd")))
    radians = 1e-6 / max(a, 7e-4)
    assert np.abs(qform - sform)[:3, :3].max() <= 1e-6 + 2 * radians * grid.spacing_mm.max()
    np.testing.assert_array_equal(qform[:3, 3], sform[:3, 3])


@pytest.mark.parametrize("degrees", [0, 7, 180])
def test_qform_is_the_sform_for_plain_tilts(tmp_path: Path, degrees: float) -> None:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("zx", (degrees, degrees / 2), degrees=True).as_matrix()
    affine[:3, :3] *= (0.7, 0.8, 3)
    header = nib.load(Volume(np.zeros(SHAPE), Grid(SHAPE, affine)).write(tmp_path / "a.nii")).header
    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=2e-6)


def test_an_affine_with_shear_is_exact_in_the_sform(tmp_path: Path) -> None:
    affine = AFFINE.copy()
    affine[1, 2] = 0.5
    header = nib.load(volume(grid=Grid(SHAPE, affine)).write(tmp_path / "a.nii")).header
    np.testing.assert_array_equal(header.get_sform(), affine)
    np.testing.assert_allclose(header.get_qform(), affine, atol=0.5)


@given(st.tuples(*[st.floats(-180, 180)] * 3))
@settings(deadline=None)
def test_nifti2_quaternions_can_be_read(turns: tuple) -> None:
    """In doubles, nibabel itself writes rotations by 180° that it then refuses to read."""
    half_turn = Rotation.from_rotvec(np.pi * Rotation.from_euler("xyz", turns).apply([0, 0, 1]))
    affine = np.eye(4)
    affine[:3, :3] = half_turn.as_matrix()
    image = volume(
        grid=Grid(SHAPE, affine), storage=Storage(header=nib.Nifti2Header())
    ).to_nibabel()
    np.testing.assert_allclose(image.header.get_qform(), affine, atol=1e-6)


def test_simpleitk_sees_the_same_place(tmp_path: Path) -> None:
    """An independent reader; its world is LPS, so x and y change sign."""
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", (10, -20, 30), degrees=True).as_matrix()
    affine[:3, :3] = rotation * (0.7, -0.8, 3)
    affine[:3, 3] = (-90, 80, 30)
    grid = Grid(SHAPE, affine).scaled((2, 3.3, 0.7))
    data = np.random.default_rng(0).random(grid.shape)
    image = sitk.ReadImage(str(Volume(data, grid).write(tmp_path / "a.nii.gz")))
    index = (3, 2, 1)
    place = np.multiply(image.TransformIndexToPhysicalPoint(index), (-1, -1, 1))
    np.testing.assert_allclose(place, grid.to_world(index), atol=1e-4)
    assert image.GetPixel(*index) == np.float32(data[index])


def test_what_the_header_says_of_the_image_survives(tmp_path: Path) -> None:
    source = nib.Nifti1Image(np.zeros(SHAPE, np.int16), AFFINE)
    source.header["descrip"] = b"MPRAGE of a phantom"
    source.header["intent_name"] = b"T1"
    source.header["cal_max"] = 900
    source.header["slice_end"] = 2
    source.header.set_xyzt_units("mm", "sec")
    source.set_sform(AFFINE, code="mni")
    nib.save(source, tmp_path / "in.nii")

    scan = Volume.read(tmp_path / "in.nii")
    fine = scan.grid.scaled(2)
    result = scan.with_data(np.ones(fine.shape), fine).write(tmp_path / "out.nii")
    header = nib.load(result).header
    assert header["descrip"].item() == b"MPRAGE of a phantom"
    assert header["intent_name"].item() == b"T1"
    assert header["cal_max"] == 900
    assert header.get_xyzt_units() == ("mm", "sec")
    assert header.get_data_dtype() == np.int16
    assert header["sform_code"] == header["qform_code"] == 4
    assert header["slice_end"] == 0  # it counted slices that are no more


@pytest.mark.parametrize(("qform", "sform", "expected"), [(1, 0, 1), (1, 4, 4), (0, 3, 3)])
def test_codes_are_those_of_the_affine_in_use(
    tmp_path: Path, qform: int, sform: int, expected: int
) -> None:
    image = nib.Nifti1Image(np.zeros(SHAPE, np.float32), AFFINE)
    image.set_qform(AFFINE, qform)
    image.set_sform(AFFINE, sform)
    nib.save(image, tmp_path / "in.nii")
    header = nib.load(Volume.read(tmp_path / "in.nii").write(tmp_path / "out.nii")).header
    assert header["sform_code"] == header["qform_code"] == expected


def test_where_qform_and_sform_differ_the_sform_counts(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros(SHAPE, np.float32), AFFINE)
    image.set_sform(AFFINE, 1)
    image.set_qform(np.diag([9, 9, 9, 1]), 1, update_affine=False)
    nib.save(image, tmp_path / "in.nii")
    scan = Volume.read(tmp_path / "in.nii")
    np.testing.assert_array_equal(scan.grid.affine, AFFINE)
    header = nib.load(scan.write(tmp_path / "out.nii")).header
    np.testing.assert_allclose(header.get_qform(), AFFINE, atol=1e-6)


@pytest.mark.parametrize(
    ("unit", "mm", "written"),
    [("mm", 1, "mm"), ("unknown", 1, "mm"), ("micron", 1e-3, "micron"), ("meter", 1e3, "meter")],
)
def test_units_of_length(tmp_path: Path, unit: str, mm: float, written: str) -> None:
    image = nib.Nifti1Image(np.zeros(SHAPE, np.float32), np.diag([50, 60, 70, 1]))
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "in.nii")
    scan = Volume.read(tmp_path / "in.nii")
    np.testing.assert_allclose(scan.grid.spacing_mm, np.multiply((50, 60, 70), mm))

    back = nib.load(scan.write(tmp_path / "out.nii"))
    assert back.header.get_xyzt_units()[0] == written
    np.testing.assert_allclose(back.affine, image.affine, rtol=1e-6)
    np.testing.assert_allclose(scan.to_nibabel().affine, image.affine, rtol=1e-12)


def test_integers_are_rounded_and_clipped(tmp_path: Path) -> None:
    values = np.array([-1e9, -0.6, 0.4, 2.6, 1e9]).reshape(5, 1, 1)
    grid = Grid((5, 1, 1), np.eye(4))
    for storage in INTEGERS:
        path = Volume(values, grid, storage=Storage(storage)).write(tmp_path / f"{storage}.nii")
        stored = np.asanyarray(nib.load(path).dataobj).ravel()
        limits = np.iinfo(storage)
        expected = [max(limits.min, -1e9), -1 if limits.min else 0, 0, 3, min(limits.max, 1e9)]
        np.testing.assert_array_equal(stored, expected)


def test_a_range_of_few_integers_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """0 to 1 in the type of the file that the samples came from is black and white."""
    ramp = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    grid = Grid((2, 3, 4), np.eye(4))
    shares = Volume(ramp, grid, storage=Storage("uint8"))
    shares.write(tmp_path / "coarse.nii")
    assert "values from 0 to 1 were rounded to the few that uint8 has there" in caplog.text
    caplog.clear()
    shares.stored_as("float32").write(tmp_path / "float.nii")
    shares.stored_as("uint8", 1 / 255).write(tmp_path / "scaled.nii")
    Volume(np.rint(ramp * 3), grid, storage=Storage("uint8")).write(tmp_path / "labels.nii")
    Volume(ramp * 100, grid, storage=Storage("uint8")).write(tmp_path / "percent.nii")
    assert not caplog.text


@pytest.mark.parametrize("storage", ["i8", "u8"])
def test_64_bit_integers_do_not_overflow(tmp_path: Path, storage: str) -> None:
    beyond = Volume(np.full((1, 1, 1), 1e30), Grid((1, 1, 1), np.eye(4)), Storage(storage))
    stored = np.asanyarray(nib.load(beyond.write(tmp_path / "a.nii")).dataobj)
    assert int(stored.item()) > 0.99 * np.iinfo(storage).max


def test_slabs_are_put_together_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for voxels in (1, 45, 10**6):
        monkeypatch.setattr("arssr.formats.samples.SLAB_VOXELS", voxels)
        for suffix in (".nii", ".nii.gz"):
            path = volume(storage=Storage("i2")).write(tmp_path / f"a{suffix}", overwrite=True)
            np.testing.assert_array_equal(Volume.read(path).data, volume().data)
            np.testing.assert_array_equal(nib.load(path).get_fdata(), volume().data)


def test_axes_too_long_for_nifti1_make_nifti2(tmp_path: Path) -> None:
    grid = Grid((1, 1, 40000), np.eye(4))
    path = Volume(np.arange(40000).reshape(grid.shape), grid).write(tmp_path / "a.nii")
    assert isinstance(nib.load(path), nib.Nifti2Image)
    assert Volume.read(path).data[0, 0, -1] == 39999


def test_the_same_volume_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = volume().write(tmp_path / "a.nii.gz")
    monkeypatch.setattr("time.time", lambda: 1e9)  # at any time
    second = volume().write(tmp_path / "b.nii.gz")
    assert first.read_bytes() == second.read_bytes()
    assert gzip.decompress(first.read_bytes()) == volume().write(tmp_path / "c.nii").read_bytes()


def test_big_endian_files_are_read(tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    nib.save(nib.Nifti1Image(volume().data.astype(np.int16), AFFINE, header), tmp_path / "a.nii")
    scan = Volume.read(tmp_path / "a.nii")
    np.testing.assert_array_equal(scan.data, volume().data)
    assert scan.storage.dtype == np.int16  # in the byte order of this machine
    np.testing.assert_array_equal(Volume.read(scan.write(tmp_path / "b.nii")).data, scan.data)


def test_data_are_float32_in_c_order_and_independent_of_the_file(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", volume().data)
    scan = Volume.read(path)
    assert scan.data.flags["C_CONTIGUOUS"] and scan.data.dtype == np.float32
    assert scan.write(path, overwrite=True) == path  # in place of what it was read from
    np.testing.assert_array_equal(Volume.read(path).data, volume().data)


# --- nibabel and friends -------------------------------------------------------------------------


def test_nibabel_in_and_out() -> None:
    image = volume().to_nibabel()
    np.testing.assert_array_equal(image.affine, AFFINE)
    np.testing.assert_array_equal(image.get_fdata(), volume().data)
    back = Volume.from_nibabel(image)
    assert back.grid == volume().grid
    assert back.name == "volume"


def test_nibabel_image_saves_in_the_same_place_and_units(tmp_path: Path) -> None:
    scaled = volume(storage=Storage("i2", 0.5, 3.0))
    nib.save(scaled.to_nibabel(), tmp_path / "a.nii")
    back = Volume.read(tmp_path / "a.nii")
    np.testing.assert_array_equal(back.data, scaled.data)
    assert back.grid.matches(scaled.grid)


def test_an_array_in_memory_counts_more_than_a_header_it_was_given() -> None:
    """Fractions under a header of an integer file (a common habit) must not become 0 and 1."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    image = nib.Nifti1Image(np.linspace(0, 1, 60).reshape(SHAPE), AFFINE, header)
    assert Volume.from_nibabel(image).storage.dtype == np.float64


def test_other_nibabel_formats_in_memory() -> None:
    scan = Volume.from_nibabel(nib.MGHImage(volume().data, AFFINE))
    np.testing.assert_array_equal(scan.data, volume().data)
    np.testing.assert_allclose(scan.grid.affine, AFFINE, atol=1e-5)


def test_slopes_for_each_slice_are_applied_but_not_kept(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.ones(SHAPE, np.float32), AFFINE)

    class PerSlice:  # as nibabel's reader of Philips PAR/REC does it
        shape, ndim, dtype = SHAPE, 3, np.dtype(np.int16)
        slope, inter = np.array([1.0, 2, 3]), np.zeros(3)

        def __getitem__(self, index: tuple) -> np.ndarray:
            return (np.ones(SHAPE, np.int16) * self.slope)[index]

    image._dataobj = PerSlice()
    scan = Volume.from_nibabel(image)
    np.testing.assert_array_equal(scan.data[0, 0], [1, 2, 3])
    assert (scan.storage.dtype, scan.storage.slope, scan.storage.inter) == (None, 1, 0)


@pytest.mark.parametrize("extra", [(1,), (1, 1)])
def test_a_single_frame_is_3d(tmp_path: Path, extra: tuple) -> None:
    path = save(tmp_path / "a.nii.gz", volume().data.reshape(*SHAPE, *extra))
    np.testing.assert_array_equal(Volume.read(path).data, volume().data)


def test_coerce(tmp_path: Path) -> None:
    path = volume().write(tmp_path / "sub-01.v2_T1w.nii.gz")
    scan = Volume.coerce(path)
    assert scan.path == path and scan.name == "sub-01.v2_T1w"
    assert Volume.coerce(str(path)).path == path
    assert Volume.coerce(scan) is scan
    assert Volume.coerce(nib.load(path)).path == path
    with refusal("ndarray", "(array, affine)"):
        Volume.coerce(np.zeros(SHAPE))  # type: ignore[arg-type]


def test_with_data_keeps_everything_but_the_samples() -> None:
    header = nib.Nifti1Header()
    scan = volume(storage=Storage("u1", 2.0, header=header), path=Path("T1.nii"))
    fine = scan.grid.scaled(2)
    result = scan.with_data(np.zeros(fine.shape), fine)
    assert result.grid is fine and result.storage.header is header
    assert (result.storage.dtype, result.storage.slope, result.name) == (np.uint8, 2, "T1")


def test_repr_says_what_matters() -> None:
    text = repr(volume(storage=Storage("i2")))
    assert text == "Volume(5×4×3 voxels of 1.5×2×3 mm, ALS, stored as int16, 240 B)"


@pytest.mark.parametrize(
    "fields",
    [
        {"data": np.zeros((2, 2, 2))},
        {"storage": Storage(slope=0.0)},
        {"storage": Storage(slope=np.nan)},
        {"storage": Storage(inter=np.inf)},
    ],
)
def test_impossible_volumes_are_refused(fields: dict) -> None:
    with pytest.raises(ArSSRError):
        volume(**fields)


# --- input that is refused -----------------------------------------------------------------------


def test_no_file_and_no_image(tmp_path: Path) -> None:
    with refusal(tmp_path / "none.nii", "no such file"):
        Volume.read(tmp_path / "none.nii")
    with refusal(tmp_path, "folder"):
        Volume.read(tmp_path)
    for name, content in [("a.nii", b"not an image"), ("b.nii.gz", b"nor this"), ("c.nii", b"")]:
        (tmp_path / name).write_bytes(content)
        with refusal(tmp_path / name, "cannot be read as a NIfTI image"):
            Volume.read(tmp_path / name)
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    with refusal(tmp_path / "a.png", "must end in .nii"):
        Volume.read(tmp_path / "a.png")
    with refusal("cannot be read"):
        Volume.read(tmp_path / ("x" * 300 + ".nii"))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.95])
def test_a_truncated_file(tmp_path: Path, suffix: str, kept: float) -> None:
    noise = np.random.default_rng(0).random((20, 20, 20))
    path = save(tmp_path / f"a{suffix}", noise)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with refusal(path, "cut short" if kept > 0.1 or suffix == ".nii" else "cannot be read"):
        Volume.read(path)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_a_damaged_header_is_read_or_refused_but_never_crashes(damage: list) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = save(Path(folder) / "a.nii", np.arange(60, dtype=np.int16).reshape(SHAPE))
        content = bytearray(path.read_bytes())
        for place, byte in damage:
            content[place] = byte
        path.write_bytes(content)
        try:
            scan = Volume.read(path)
        except ArSSRError as error:
            assert str(path) in str(error)
        else:
            back = Volume.read(scan.write(Path(folder) / "b.nii"))
            assert back.grid.matches(scan.grid)


RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.zeros((5, 4), np.float32), "2D"),
        (
            np.zeros((5, 4, 3, 7), np.float32),
            "4D image (5×4×3×7); take all its frames",
        ),
        (np.zeros((5, 4, 3, 1, 3), np.float32), "5D"),
        (np.zeros(SHAPE, np.complex64), "complex"),
        (np.zeros(SHAPE, RGB), "RGB"),
    ],
)
def test_what_is_not_one_real_3d_image(tmp_path: Path, data: np.ndarray, words: str) -> None:
    path = save(tmp_path / "a.nii.gz", data)
    with refusal(path, words):
        Volume.read(path)


def with_nan() -> np.ndarray:
    return np.where(volume().data == 7, np.nan, volume().data)


@pytest.mark.parametrize(
    "data",
    [
        np.zeros((5, 4, 3, 7), np.float32),
        np.zeros((5, 4, 3, 1, 3), np.float32),
        np.zeros((5, 4, 3, 2, 3), np.float32),
        np.zeros(SHAPE, np.complex64),
        np.zeros(SHAPE, RGB),
        with_nan(),
    ],
)
def test_a_grid_is_had_from_images_of_any_samples(tmp_path: Path, data: np.ndarray) -> None:
    path = save(tmp_path / "a.nii.gz", data)
    assert grid_of(path) == volume().grid
    assert grid_of(str(path)) == grid_of(nib.load(path)) == volume().grid
    with pytest.raises(ArSSRError):
        Volume.read(path)


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        ("nrrd", sitk.sitkVectorFloat32),
        ("nrrd", sitk.sitkComplexFloat32),
        ("mha", sitk.sitkVectorFloat32),
        ("mhd", sitk.sitkVectorUInt8),
    ],
)
def test_a_grid_is_had_from_vectors_and_complex_samples(
    tmp_path: Path, suffix: str, kind: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    image = sitk.Image([5, 4, 3], kind)
    image.SetSpacing((1, 2, 3))
    sitk.WriteImage(image, str(path))
    assert grid_of(path).shape == SHAPE and grid_of(path).spacing_mm.tolist() == [1, 2, 3]
    with pytest.raises(ArSSRError):
        Volume.read(path)


def test_a_grid_stands_for_itself_and_a_bad_one_is_told_of(tmp_path: Path) -> None:
    image, path = volume(), volume().write(tmp_path / "a.nii")
    assert grid_of(image.grid) is grid_of(image) is image.grid
    with refusal("an image is a path"):
        grid_of(np.zeros(3))  # type: ignore[arg-type]
    path.write_bytes(path.read_bytes()[:400])  # cut short, but the header is whole
    assert grid_of(path) == image.grid
    flat = nib.Nifti1Image(np.zeros((5, 4, 3, 2)), AFFINE)
    flat.header["srow_z"] = flat.header["srow_y"]
    flat.header["sform_code"], flat.header["qform_code"] = 1, 0
    nib.save(nib.Nifti1Image(flat.dataobj, None, flat.header), tmp_path / "flat.nii")
    with refusal(tmp_path / "flat.nii", "singular"):
        grid_of(tmp_path / "flat.nii")
    with refusal(tmp_path / "none.nii", "no such file"):
        grid_of(tmp_path / "none.nii")


def test_the_advice_for_4d_images_works(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", np.stack([volume().data] * 3, axis=-1))
    with refusal("nibabel.four_to_three(nibabel.load(path))[0]"):
        Volume.read(path)
    scan = Volume.from_nibabel(nib.four_to_three(nib.load(path))[0])
    np.testing.assert_array_equal(scan.data, volume().data)


def test_cifti_is_not_a_3d_image(tmp_path: Path) -> None:
    axes = (
        nib.cifti2.ScalarAxis(["a"]),
        nib.cifti2.BrainModelAxis.from_mask(np.ones(4), "thalamus_left"),
    )
    nib.save(nib.Cifti2Image(np.zeros((1, 4)), axes), tmp_path / "a.dscalar.nii")
    with refusal(tmp_path / "a.dscalar.nii", "not a 3D image"):
        Volume.read(tmp_path / "a.dscalar.nii")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_samples_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    data = np.zeros(SHAPE)
    data[4, 3, 2] = value
    path = save(tmp_path / "a.nii", data)
    with refusal(path, "NaN or infinite"):
        Volume.read(path)


def test_a_constant_image_can_be_read(tmp_path: Path) -> None:
    assert Volume.read(save(tmp_path / "a.nii", np.full(SHAPE, 7, np.int16))).data.max() == 7


@pytest.mark.parametrize(("value", "words"), [(0.0, "singular"), (np.nan, "NaN")])
def test_affines_without_a_place(tmp_path: Path, value: float, words: str) -> None:
    path = save(tmp_path / "a.nii", volume().data)
    content = bytearray(path.read_bytes())
    for entry in range(280, 296, 4):  # srow_x
        content[entry : entry + 4] = np.float32(value).tobytes()
    path.write_bytes(content)
    with refusal(path, words):
        Volume.read(path)


def test_an_image_without_an_affine() -> None:
    with refusal("no affine"):
        Volume.from_nibabel(nib.spatialimages.SpatialImage(volume().data, None))


def test_units_outside_the_standard_count_as_unknown(tmp_path: Path) -> None:
    image = nib.Nifti1Image(volume().data, AFFINE)
    image.header["xyzt_units"] = 7
    scan = Volume.from_nibabel(image)
    assert scan.grid == volume().grid
    assert nib.load(scan.write(tmp_path / "a.nii")).header.get_xyzt_units()[0] == "mm"


# --- output that is refused, and output that fails -----------------------------------------------


def test_existing_output_needs_overwrite(tmp_path: Path) -> None:
    path = volume().write(tmp_path / "a.nii")
    before = path.read_bytes()
    with refusal(path, "--overwrite"):
        volume(data=np.zeros(SHAPE)).write(path)
    assert path.read_bytes() == before
    volume(data=np.zeros(SHAPE)).write(path, overwrite=True)
    assert Volume.read(path).data.max() == 0


def test_links_are_existing_output_too(tmp_path: Path) -> None:
    (tmp_path / "a.nii").symlink_to(tmp_path / "nowhere.nii")
    with refusal("--overwrite"):
        volume().write(tmp_path / "a.nii")


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.img", "a", "a.nii.bz2"):
        with refusal(tmp_path / name, "must end in .nii"):
            volume().write(tmp_path / name)
    (tmp_path / "folder.nii").mkdir()
    with refusal(tmp_path / "folder.nii", "folder"):
        volume().write(tmp_path / "folder.nii", overwrite=True)
    (tmp_path / "file").write_text("")
    with refusal(tmp_path / "file" / "a.nii", "not a writable folder"):
        volume().write(tmp_path / "file" / "a.nii")
    with refusal("cannot be written"):
        volume().write(tmp_path / ("x" * 300 + ".nii"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with refusal(tmp_path / "new" / "a.nii", f"{tmp_path} is not a writable folder"):
        check_output(tmp_path / "new" / "a.nii")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.nii"]


def test_check_output_writes_nothing(tmp_path: Path) -> None:
    assert check_output(tmp_path / "new" / "a.nii") == tmp_path / "new" / "a.nii"
    assert not list(tmp_path.iterdir())


def test_missing_folders_are_made(tmp_path: Path) -> None:
    assert volume().write(tmp_path / "new" / "er" / "A.NII.GZ").is_file()
    assert Volume.read(tmp_path / "new" / "er" / "A.NII.GZ").grid == volume().grid


@pytest.mark.parametrize("storage", [None, np.dtype("i2")])
def test_samples_that_are_no_numbers_are_not_written(
    tmp_path: Path, storage: np.dtype | None
) -> None:
    data = volume().data.copy()
    data[0, 0, 2] = np.nan
    with refusal(tmp_path / "a.nii", "NaN"):
        volume(data=data, storage=Storage(storage)).write(tmp_path / "a.nii")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (OSError(28, "No space left on device"), ArSSRError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_failure_in_the_middle_leaves_what_was_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    failure: BaseException,
    raised: type[BaseException],
) -> None:
    path = volume().write(tmp_path / f"a{suffix}")
    before = path.read_bytes()

    def one_slab_then_failure(shape: tuple) -> Iterator[slice]:
        yield slice(0, 1)
        raise failure

    monkeypatch.setattr("arssr.formats.writing.slabs", one_slab_then_failure)
    with pytest.raises(raised) as caught:
        volume().write(path, overwrite=True)
    if raised is ArSSRError:
        assert "No space left" in str(caught.value) and str(path) in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_a_kill_in_the_middle_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    script = """
import os, signal, sys
import numpy as np
import arssr.formats.writing
from arssr.volume import Volume
from arssr.grid import Grid

def one_slab_then_death(shape):
    yield slice(0, 1)
    os.kill(os.getpid(), signal.SIGKILL)

arssr.formats.writing.slabs = one_slab_then_death
grid = Grid((200, 200, 2), np.eye(4))
Volume(np.zeros(grid.shape), grid).write(sys.argv[1])
"""
    path = tmp_path / "a.nii"
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
    assert all(p.name.startswith(".") for p in tmp_path.iterdir())
    volume().write(path)  # and the next attempt is not in its way
    assert Volume.read(path).grid == volume().grid
