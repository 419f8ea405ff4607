"""A format of one's own: a module and its line in the list of formats are all that it takes."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.own_format import RAW
from tests.phantoms import smooth, volume

from arssr import files
from arssr.volume import Volume

from .conftest import Arssr


def test_a_new_format_is_read_and_written(
    arssr: Arssr, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = volume(smooth((8, 7, 6), sigma=1))
    asked = ("--scale", 2, "-m", tiny, "--precision", "float32")
    assert (
        arssr("upsample", scan.write(tmp_path / "a.nii"), "-o", tmp_path / "b.nii", *asked).code
        == 0
    )
    right = Volume.read(tmp_path / "b.nii")

    (tmp_path / "T1.raw3").write_text("")
    refusal = arssr("upsample", tmp_path / "T1.raw3", "-o", tmp_path / "c.nii", *asked)
    assert "must end in" in refusal.complaint
    (tmp_path / "T1.raw3").unlink()

    monkeypatch.setattr(files, "FORMATS", (*files.FORMATS, RAW))
    scan.write(tmp_path / "scans" / "T1.raw3")
    done = arssr("upsample", tmp_path / "scans", "-o", tmp_path / "out", *asked)
    assert done.code == 0, done.err
    names = ["T1_SR.raw3", "T1_SR.raw3.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    result = Volume.read(tmp_path / "out" / "T1_SR.raw3")
    np.testing.assert_array_equal(result.data, right.data)
    assert result.grid.matches(right.grid)

    told = json.loads(arssr("info", tmp_path / "out" / "T1_SR.raw3", "--json").out)
    assert told["shape"] == [16, 14, 12]
    (tmp_path / "scans" / "T1.raw3").write_bytes(b"cut")
    cut = arssr("upsample", tmp_path / "scans" / "T1.raw3", "-o", tmp_path / "c.nii", *asked)
    assert "cannot be read as a raw image" in cut.complaint
