"""Images written plane by plane: the same bytes as at once, whole or not at all."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.phantoms import smooth

from arssr.errors import ArSSRError
from arssr.files import replacing
from arssr.grid import Grid
from arssr.volume import Storage, Volume, open_frames, open_writer

SHAPE = (5, 4, 6)
GRID = Grid(SHAPE, np.diag([1.0, 2, 3, 1]))
STREAMED = (".nii", ".nii.gz", ".nii.zst")
SCAN = Volume(np.rint(500 * smooth(SHAPE)), GRID, Storage("i2", 0.5, 3.0))


@given(st.lists(st.integers(0, 6), max_size=9), st.sampled_from(STREAMED), st.sampled_from((1, 3)))
def test_slabs_of_any_thickness_give_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], suffix: str, frames: int
) -> None:
    folder = tmp_path_factory.mktemp("slabs")
    planes = np.concatenate([SCAN.data + n for n in range(frames)], axis=2)
    edges = [0, *sorted(c * frames for c in cuts), planes.shape[2]]
    paths = folder / f"a{suffix}", folder / f"b{suffix}"
    with open_writer(paths[0], SCAN, GRID, frames=frames) as writer:
        for start, end in pairwise(edges):
            writer.put(planes[..., start:end])
    with open_writer(paths[1], SCAN, GRID, frames=frames) as writer:
        writer.put(planes)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with open_frames(paths[0]) as back:
        assert len(back) == frames
        for number, frame in enumerate(back):
            np.testing.assert_allclose(frame.data, SCAN.data + number, atol=0.25)


def test_a_slab_may_be_used_again_once_it_was_put(tmp_path: Path) -> None:
    slab = np.empty((5, 4, 1), np.float32)
    with open_writer(tmp_path / "a.nii.gz", SCAN, GRID) as writer:
        for k in range(6):
            slab[:] = k
            writer.put(slab)
            slab[:] = -99
    np.testing.assert_array_equal(Volume.read(tmp_path / "a.nii.gz").data[0, 0], range(6))


def test_a_result_on_another_grid_keeps_type_and_header(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header["descrip"] = b"MPRAGE"
    like = Volume(SCAN.data, GRID, Storage("u2", header=header))
    fine = GRID.scaled(2)
    with open_writer(tmp_path / "a.nii.gz", like, fine) as writer:
        writer.put(np.full(fine.shape, 7.4))
    image = nib.load(tmp_path / "a.nii.gz")
    assert image.get_data_dtype() == np.uint16
    assert image.header["descrip"].item() == b"MPRAGE"
    assert Volume.read(tmp_path / "a.nii.gz").grid.matches(fine)
    assert (image.get_fdata() == 7).all()


@pytest.mark.parametrize(
    ("slabs", "words"),
    [
        ([(5, 4, 5)], "5 of 6 planes"),
        ([], "0 of 6 planes"),
        ([(5, 4, 6), (5, 4, 1)], "7 planes were given for 6"),
        ([(4, 5, 6)], "planes of shape (5, 4) are needed"),
        ([(5, 4)], "planes of shape (5, 4) are needed"),
    ],
)
def test_what_does_not_fill_the_grid_is_refused(tmp_path: Path, slabs: list, words: str) -> None:
    with (
        pytest.raises(ArSSRError) as caught,
        open_writer(tmp_path / "a.nii.gz", SCAN, GRID) as writer,
    ):
        for shape in slabs:
            writer.put(np.zeros(shape))
    assert words in str(caught.value) and str(tmp_path / "a.nii.gz") in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", STREAMED)
def test_a_failure_of_the_caller_leaves_what_was_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text("old")
    with (
        pytest.raises(ZeroDivisionError),
        open_writer(path, SCAN, GRID, overwrite=True) as writer,
    ):
        writer.put(np.zeros((5, 4, 2)))
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", STREAMED)
def test_a_full_disk_is_said_in_words(
    tmp_path: Path, suffix: str, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    """It shows in the writing thread, and must reach the one who gives the planes."""
    grid = Grid((64, 64, 256), np.eye(4))
    noise = np.random.default_rng(0).random((64, 64, 1), np.float32)
    path = tmp_path / f"a{suffix}"
    path.write_text("old")
    with (
        full_disk(100_000),
        pytest.raises(ArSSRError, match=r"cannot write .*a\.nii.*large"),
        open_writer(path, SCAN, grid, overwrite=True) as writer,
    ):
        for _ in range(256):
            writer.put(noise)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_writer_killed_half_way_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    script = """
import sys
import numpy as np
from arssr.grid import Grid
from arssr.volume import Volume, open_writer
grid = Grid((32, 32, 1000), np.eye(4))
with open_writer(sys.argv[1], Volume(np.zeros((1, 1, 1)), Grid((1, 1, 1), np.eye(4))), grid) as w:
    for k in range(500):
        w.put(np.full((32, 32, 1), k))
    print("half", flush=True)
    sys.stdin.read()
"""
    for suffix in STREAMED:
        path = tmp_path / f"a{suffix}"
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None and process.stdout.readline() == b"half\n"
        assert not path.exists()
        process.kill()
        process.communicate()
        assert not path.exists()
        assert all(p.name.startswith(".") for p in tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a b.nii.gz", "Schädel ☃.nii.zst", "-x.nii"])
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    assert Volume.read(SCAN.write(tmp_path / "ein Ordner" / name)).grid == GRID


def test_a_link_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    SCAN.write(tmp_path / "target.nii")
    before = (tmp_path / "target.nii").read_bytes()
    (tmp_path / "link.nii").symlink_to("target.nii")
    assert Volume.read(tmp_path / "link.nii").grid == GRID
    with open_writer(tmp_path / "link.nii", SCAN, GRID, overwrite=True) as writer:
        writer.put(np.zeros(SHAPE))
    assert (tmp_path / "target.nii").read_bytes() == before
    assert not (tmp_path / "link.nii").is_symlink()


def test_a_folder_that_vanishes_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(ArSSRError, match="cannot write"), replacing(tmp_path / "x" / "a") as part:
        part.unlink()


def test_memory_is_that_of_a_few_slabs(tmp_path: Path) -> None:
    """A result of 256 MB goes through a process that may take 96 MB more than it has."""
    script = """
import resource, sys
import numpy as np
from arssr.grid import Grid
from arssr.volume import Volume, open_writer
like = Volume(np.zeros((1, 1, 1)), Grid((1, 1, 1), np.eye(4)))
grid = Grid((512, 512, 256), np.eye(4))
slab = np.zeros((512, 512, 4), np.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open_writer(sys.argv[1], like, grid) as writer:
    for _ in range(64):
        writer.put(slab)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a.nii.gz")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 96_000
    with open_frames(tmp_path / "a.nii.gz") as frames:
        assert frames.grid.shape == (512, 512, 256)
