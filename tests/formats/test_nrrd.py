"""NRRD and MetaImage headers: units, and what they leave open."""

from pathlib import Path

import numpy as np
import pytest

from arssr.errors import ArSSRError
from arssr.volume import Storage, Volume, grid_of, open_frames

STORED = np.arange(60, dtype="<i2").reshape(5, 4, 3)
RAW = STORED.tobytes(order="F")
SPACE = ("space: RAS", "space directions: (1,0,0) (0,1,0) (0,0,4)", "space origin: (1,2,3)")


def nrrd(folder: Path, *lines: str, sizes: str = "5 4 3", samples: bytes = RAW) -> Path:
    known = {"type": "short", "endian": "little", "encoding": "raw"}
    known |= {"dimension": str(len(sizes.split())), "sizes": sizes}
    known |= dict(line.split(": ", 1) for line in lines)
    text = "NRRD0005\n# a comment\n" + "".join(f"{k}: {v}\n" for k, v in known.items()) + "\n"
    (folder / "a.nrrd").write_bytes(text.encode() + samples)
    return folder / "a.nrrd"


def meta(folder: Path, samples: bytes = RAW, **fields: str | None) -> Path:
    known: dict[str, str | None] = {"ObjectType": "Image", "NDims": "3", "BinaryData": "True"}
    known |= {"TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "1 2 3"}
    known |= {"ElementSpacing": "1 1 4", "DimSize": "5 4 3"} | fields
    known |= {"ElementType": "MET_SHORT", "ElementDataFile": "LOCAL"}
    text = "".join(f"{name} = {value}\n" for name, value in known.items() if value is not None)
    (folder / "a.mha").write_bytes(text.encode() + samples)
    return folder / "a.mha"


@pytest.mark.parametrize(
    ("unit", "mm"), [("mm", 1.0), ("um", 1e-3), ("µm", 1e-3), ("cm", 10.0), ("Millimeters", 1.0)]
)
def test_lengths_in_any_unit(tmp_path: Path, unit: str, mm: float) -> None:
    affine = np.array([[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 4, 3], [0, 0, 0, 1.0]])
    affine[:3] *= mm
    words = " ".join([f'"{unit}"'] * 3)
    scan = Volume.read(nrrd(tmp_path, *SPACE, f"space units: {words}"))
    np.testing.assert_allclose(scan.grid.affine, affine)
    scan = Volume.read(meta(tmp_path, DistanceUnits=unit))
    np.testing.assert_allclose(scan.grid.affine, np.diag([-1.0, -1, 1, 1]) @ affine)
    scan = Volume.read(nrrd(tmp_path, "spacings: 1 1 4", f"units: {words}"))
    np.testing.assert_allclose(scan.grid.spacing_mm, [mm, mm, 4 * mm])


@pytest.mark.parametrize("units", ['"mm" "um" "mm"', '"s" "s" "s"'])
def test_units_that_are_no_length_are_refused(tmp_path: Path, units: str) -> None:
    with pytest.raises(ArSSRError, match=r"a\.nrrd: its axes have the units"):
        Volume.read(nrrd(tmp_path, *SPACE, f"space units: {units}"))
    with pytest.raises(ArSSRError, match=r"a\.mha: .*DistanceUnits"):
        Volume.read(meta(tmp_path, DistanceUnits="furlong"))


def test_whole_headers_are_not_doubted(tmp_path: Path) -> None:
    for space in ("RAS", "LPS", "left-anterior-superior", "Right-Anterior-Superior"):
        assert Volume.read(nrrd(tmp_path, f"space: {space}", *SPACE[1:])).warnings == ()
    assert Volume.read(meta(tmp_path)).warnings == ()


@pytest.mark.parametrize(
    "lines", [("spacings: 1 1 4",), SPACE[:1], ("space: scanner-xyz", *SPACE[1:]), ()]
)
def test_a_nrrd_that_does_not_say_where_or_how_large(
    tmp_path: Path, lines: tuple[str, ...]
) -> None:
    told = Volume.read(nrrd(tmp_path, *lines)).warnings
    assert "does not say where the scan lies" in told[0]
    said = any(line.startswith("spac") and line.split(":")[0] != "space" for line in lines)
    assert len(told) == 2 - said


def test_a_meta_image_that_does_not_say_where_or_how_large(tmp_path: Path) -> None:
    for missing in ("TransformMatrix", "Offset"):
        [told] = Volume.read(meta(tmp_path, **{missing: None})).warnings
        assert "does not say where the scan lies" in told
    [told] = Volume.read(meta(tmp_path, ElementSpacing=None)).warnings
    assert "how large the voxels are" in told


def test_sizes_below_zero_are_refused(tmp_path: Path) -> None:
    for path in (nrrd(tmp_path, "spacings: -1 1 4"), meta(tmp_path, ElementSpacing="-1 1 4")):
        with pytest.raises(ArSSRError, match="-1×1×4 mm; they must be positive"):
            Volume.read(path)


def test_axes_of_time_come_last(tmp_path: Path) -> None:
    two, four = RAW + RAW, "5 4 3 2"
    kinds = "kinds: space space space time"
    with open_frames(nrrd(tmp_path, "spacings: 1 1 4 2", kinds, sizes=four, samples=two)) as frames:
        assert len(frames) == 2
        np.testing.assert_array_equal(frames.frame(1).data, STORED)
    first = ("spacings: 2 1 1 4", "kinds: time space space space")
    with (
        pytest.raises(ArSSRError, match="time is not its last axis"),
        open_frames(nrrd(tmp_path, *first, sizes="2 5 4 3", samples=two)),
    ):
        pass


def test_a_grid_of_vectors_is_no_reason_for_doubt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = (
        "space directions: none (1,0,0) (0,1,0) (0,0,4)",
        "kinds: vector domain domain domain",
    )
    path = nrrd(tmp_path, *SPACE, *vectors, "space units: \"mm\" \"mm\" \"mm\"", sizes="2 5 4 3",
                samples=RAW * 2)  # fmt: skip
    for each in (path, meta(tmp_path, RAW * 2, ElementNumberOfChannels="2")):
        assert grid_of(each).shape == (5, 4, 3)
    assert not caplog.text


def test_more_samples_than_the_header_tells_of(tmp_path: Path) -> None:
    for path in (nrrd(tmp_path, *SPACE, samples=RAW * 2), meta(tmp_path, RAW * 2)):
        scan = Volume.read(path)
        np.testing.assert_array_equal(scan.data, STORED)
        assert "120 B lie behind the samples" in scan.warnings[0]


@pytest.mark.parametrize(
    ("skip", "count"), [("line skip: 0", 1), ("byte skip: 120", 0), ("byte skip: -1", 0)]
)
def test_more_samples_beside_the_header_than_it_tells_of(
    tmp_path: Path, skip: str, count: int
) -> None:
    """Unless it says itself where they begin."""
    path = nrrd(tmp_path, *SPACE, "data file: a.raw", skip, samples=b"")
    (tmp_path / "a.raw").write_bytes(RAW * 2)
    scan = Volume.read(path)
    np.testing.assert_array_equal(scan.data, STORED)
    assert [told for told in scan.warnings if "120 B lie behind" in told] == [*scan.warnings]
    assert len(scan.warnings) == count


@pytest.mark.parametrize(
    ("space", "turn"),
    [
        ("right-anterior-superior-time", (1, 1, 1, 1)),
        ("RAST", (1, 1, 1, 1)),
        ("Left-Anterior-Superior-Time", (-1, 1, 1, 1)),
        ("LAST", (-1, 1, 1, 1)),
        ("left-posterior-superior-time", (-1, -1, 1, 1)),
        ("LPST", (-1, -1, 1, 1)),
    ],
)
def test_a_space_with_time_has_the_same_directions_as_one_without(
    tmp_path: Path, space: str, turn: tuple
) -> None:
    """SimpleITK takes the first two for LPS."""
    lines = (f"space: {space}", "space origin: (1,2,3,0)")
    axes = "space directions: (1,0,0,0) (0,1,0,0) (0,0,4,0) (0,0,0,2)"
    path = nrrd(tmp_path, *lines, axes, sizes="5 4 3 2", samples=RAW * 2)
    affine = np.array([[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 4, 3], [0, 0, 0, 1.0]])
    with open_frames(path) as frames:
        np.testing.assert_allclose(frames.grid.affine, np.diag(turn) @ affine)
        assert frames.frame(0).warnings == ()


def test_numbers_written_out_may_be_cut_short(tmp_path: Path) -> None:
    text = " ".join(map(str, STORED.ravel(order="F"))).encode()
    whole = nrrd(tmp_path, *SPACE, "encoding: ascii", samples=text + b"\n")
    assert Volume.read(whole).warnings == ()
    cut = Volume.read(nrrd(tmp_path, *SPACE, "encoding: ascii", samples=text[:-1]))
    assert cut.data[-1, -1, -1] == 5 and "may be cut short" in cut.warnings[0]


def test_a_meta_image_with_a_slope(tmp_path: Path) -> None:
    slope = {"ElementToIntensityFunctionSlope": "2", "ElementToIntensityFunctionOffset": "-5"}
    scan = Volume.read(meta(tmp_path, **slope))
    np.testing.assert_array_equal(scan.data, 2.0 * STORED - 5)
    assert scan.storage == Storage("i2", 2, -5)


def test_numbers_of_axes_that_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(ArSSRError, match="NDims is 2, but DimSize has 3"):
        Volume.read(meta(tmp_path, NDims="2"))
