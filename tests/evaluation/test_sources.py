import logging
from pathlib import Path

import numpy as np
import pytest
from tests.phantoms import anatomy, smooth, volume, zero_filled

from arssr.errors import ArSSRError
from arssr.evaluation.sources import find_volumes, sources


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two people, a T1w each."""
    for number in (1, 2):
        volume(smooth((5, 6, 7), seed=number)).write(tmp_path / f"sub-{number}" / "T1w.nii")
    return tmp_path


def test_files_folders_and_patterns(study: Path) -> None:
    first, second = study / "sub-1" / "T1w.nii", study / "sub-2" / "T1w.nii"
    assert find_volumes([f"{study}/*/T1w.nii"]) == [first, second]
    (study / "sub-1" / "T1w.json").touch()  # what lies beside images is passed over
    assert find_volumes([f"{study}/**/*"]) == [first, second]
    assert find_volumes([str(second), str(study / "sub-1"), f"{study}/*/*"]) == [second, first]
    with pytest.raises(ArSSRError, match="nothing that matches"):
        find_volumes([f"{study}/*/T2w.nii"])


def test_names_are_as_short_as_they_can_be(study: Path) -> None:
    both = sources(find_volumes([f"{study}/*/T1w.nii"]))
    assert [source.name for source in both] == ["sub-1/T1w", "sub-2/T1w"]
    assert [source.name for source in sources([str(study / "sub-1" / "T1w.nii")])] == ["T1w"]
    assert np.array_equal(both[1].read().data, smooth((5, 6, 7), seed=2))


def test_volumes_in_memory_are_sources_too() -> None:
    given = [volume(smooth((5, 6, 7), seed=number)) for number in (1, 2)]
    made = sources(given)
    assert [source.name for source in made] == ["volume (1)", "volume (2)"]
    assert made[0].read() is given[0]
    moved = volume(given[0].data, np.diag([1, 1, 2.0, 1]))
    assert len({source.sha256 for source in sources([*given, moved])}) == 3


def test_the_same_content_counts_once(study: Path, caplog: pytest.LogCaptureFixture) -> None:
    original, copy = study / "sub-1" / "T1w.nii", study / "copy.nii"
    copy.write_bytes(original.read_bytes())
    with caplog.at_level(logging.WARNING):
        assert [source.name for source in sources([original, copy])] == ["T1w"]
    assert "copy" in caplog.text


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArSSRError, match=r"cannot read .*gone\.nii"):
        sources([tmp_path / "gone.nii"])


def test_a_truth_that_was_stored_finer_than_measured_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sharp = anatomy((64, 72, 20))
    [native] = sources([volume(sharp)])
    native.read()
    assert not caplog.messages
    [filled] = sources([volume(zero_filled(sharp, axis=0, share=0.6))])
    filled.read()
    [told] = caplog.messages
    assert "no sharp truth along i, zero-filled" in told
