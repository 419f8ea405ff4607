"""What tells the images of a classic DICOM series apart, and the words by which each is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid
from tests.formats.series import write_series

from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.volume import Volume, open_frames

SHAPE = (6, 5, 4)
GRID = Grid(SHAPE, np.diag([1.0, 1, 3, 1]))
STORED = np.arange(120, dtype=np.int16).reshape(SHAPE)


def write_images(folder: Path, *said: dict[Any, Any]) -> Path:
    """One series of several images at the same places, each with tags of its own.

    A key (block, creator, offset, VR) is a private tag.
    """
    for n, tags in enumerate(said):
        for path in write_series(folder / str(n), STORED + n, GRID):
            image = pydicom.dcmread(path)
            image.SOPInstanceUID = generate_uid()
            image.InstanceNumber += 100 * n
            for key, value in tags.items():
                if isinstance(key, str):
                    setattr(image, key, value)
                else:
                    group, creator, offset, vr = key
                    block = image.private_block(group, creator, create=True)
                    block.add_new(offset, vr, value)
            image.save_as(path)
    return folder


def refused(path: Path, series: str | None = None) -> str:
    with pytest.raises(ArSSRError) as caught:
        Volume.read(path, series)
    return str(caught.value)


GE, GE_B = (0x0043, "GEMS_PARM_01", 0x2F, "SS"), (0x0043, "GEMS_PARM_01", 0x39, "IS")
SIEMENS_B = (0x0019, "SIEMENS MR HEADER", 0x0C, "IS")
PHILIPS_B = (0x2001, "Philips Imaging DD 001", 0x03, "FL")


def typed(*words: str) -> dict[str, list[str]]:
    return {"ImageType": ["ORIGINAL", "PRIMARY", *words]}


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ({"EchoTime": "10"}, {"EchoTime": "2.5"}, ("TE 10 ms", "TE 2.5 ms")),
        ({"EchoTime": "10"}, {"EchoTime": "2.5"}, ("echo 2", "Echo1")),
        ({"InversionTime": "900"}, {"InversionTime": "50"}, ("TI 900 ms", "TI 50 ms")),
        ({"FlipAngle": "5"}, {"FlipAngle": "20"}, ("flip angle 5°", "flip angle 20°")),
        ({"FlipAngle": "5"}, {}, ("flip angle 5°", "no flip angle")),
        (typed("M", "ND"), typed("P", "ND"), ("magnitude", "phase")),
        (typed("M_FFE", "M", "FFE"), typed("B0 MAP", "B0", "X"), ("magnitude", "b0 map")),
        (typed("DIXON", "WATER"), typed("DIXON", "FAT"), ("water", "FAT")),
        (typed("M"), typed("M", "MOCO"), ("of no other type", "moco")),
        ({GE: 2}, {GE: 1}, ("real", "phase")),
    ],
)
def test_images_of_one_series(
    tmp_path: Path, one: dict[Any, Any], other: dict[Any, Any], words: tuple[str, str]
) -> None:
    folder = write_images(tmp_path / "a", one, other)
    message = refused(folder)
    for n, word in enumerate(words):
        assert word.replace("Echo1", "echo 1").lower() in message.lower()
        np.testing.assert_array_equal(Volume.read(folder, f"t1, {word}").data, STORED + n)


@pytest.mark.parametrize("key", ["DiffusionBValue", SIEMENS_B, PHILIPS_B, GE_B])
def test_b_values_are_kinds_of_frames(tmp_path: Path, key: Any) -> None:
    """Also as makers write them in tags of their own; GE adds a thousand million."""
    added = 1_000_000_000 if key is GE_B else 0
    values = [[0, 8, 0, 0], [added + 1000, 8, 0, 0]] if key is GE_B else [0, 1000]
    folder = write_images(tmp_path / "a", {key: values[0]}, {key: values[1]})
    assert "'b 0', 'b 1000'" in refused(folder)
    np.testing.assert_array_equal(Volume.read(folder, "b1000").data, STORED + 1)
    with open_frames(folder, "5") as frames:
        assert len(frames) == 2


def test_what_differs_from_slice_to_slice_tells_nothing_apart(tmp_path: Path) -> None:
    """Such as inversion times of slices that were measured in turn."""
    for k, path in enumerate(write_series(tmp_path / "a", STORED, GRID)):
        image = pydicom.dcmread(path)
        image.InversionTime, image.EchoTime, image.ImageType = 100 * k, k, ["A", "B", str(k)]
        image.save_as(path)
    np.testing.assert_array_equal(Volume.read(tmp_path / "a").data, STORED)


def test_directions_of_a_localizer(tmp_path: Path) -> None:
    turned = Grid(SHAPE, np.array([[0, 0, 3, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]]))
    write_series(tmp_path / "a", STORED, GRID)
    for path in write_series(tmp_path / "a" / "b", STORED + 1, turned):
        image = pydicom.dcmread(path)
        image.SOPInstanceUID = generate_uid()
        image.save_as(path)
    assert "transverse (4 images)" in refused(tmp_path / "a")
    np.testing.assert_array_equal(Volume.read(tmp_path / "a", "sagittal").data, STORED + 1)


def test_frames_that_differ_in_b_value_within_are_mixed_up(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "a", {"DiffusionBValue": 0.0}, {"DiffusionBValue": 1000.0})
    paths = [sorted((folder / n).iterdir())[0] for n in "01"]
    for path, number in zip(paths, (900, 1), strict=True):  # this slice the other way round
        image = pydicom.dcmread(path)
        image.InstanceNumber = number
        image.save_as(path)
    with pytest.raises(ArSSRError, match="mixed up"):
        open_frames(folder)
    np.testing.assert_array_equal(Volume.read(folder, "b 1000").data, STORED + 1)


def test_words_that_name_nothing_or_too_much(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "a", *({"EchoTime": str(ms)} for ms in range(1, 30)))
    assert "no images match ''" in refused(folder, "")
    assert "no images match 't1,'" in refused(folder, "t1,")
    assert "29 images match 't1'" in refused(folder, "t1") and "and 9 more" in refused(folder)
