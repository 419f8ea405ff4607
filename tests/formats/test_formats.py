"""The same scan is the same volume, in the same place, whichever format it comes in."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from arssr.errors import ArSSRError
from arssr.files import FORMATS, Format, image_suffixes
from arssr.grid import Grid
from arssr.volume import Storage, Volume, check_output, open_frames, open_writer

WRITTEN = [suffix for suffix in image_suffixes() if suffix != ".nhdr"]
COLLECTED = (".nrrd", ".mha", ".mhd")
SHAPE = (5, 4, 3)
GRID = Grid(SHAPE, np.array([[0, -2.0, 0, 10], [1.5, 0, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]]))
SCAN = Volume(np.arange(60.0).reshape(SHAPE), GRID)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Oblique, flipped, anisotropic grids, some sheared as by a tilted gantry."""
    turns = draw(st.tuples(*[st.floats(-180, 180) | st.sampled_from((0.0, 90.0, 180.0))] * 3))
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turns, degrees=True).as_matrix()
    affine[:3, 2] += draw(st.sampled_from((0.0, 0.2))) * affine[:3, 1]
    affine[:3, :3] *= draw(st.tuples(*[st.floats(0.1, 8)] * 3))
    affine[:3, 0] *= draw(st.sampled_from((-1.0, 1.0)))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-300, 300)] * 3))
    return Grid(draw(st.tuples(*[st.integers(1, 6)] * 3)), affine)


def test_the_libraries_of_other_formats_are_loaded_when_they_are_needed() -> None:
    script = "import sys, arssr.volume; print({'SimpleITK', 'torch'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.suffixes[0])
def test_every_format_has_code_and_names_of_its_own(kind: Format) -> None:
    code = import_module(kind.module)
    assert callable(code.open_sink) and (kind.is_folder or callable(code.open_image))
    others = [suffix for other in FORMATS if other != kind for suffix in other.suffixes]
    assert not any(suffix.endswith(tuple(others)) for suffix in kind.suffixes)


@pytest.mark.parametrize("suffix", WRITTEN)
@given(grid=grids(), storage=st.sampled_from([None, *map(np.dtype, ("u1", "i2", "i4", "u2"))]))
@settings(max_examples=40)
def test_a_scan_keeps_place_and_samples(suffix: str, grid: Grid, storage: np.dtype | None) -> None:
    stored = np.random.default_rng(0).integers(0, 128, grid.shape)
    original = Volume(stored, grid, Storage(storage))
    with tempfile.TemporaryDirectory() as folder:
        back = Volume.read(original.write(Path(folder) / f"scan{suffix}"))
    np.testing.assert_array_equal(back.data, original.data)
    assert back.data.flags["C_CONTIGUOUS"]
    if storage in (np.uint8, np.int16, np.int32):  # known to all formats
        assert back.storage.dtype == storage
    # Single precision in the headers of NIfTI and MGH, of which the latter knows the centre only.
    exact = suffix in COLLECTED
    corners = np.indices((2, 2, 2)).reshape(3, -1).T * (np.array(grid.shape) - 1)
    tolerance = 1e-10 if exact else 1e-4
    np.testing.assert_allclose(back.grid.to_world(corners), grid.to_world(corners), atol=tolerance)


@pytest.mark.parametrize("suffix", WRITTEN)
def test_other_software_sees_the_same_place(tmp_path: Path, suffix: str) -> None:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (10, -20, 30), degrees=True).as_matrix()
    affine[:3, :3] *= (0.7, -0.8, 3)
    affine[:3, 3] = (-90, 80, 30)
    grid = Grid(SHAPE, affine)
    data = np.random.default_rng(0).random(SHAPE, np.float32)
    path = Volume(data, grid).write(tmp_path / f"a{suffix}")
    index = (3, 2, 1)
    if suffix in (".mgh", ".mgz", ".nii.zst"):
        image = nib.load(path)
        place = nib.affines.apply_affine(image.affine, index)
        value = image.dataobj[index]
    else:
        image = sitk.ReadImage(str(path))
        place = np.multiply(image.TransformIndexToPhysicalPoint(index), (-1, -1, 1))
        value = image.GetPixel(*index)
    np.testing.assert_allclose(place, grid.to_world(index), atol=1e-4)
    assert value == data[index]


@pytest.mark.parametrize("suffix", WRITTEN)
def test_scaled_integers_keep_their_values(tmp_path: Path, suffix: str) -> None:
    scan = Volume(SCAN.data * 0.5 + 7, GRID, Storage("i2", 0.5, 7.0))
    back = Volume.read(scan.write(tmp_path / f"a{suffix}"))
    np.testing.assert_array_equal(back.data, scan.data)


def test_a_nrrd_in_ras_lies_where_it_says(tmp_path: Path) -> None:
    """Not the LPS that ITK itself writes; and with a detached header."""
    (tmp_path / "a.raw").write_bytes(np.arange(60, dtype="<i2").tobytes())
    (tmp_path / "a.nhdr").write_text(
        "NRRD0004\ntype: short\ndimension: 3\nspace: right-anterior-superior\nsizes: 5 4 3\n"
        "space directions: (0,1.5,0) (-2,0,0) (0,0,3)\nkinds: domain domain domain\n"
        "endian: little\nencoding: raw\nspace origin: (10,-20,30)\ndata file: a.raw\n\n"
    )
    scan = Volume.read(tmp_path / "a.nhdr")
    np.testing.assert_allclose(scan.grid.affine, GRID.affine, atol=1e-12)
    np.testing.assert_array_equal(scan.data.ravel(order="F"), np.arange(60))
    with pytest.raises(ArSSRError, match=r"can only be read; name a file that ends in \.nrrd"):
        check_output(tmp_path / "b.nhdr")


def test_an_mhd_with_raw_samples(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(np.arange(60, dtype=">u2").tobytes())
    (tmp_path / "a.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = True\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 10 20 30\nElementSpacing = 1 2 3\n"
        "DimSize = 5 4 3\nElementType = MET_USHORT\nElementDataFile = a.raw\n"
    )
    scan = Volume.read(tmp_path / "a.mhd")
    affine = [[-1, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]]
    np.testing.assert_array_equal(scan.grid.affine, affine)
    np.testing.assert_array_equal(scan.data.ravel(order="F"), np.arange(60))
    assert scan.storage.dtype == np.uint16


META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "DimSize": "5 4 3",
    "ElementType": "MET_UCHAR",
    "ElementDataFile": "LOCAL",
}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"BinaryData": "False"}, "written as text"),
        ({"DimSize": "5 -4 3"}, "no voxels (5×-4×3)"),
        ({"DimSize": "5 4"}, "2D image (5×4)"),
        ({"DimSize": "5 4 x"}, "invalid literal"),
        ({"TransformMatrix": "1 0 0"}, "TransformMatrix is 3 numbers, not 9"),
        ({"TransformMatrix": "0 0 0 0 0 0 0 0 0"}, "singular"),
        ({"ElementType": "MET_STRING"}, "ElementType is MET_STRING"),
        ({"ElementNumberOfChannels": "3"}, "holds 3 values"),
        ({"ElementDataFile": "LIST"}, "several files"),
        ({"ElementDataFile": "slice%03d.raw 1 3 1"}, "several files"),
        ({"ElementDataFile": "gone.raw"}, "there is no gone.raw beside it"),
        ({"CompressedData": "True"}, "damaged"),
        ({"DimSize": "5 4 4"}, "too few samples"),
        ({"Comment": "x" * 70_000}, "its header is none"),
    ],
)
def test_meta_images_that_cannot_be_read(tmp_path: Path, fields: dict, words: str) -> None:
    lines = META | fields
    lines["ElementDataFile"] = lines.pop("ElementDataFile")  # the last
    header = "".join(f"{name} = {value}\n" for name, value in lines.items())
    (tmp_path / "a.mha").write_bytes(header.encode() + bytes(60))
    with pytest.raises(ArSSRError) as caught:
        Volume.read(tmp_path / "a.mha")
    assert words in str(caught.value) and str(tmp_path / "a.mha") in str(caught.value)


# --- several frames ------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", WRITTEN)
def test_frames_come_one_by_one_in_any_order(tmp_path: Path, suffix: str) -> None:
    header = nib.Nifti1Header()
    header.set_xyzt_units("mm", "msec")
    header["pixdim"][4] = 2500
    like = Volume(SCAN.data, GRID, Storage("i2", header=header))
    path = tmp_path / f"a{suffix}"
    with open_writer(path, like, GRID, frames=3) as writer:
        for number in range(3):
            writer.put(SCAN.data[..., :1] + 100 * number)
            writer.put(SCAN.data[..., 1:] + 100 * number)
    with open_frames(path) as frames:
        assert len(frames) == 3
        assert frames.grid.matches(GRID)
        assert frames.repetition_s == pytest.approx(2.5)
        for number in (0, 2, 1):
            frame = frames.frame(number)
            np.testing.assert_array_equal(frame.data, SCAN.data + 100 * number)
            assert (frame.storage.dtype, frame.name) == (np.int16, "a")
        for number in (-1, 3):
            with pytest.raises(ArSSRError, match=f"no frame {number}, only 0 to 2"):
                frames.frame(number)
        again = frames.frame(0).write(tmp_path / "again.nii")  # one frame is 3D, and knows its TR
    assert nib.load(again).shape == SHAPE
    with pytest.raises(ArSSRError, match=r"4D image \(5×4×3×3\).*--frames"):
        Volume.read(path)


@pytest.mark.parametrize("suffix", WRITTEN)
def test_the_time_between_frames_survives_any_format(tmp_path: Path, suffix: str) -> None:
    header = nib.Nifti1Header()
    header.set_xyzt_units("mm", "sec")
    header["pixdim"][4] = 0.7
    first, second = tmp_path / "a.nii.gz", tmp_path / f"b{suffix}"
    with open_writer(
        first, Volume(SCAN.data, GRID, Storage(header=header)), GRID, frames=2
    ) as writer:
        writer.put(np.concatenate([SCAN.data, SCAN.data], axis=2))
    with open_frames(first) as frames, open_writer(second, frames.frame(0), GRID, frames=2) as out:
        for frame in frames:
            out.put(frame.data)
    with open_frames(second) as frames:
        assert frames.repetition_s == pytest.approx(0.7)


def test_a_3d_file_has_one_frame(tmp_path: Path) -> None:
    with open_frames(SCAN.write(tmp_path / "a.mha")) as frames:
        assert len(frames) == 1 and frames.repetition_s is None
        np.testing.assert_array_equal(frames.frame(0).data, SCAN.data)


# --- refused, and failed -------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
@pytest.mark.parametrize(
    ("image", "words"),
    [
        (sitk.Image([5, 4, 3], sitk.sitkVectorUInt8, 3), "holds 3 values (colours or a vector)"),
        (sitk.Image([5, 4], sitk.sitkInt16), "2D image (5×4)"),
    ],
)
def test_what_is_not_a_3d_image_of_intensities(
    tmp_path: Path, suffix: str, image: sitk.Image, words: str
) -> None:
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(image, str(path))
    with pytest.raises(ArSSRError) as caught:
        Volume.read(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.6, 0.95])
def test_a_truncated_file(tmp_path: Path, suffix: str, kept: float) -> None:
    noise = np.random.default_rng(0).random((20, 20, 20))
    path = Volume(noise, Grid((20, 20, 20), np.eye(4))).write(tmp_path / f"a{suffix}")
    damaged = path.with_suffix(".zraw") if suffix == ".mhd" else path
    content = damaged.read_bytes()
    damaged.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ArSSRError) as caught:
        Volume.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", WRITTEN)
def test_another_format_under_the_name_is_refused(tmp_path: Path, suffix: str) -> None:
    for content in (b"", b"not an image", bytes(400), b"\x1f\x8b\x08\x00"):
        (tmp_path / f"a{suffix}").write_bytes(content)
        with pytest.raises(ArSSRError, match=r"a\..*cannot be read as an? "):
            Volume.read(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", COLLECTED)
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, suffix: str, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    grid = Grid((40, 40, 40), np.eye(4))
    noise = Volume(np.random.default_rng(0).random(grid.shape), grid)
    path = SCAN.write(tmp_path / f"a{suffix}")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with full_disk(10_000), pytest.raises(ArSSRError, match="cannot write"):
        noise.write(path, overwrite=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_both_files_of_an_mhd_are_protected(tmp_path: Path) -> None:
    SCAN.write(tmp_path / "a.mhd")
    (tmp_path / "a.mhd").unlink()
    with pytest.raises(ArSSRError, match=r"a\.zraw: exists already"):
        SCAN.write(tmp_path / "a.mhd")
    SCAN.write(tmp_path / "a.mhd", overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mhd", "a.zraw"]


@pytest.mark.parametrize("suffix", WRITTEN)
def test_the_same_volume_gives_the_same_bytes(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = SCAN.write(tmp_path / "1" / f"a{suffix}")
    monkeypatch.setattr("time.time", lambda: 1e9)  # at any time
    second = SCAN.write(tmp_path / "2" / f"a{suffix}")
    assert first.read_bytes() == second.read_bytes()


def test_an_image_larger_than_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    header = nib.Nifti2Header()
    header.set_data_shape((10**5, 10**5, 10**5))
    header.set_sform(np.eye(4), 1)
    header["vox_offset"] = header.single_vox_offset
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(1000))
    with pytest.raises(ArSSRError, match="4000 TB and do not fit in memory"):
        Volume.read(tmp_path / "a.nii")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii.zst", ".mgz", ".mha", ".mhd"])
def test_one_changed_bit_of_compressed_samples_is_noticed(tmp_path: Path, suffix: str) -> None:
    path = Volume(np.random.default_rng(0).random(SHAPE), GRID).write(tmp_path / f"a{suffix}")
    damaged = path.with_suffix(".zraw") if suffix == ".mhd" else path
    content = bytearray(damaged.read_bytes())
    content[-40] ^= 4
    damaged.write_bytes(content)
    with pytest.raises(ArSSRError, match=r"damaged|cannot be read"):
        Volume.read(path)
