"""A compressed file depends on its content, not on how that came or on who compressed it."""

import gzip
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arssr.formats import streams
from arssr.formats.streams import open_reading, open_writing

BLOCK = 2**14
CONTENT = np.random.default_rng(0).normal(0, 9, 3 * BLOCK + 77).astype(np.int8).tobytes()


def written(path: Path, cuts: list[int], cores: int) -> bytes:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(streams, "_GZIP_BLOCK", BLOCK)
        patched.setenv("OMP_NUM_THREADS", str(cores))
        with open_writing(path) as file:
            for start, stop in pairwise([0, *sorted(cuts), len(CONTENT)]):
                file.write(CONTENT[start:stop])
    return path.read_bytes()


@settings(max_examples=15)
@given(
    st.lists(st.integers(0, len(CONTENT)) | st.sampled_from([BLOCK - 1, BLOCK, 2 * BLOCK])),
    st.integers(1, 3),
)
def test_bytes_are_the_same_in_whatever_pieces_and_on_however_many_cores(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], cores: int
) -> None:
    folder = tmp_path_factory.mktemp("gz")
    found = written(folder / "a.gz", cuts, cores)
    assert found == written(folder / "b.gz", [], 1)
    assert gzip.decompress(found) == CONTENT
    with open_reading(folder / "a.gz") as file:
        assert file.read() == CONTENT


def test_no_name_and_no_time_are_in_the_file(tmp_path: Path) -> None:
    head = written(tmp_path / "some name.gz", [], 2)[:10]
    assert head[3] == 0 and head[4:8] == bytes(4)


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_while_it_is_written_is_raised(tmp_path: Path, failure: BaseException) -> None:
    with pytest.raises(type(failure)), open_writing(tmp_path / "a.gz") as file:
        file.write(CONTENT)
        raise failure


def test_a_full_disk_is_told(tmp_path: Path, full_disk) -> None:  # type: ignore[no-untyped-def]
    noise = np.random.default_rng(0).bytes(4 * streams._GZIP_BLOCK)
    with pytest.raises(OSError), full_disk(2**16), open_writing(tmp_path / "a.gz") as file:
        for _ in range(4):
            file.write(noise)


@pytest.mark.parametrize("size", [2**17, 4 * streams._GZIP_BLOCK])
def test_the_contexts_of_a_full_disk_have_an_end(  # else ExitStack never returns
    tmp_path: Path, size: int, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    noise = np.random.default_rng(0).bytes(size)
    with pytest.raises(OSError) as told, full_disk(2**16), open_writing(tmp_path / "a.gz") as file:
        file.write(noise)
    seen, error = set[int](), cast(BaseException | None, told.value)
    while error is not None:
        assert id(error) not in seen
        seen.add(id(error))
        error = error.__context__
