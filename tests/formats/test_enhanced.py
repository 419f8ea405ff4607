"""Enhanced MR, many slices in one file: read as the slices that they are, or refused in words."""

import itertools
import shutil
import subprocess
import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import MRImageStorage, RLELossless
from tests.formats.enhanced import Frame, frames_of, write_enhanced

from arssr.errors import ArSSRError
from arssr.formats.dicom_pixels import PixelFile
from arssr.grid import Grid
from arssr.jobs.job import Job
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target
from arssr.volume import Storage, Volume, open_frames

REAL = Path(__file__).parents[3] / "shared" / "data" / "dicom"
SHAPE = (6, 5, 4)
GRID = Grid(SHAPE, np.diag([1.0, 1, 3, 1]))
STORED = np.random.default_rng(0).integers(0, 4096, SHAPE).astype(np.uint16)
ORIENTATIONS = [
    np.eye(3)[list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((-1, 1), repeat=3)
]


def refused(path: Path, series: str | None = None) -> str:
    with pytest.raises(ArSSRError) as caught:
        Volume.read(path, series)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


# --- where frames lie ----------------------------------------------------------------------------


@given(
    st.sampled_from(ORIENTATIONS),
    st.permutations(range(4)),
    st.tuples(*[st.floats(0.2, 8)] * 3),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_samples_lie_where_the_frames_say(
    tmp_path_factory: pytest.TempPathFactory,
    axes: np.ndarray,
    order: list[int],
    spacing: tuple[float, float, float],
    scaled: bool,
) -> None:
    """In whichever order they come, and each with a slope of its own."""
    path = tmp_path_factory.mktemp("enhanced") / "1.dcm"
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes * spacing, (10, -20, 30)
    grid = Grid(SHAPE, affine)
    slope = [1 + 0.5 * k * scaled for k in range(4)]
    inter = [-7.0 * k * scaled for k in range(4)]
    write_enhanced(path, [Frame(STORED, grid, k, slope[k], inter[k]) for k in order])
    scan = Volume.read(path)
    for index in itertools.product((0, 5), (0, 2, 4), range(4)):
        there = scan.grid.to_index(grid.to_world(index))
        np.testing.assert_allclose(there, np.rint(there), atol=1e-4)
        k = index[2]
        expected = STORED[index] * slope[k] + inter[k]
        assert scan.data[tuple(np.rint(there).astype(int))] == pytest.approx(expected)
    assert scan.storage == Storage(None if scaled else "u2")
    assert scan.slices is not None and scan.slices.axis == 2 and scan.warnings == ()
    assert scan.slices.gap == pytest.approx(0.2)


def test_slices_in_several_files_and_a_folder_are_one_volume(tmp_path: Path) -> None:
    """As a concatenation has them; where a part of it is missing, a warning says so."""
    frames = frames_of(STORED, GRID)
    split = {"ConcatenationUID": "1.2.3", "InConcatenationTotalNumber": 2}
    write_enhanced(tmp_path / "a" / "1", frames[2:], instance=1, **split)
    last = write_enhanced(tmp_path / "a" / "2", frames[:2], instance=2, **split)
    scan = Volume.read(tmp_path / "a")
    np.testing.assert_array_equal(scan.data, STORED)
    assert scan.warnings == ()
    last.unlink()
    assert "1 of the 2 files are there" in Volume.read(tmp_path / "a").warnings[0]


@pytest.mark.parametrize("compressed", [False, True])
def test_frames_are_read_from_where_they_lie(tmp_path: Path, compressed: bool) -> None:
    path = write_enhanced(tmp_path / "1.dcm", frames_of(STORED, GRID))
    if compressed:
        image = pydicom.dcmread(path)
        image.compress(RLELossless, generate_instance_uid=False)
        image.save_as(path)
    pixels = PixelFile(path)
    np.testing.assert_array_equal(pixels.read([2])[0], STORED[..., [2]].T)
    np.testing.assert_array_equal(pixels.read([3, 0])[0], STORED[..., [3, 0]].T)
    np.testing.assert_array_equal(Volume.read(path).data, STORED)


def test_one_frame_of_many_takes_no_memory_for_the_others(tmp_path: Path) -> None:
    grid = Grid((256, 256, 4), GRID.affine)
    stored = np.zeros(grid.shape, np.uint16)
    frames = [frame for n in range(16) for frame in frames_of(stored, grid, time=n + 1)]
    path = write_enhanced(tmp_path / "1.dcm", frames)
    with open_frames(path) as opened:
        assert len(opened) == 16
        tracemalloc.start()
        opened.frame(7)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 0.8 * path.stat().st_size


# --- several images in a file --------------------------------------------------------------------


def test_two_stacks_in_one_file(tmp_path: Path) -> None:
    """Parallel ones are told apart by their numbers, others by their direction."""
    lower = Grid(SHAPE, GRID.affine + np.eye(4, k=3) * 40)
    turned = Grid(SHAPE, np.array([[0, 0, 3, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]]))
    for name, other, words in (
        ("parallel", lower, ("stack 1", "stack 2")),
        ("turned", turned, ("transverse", "sagittal")),
    ):
        frames = [*frames_of(STORED, GRID), *frames_of(STORED + 1, other, stack="2")]
        path = write_enhanced(tmp_path / f"{name}.dcm", frames)
        for word, grid, added in zip(words, (GRID, other), (0, 1), strict=True):
            assert word in refused(path)
            scan = Volume.read(path, word)
            assert scan.grid.matches(grid)
            np.testing.assert_array_equal(scan.data, STORED + added)
        np.testing.assert_array_equal(Volume.read(path, "5.2").data, STORED + 1)


def test_echoes_parts_and_units_are_listed_and_asked_for(tmp_path: Path) -> None:
    phase = {"types": ("ORIGINAL", "PRIMARY", "P", "NONE"), "component": "PHASE"}
    images = (
        ("echo 1, TE 4.92 ms, magnitude", {"echo_ms": 4.92}),
        ("TE 7.38 ms, magnitude", {"echo_ms": 7.38}),
        ("echo 1, phase", {"echo_ms": 4.92, **phase}),
        ("5, echo 2, phase", {"echo_ms": 7.38, **phase}),
    )
    frames = [f for n, (_, said) in enumerate(images) for f in frames_of(STORED + n, GRID, **said)]
    path = write_enhanced(tmp_path / "1.dcm", np.random.default_rng(1).permutation(frames))
    message = refused(path)
    assert "5.4 't1_mprage'" in message and "echo 1, TE 4.92 ms (4 images)" in message
    for n, (wanted, _) in enumerate(images[:2]):
        scan = Volume.read(path, wanted)
        np.testing.assert_array_equal(scan.data, STORED + n)
        assert scan.kind.what == "intensities"
    for wanted, _ in images[2:]:
        assert Volume.read(path, wanted).kind.what == "phase"
    assert "2 images match 'phase'" in refused(path, "phase")
    assert "no images match 'echo 3'" in refused(path, "echo 3")


def test_a_field_map_in_hertz(tmp_path: Path) -> None:
    """Real-world values are the values, and their units tell images apart."""
    frames = [*frames_of(STORED, GRID), *frames_of(STORED, GRID, units="Hz", slope=3)]
    path = write_enhanced(tmp_path / "1.dcm", frames)
    assert "in Hz" in refused(path) and "in no units" in refused(path)
    np.testing.assert_array_equal(Volume.read(path, "in Hz").data, STORED * 0.5 - 100)
    np.testing.assert_array_equal(Volume.read(path, "in no units").data, STORED)


def test_units_that_are_none_do_not_replace_the_slope(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "1.dcm", frames_of(STORED, GRID, units="1", slope=3))
    np.testing.assert_array_equal(Volume.read(path).data, 3.0 * STORED)


# --- several frames ------------------------------------------------------------------------------


def test_repetitions_are_frames(tmp_path: Path) -> None:
    frames = [f for n in range(3) for f in frames_of(STORED + n, GRID, time=n + 1)]
    path = write_enhanced(tmp_path / "1.dcm", np.random.default_rng(2).permutation(frames))
    message = refused(path)
    assert "4D" in message and "--frames" in message and "'frame 1'" in message
    with open_frames(path) as opened:
        assert len(opened) == 3 and opened.repetition_s == pytest.approx(2)
        for n, volume in enumerate(opened):
            np.testing.assert_array_equal(volume.data, STORED + n)
    np.testing.assert_array_equal(Volume.read(path, "frame 2").data, STORED + 1)
    assert "no series match 'frame 4'" in refused(path, "frame 4")


def test_diffusion_and_labels_are_frames_that_can_be_asked_for(tmp_path: Path) -> None:
    for name, values in (("b", (0.0, 1000.0, 1000.0)), ("label", ("LABEL", "CONTROL", "CONTROL"))):
        frames = [
            frame
            for n, value in enumerate(values)
            for frame in frames_of(STORED + n, GRID, time=n + 1, **{name: value})
        ]
        path = write_enhanced(tmp_path / f"{name}.dcm", frames)
        once, twice = ("b 0", "b 1000") if name == "b" else ("label", "control")
        assert once in refused(path) and twice in refused(path)
        np.testing.assert_array_equal(Volume.read(path, once).data, STORED)
        assert "4D" in refused(path, twice)
        np.testing.assert_array_equal(Volume.read(path, f"{twice}, frame 2").data, STORED + 2)
        with open_frames(path) as opened:
            assert [v.data[0, 0, 0] - STORED[0, 0, 0] for v in opened] == [0, 1, 2]
        with open_frames(path, twice) as opened:
            assert [v.data[0, 0, 0] - STORED[0, 0, 0] for v in opened] == [1, 2]


def test_a_repetition_that_lacks_a_slice_is_refused(tmp_path: Path) -> None:
    frames = [*frames_of(STORED, GRID), *frames_of(STORED + 1, GRID, time=2)]
    path = write_enhanced(tmp_path / "1.dcm", frames[:-2] + frames[-1:])
    assert "at slice 3 of 4 there are 1 images, at others 2" in refused(path)


# --- what is missing or broken -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("PlanePositionSequence", "ImagePositionPatient is missing"),
        ("PlaneOrientationSequence", "ImageOrientationPatient is missing"),
        ("PixelMeasuresSequence", "PixelSpacing is missing"),
        ("PerFrameFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence is missing"),
    ],
)
def test_missing_functional_groups(tmp_path: Path, group: str, words: str) -> None:
    path = write_enhanced(tmp_path / "1.dcm", frames_of(STORED, GRID))
    image = pydicom.dcmread(path)
    for groups in [image, *image.PerFrameFunctionalGroupsSequence]:
        if group in groups:
            del groups[group]
    image.save_as(path)
    assert words in refused(path)


def test_groups_that_all_share_hold_for_every_frame(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "1.dcm", frames_of(STORED, GRID, slope=2))
    image = pydicom.dcmread(path)
    for name in ("PixelMeasures", "PlaneOrientation", "PixelValueTransformation"):
        keyword = f"{name}Sequence"
        shared = next(groups[keyword] for groups in image.PerFrameFunctionalGroupsSequence)
        image.SharedFunctionalGroupsSequence[0][shared.tag] = shared
        for groups in image.PerFrameFunctionalGroupsSequence:
            del groups[keyword]
    image.save_as(path)
    np.testing.assert_array_equal(Volume.read(path).data, 2.0 * STORED)


def test_descriptions_of_other_frames_than_there_are(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "1.dcm", frames_of(STORED, GRID), NumberOfFrames=5)
    assert "it has 5 frames and describes 4" in refused(path)
    image = pydicom.dcmread(path)
    image.NumberOfFrames = 4
    del image.SharedFunctionalGroupsSequence
    image.save_as(path)
    np.testing.assert_array_equal(Volume.read(path).data, STORED)


def test_a_missing_slice_is_noticed(tmp_path: Path) -> None:
    frames = frames_of(np.tile(STORED, 2), Grid((6, 5, 8), GRID.affine))
    path = write_enhanced(tmp_path / "1.dcm", frames[:3] + frames[4:])
    assert "1 slices are missing" in refused(path)


def test_an_enhanced_file_cut_at_any_byte_is_right_or_refused(tmp_path: Path) -> None:
    content = write_enhanced(tmp_path / "1.dcm", frames_of(STORED, GRID)).read_bytes()
    path = tmp_path / "cut" / "1.dcm"
    path.parent.mkdir()
    for length in [*np.linspace(140, len(content) - 300, 60).astype(int), len(content) - 1]:
        path.write_bytes(content[:length])
        refused(path)
        refused(path.parent)


def test_the_same_file_twice_counts_once(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "1.dcm", frames_of(STORED, GRID))
    (tmp_path / "2.dcm").write_bytes(path.read_bytes())
    np.testing.assert_array_equal(Volume.read(tmp_path).data, STORED)
    write_enhanced(tmp_path / "2.dcm", frames_of(STORED + 1, GRID))
    assert "same SOP instance UID but differ" in refused(tmp_path)


# --- written -------------------------------------------------------------------------------------


def errors_in(path: Path) -> list[str]:
    """What the validator of dicom3tools holds against a file."""
    told = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
    return [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")]


def test_a_derived_series_has_classic_slices_of_the_same_patient(tmp_path: Path) -> None:
    said = {"echo_ms": 7.38, "b": 1000.0}
    frames = [*frames_of(STORED, GRID), *frames_of(STORED + 1, GRID, **said)]
    path = write_enhanced(tmp_path / "1.dcm", frames)
    scan = Volume.read(path, "echo 2")
    out = scan.write(tmp_path / "out.dicom", made_from=path, series="echo 2")
    assert Volume.read(out).grid.matches(scan.grid)
    np.testing.assert_array_equal(Volume.read(out).data, STORED + 1)
    old = pydicom.dcmread(path)
    headers = [pydicom.dcmread(each) for each in sorted(out.iterdir())]
    assert len({old.SOPInstanceUID, *(each.SOPInstanceUID for each in headers)}) == 5
    new = headers[0]
    for kept in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientName", "PatientID", "StudyID"):
        assert new[kept].value == old[kept].value
    assert new.SOPClassUID == new.file_meta.MediaStorageSOPClassUID == MRImageStorage
    assert (new.EchoTime, new.RepetitionTime, new.DiffusionBValue) == (7.38, 2000, 1000)
    assert (new.ScanningSequence, new.SequenceVariant) == ("GR", "NONE")
    for gone in ("PerFrameFunctionalGroupsSequence", "NumberOfFrames", "WindowCenter", "StackID"):
        assert gone not in new


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools are not there")
def test_a_derived_series_is_valid(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "1.dcm", frames_of(STORED, GRID))
    out = Volume.read(path).write(tmp_path / "out.dicom", made_from=path)
    for each in out.iterdir():
        assert errors_in(each) == []


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools are not there")
@pytest.mark.skipif(not REAL.exists(), reason="shared data are not there")
@pytest.mark.parametrize(
    ("folder", "series"), [("xa30-t1", None), ("xa30-asl", None), ("xa30-fieldmap", "8.2")]
)
def test_derived_series_of_scans_of_today_are_valid(
    tmp_path: Path, folder: str, series: str | None
) -> None:
    scan = Volume.read(REAL / folder, series)
    part = scan.with_data(scan.data[..., :2], Grid((*scan.grid.shape[:2], 2), scan.grid.affine))
    out = part.write(tmp_path / "out.dicom", made_from=REAL / folder, series=series)
    for each in out.iterdir():
        assert errors_in(each) == []


def test_times_of_any_length_fit_into_a_classic_header(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "1.dcm", frames_of(STORED, GRID, echo_ms=10 / 3))
    image = pydicom.dcmread(path)
    modifiers = image.SharedFunctionalGroupsSequence[0].MRModifierSequence[0]
    modifiers.InversionRecovery, modifiers.InversionTimes = "YES", [1000 / 3, 2000.0]
    image.save_as(path)
    out = Volume.read(path).write(tmp_path / "out.dicom", made_from=path)
    new = pydicom.dcmread(out / "00001.dcm")
    assert float(new.EchoTime) == pytest.approx(10 / 3) and len(str(new.EchoTime)) <= 16
    assert float(new.InversionTime) == pytest.approx(1000 / 3)
    assert (new.ScanningSequence, new.SequenceVariant) == (["GR", "IR"], "MP")


def test_only_images_of_mr_become_classic_ones(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "1.dcm", frames_of(STORED, GRID), Modality="CT")
    with pytest.raises(ArSSRError, match="only enhanced images of MR"):
        Volume.read(path).write(tmp_path / "out.dicom", made_from=path)


def test_a_single_file_is_a_source_for_a_job(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "1.dcm", frames_of(STORED, GRID))
    target = Target(scale=(1, 1, 3))
    Job(path, tmp_path / "out.dicom", Request(target)).check()
    several = [*frames_of(STORED, GRID), *frames_of(STORED, GRID, echo_ms=7)]
    two = write_enhanced(tmp_path / "2.dcm", several)
    job = Job(two, tmp_path / "out.nii", Request(target, frames=True), series="echo 2")
    assert job.read().grid.matches(GRID)
