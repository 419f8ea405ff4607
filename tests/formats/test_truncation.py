"""Files that end early give their own samples or are refused, wherever they end."""

from pathlib import Path

import numpy as np
import pytest

from arssr.errors import ArSSRError
from arssr.files import image_suffixes
from arssr.grid import Grid
from arssr.volume import Storage, Volume, open_frames, open_writer

GRID = Grid((5, 4, 3), np.diag([1.0, 1, 3, 1]))
STORED = np.random.default_rng(0).integers(0, 2000, (5, 4, 3)).astype(np.float32)


@pytest.mark.parametrize("storage", [np.dtype("i2"), None])
@pytest.mark.parametrize("suffix", [suffix for suffix in image_suffixes() if suffix != ".nhdr"])
def test_at_bytes_everywhere(tmp_path: Path, suffix: str, storage: np.dtype | None) -> None:
    path = Volume(STORED, GRID, Storage(storage)).write(tmp_path / f"a{suffix}")
    cut = path.with_suffix(".zraw") if suffix == ".mhd" else path
    content = cut.read_bytes()
    for length in {*range(0, len(content), 3), *range(len(content) - 30, len(content))}:
        cut.write_bytes(content[:length])
        try:
            scan = Volume.read(path)
        except ArSSRError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
        else:
            np.testing.assert_array_equal(scan.data, STORED)
            assert scan.grid.matches(GRID)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii.zst", ".mgz", ".nrrd", ".mhd"])
def test_a_changed_bit_in_compressed_samples_changes_none(tmp_path: Path, suffix: str) -> None:
    """The check sum tells: every bit of the stream, of which some mean nothing."""
    path = Volume(STORED, GRID, Storage("i2")).write(tmp_path / f"a{suffix}")
    stream = path.with_suffix(".zraw") if suffix == ".mhd" else path
    content = bytearray(stream.read_bytes())
    start = content.find(b"\n\n") + 2 if suffix == ".nrrd" else 0
    refused = 0
    for bit in range(8 * start, 8 * len(content)):
        content[bit // 8] ^= 1 << bit % 8
        stream.write_bytes(content)
        content[bit // 8] ^= 1 << bit % 8
        try:
            np.testing.assert_array_equal(Volume.read(path).data, STORED)
        except ArSSRError as error:
            assert str(error).startswith(str(path))
            refused += 1
    assert refused > 0.9 * 8 * (len(content) - start)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nii.zst", ".mgz", ".nrrd", ".mha"])
def test_of_several_frames_each_is_whole_or_refused(tmp_path: Path, suffix: str) -> None:
    path, like = tmp_path / f"a{suffix}", Volume(STORED, GRID, Storage("i2"))
    with open_writer(path, like, GRID, frames=2) as writer:
        writer.put(STORED)
        writer.put(STORED + 1)
    content = path.read_bytes()
    for length in range(0, len(content), 5):
        path.write_bytes(content[:length])
        try:
            with open_frames(path) as frames:
                found = [scan.data for scan in frames]
        except ArSSRError:
            continue
        np.testing.assert_array_equal(found, [STORED, STORED + 1])


def test_a_nrrd_beside_its_header(tmp_path: Path) -> None:
    (tmp_path / "a.nhdr").write_text(
        "NRRD0004\ntype: short\ndimension: 3\nspace: RAS\nsizes: 5 4 3\n"
        "space directions: (1,0,0) (0,1,0) (0,0,3)\nspace origin: (0,0,0)\n"
        "endian: little\nencoding: raw\ndata file: a.raw\n\n"
    )
    content = STORED.astype("<i2").tobytes(order="F")
    for length in range(0, len(content), 7):
        (tmp_path / "a.raw").write_bytes(content[:length])
        with pytest.raises(ArSSRError, match=r"a\.nhdr"):
            Volume.read(tmp_path / "a.nhdr")
