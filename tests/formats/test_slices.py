"""Thickness and distance of slices: read from wherever they are said, believed where they can be
true, on the axis that is theirs.
"""

import json
from collections.abc import Sequence
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, io_orientation
from tests.formats.series import write_series
from tests.phantoms import rotated

from arssr.formats.slices import Slices, slices_of
from arssr.grid import Grid
from arssr.volume import Volume, open_frames

AXES = "ijk"
SHAPE = (6, 5, 4)
STORED = np.arange(120, dtype=np.int16).reshape(SHAPE)
GRID = Grid(SHAPE, np.diag([1, 1, 4, 1.0]))
OBLIQUE = rotated(GRID, (10, -20, 30))
GAPPED = {"SliceThickness": 3, "SpacingBetweenSlices": 4, "MRAcquisitionType": "2D"}
ORDERS = list(permutations(range(3)))


def turned(order: Sequence[int], signs: Sequence[int], spacing: Sequence[float]) -> Grid:
    """A grid whose array axis `a` runs along ±the world axis `order[a]`, in steps of spacing[a]."""
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, order] * signs * spacing
    return Grid((3, 4, 5), affine)


# --- what the numbers mean -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thickness", "distance", "gap", "touch"),
    [
        (3, 4, 0.25, False),
        (5, 5, 0, True),
        (3, 3.3, 1 / 11, True),  # what scanners call a gap of 10 %
        (4.5, 5, 0.1, True),
        (4.4, 5, 0.12, False),
        (2, 1, -1, False),
        (5.5, 5, -0.1, True),
        (None, 5, 0, True),
    ],
)
def test_a_gap_is_what_no_slice_covers(
    thickness: float | None, distance: float, gap: float, touch: bool
) -> None:
    slices = Slices(2, thickness, distance)
    assert slices.gap == pytest.approx(gap)
    assert slices.touch is touch


def test_interpolated_partitions_of_a_slab_are_no_overlap_and_no_gap() -> None:
    for thickness in (0.5, 2.0):
        slices = Slices(0, thickness, 1.0, three_d=True)
        assert slices.touch and slices.gap == 0


# --- which axis ----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("axis", range(3))
def test_the_axis_is_found_however_the_array_lies(order: tuple[int, ...], axis: int) -> None:
    """From each clue alone: what the sidecar says, the header says, the distance, and the look."""
    spacing = [0.9, 0.9, 0.9]
    spacing[axis] = 4
    for signs in product((-1, 1), repeat=3):
        grid = rotated(turned(order, signs, spacing), (5, 15, -25))
        assert slices_of({"SliceThickness": 3}, grid) == Slices(axis, 3, pytest.approx(4))
        for other in range(3):  # clues that must outdo the look
            letter = AXES[other] + "-" * (signs[0] > 0)
            named = {"SliceThickness": 0.7, "SliceEncodingDirection": letter}
            thin = spacing[other]
            assert slices_of(named, grid) == Slices(other, 0.7, pytest.approx(thin))
            assert slices_of({"SliceThickness": 0.7}, grid, other) == Slices(
                other, 0.7, pytest.approx(thin)
            )
            # ... but neither the distance that the scanner gives
            assert slices_of(named | GAPPED, grid, other) == Slices(axis, 3, pytest.approx(4))


def test_without_a_clue_pixels_are_square_and_slices_are_thick_or_the_last() -> None:
    def axis(*spacing: float) -> int:
        slices = slices_of({"SliceThickness": min(spacing)}, Grid(SHAPE, np.diag([*spacing, 1])))
        assert slices is not None
        return slices.axis

    assert axis(3.5, 3.5, 3) == 2
    assert axis(3, 3.5, 3.5) == 0
    assert axis(0.9, 5, 1) == 1
    assert axis(2, 2, 2) == 2
    assert axis(0.9, 0.9, 5) == 2


def test_the_distance_is_at_right_angles_to_the_slices() -> None:
    """A gantry tilted by 30°: centres are 4 mm apart, the slices 4 cos 30°."""
    affine = np.diag([1, 1, 4, 1.0])
    affine[:3, 2] = 0, 4 * np.sin(np.pi / 6), 4 * np.cos(np.pi / 6)
    slices = slices_of({"SliceThickness": 3.46}, Grid(SHAPE, affine), 2)
    assert slices is not None and slices.touch
    assert slices.distance_mm == pytest.approx(4 * np.cos(np.pi / 6))


# --- what can be believed ------------------------------------------------------------------------

NONSENSE = [
    *(None, "", "thick", "3 mm", 0, -3, float("nan"), float("inf"), True, [3], {"mm": 3}),
    *(10**400, "1e400", 50, 17),
]


@pytest.mark.parametrize("value", NONSENSE)
def test_a_thickness_that_cannot_be_one_says_nothing(value: Any) -> None:
    assert slices_of({"SliceThickness": value}, GRID) is None
    in_3d = slices_of({"SliceThickness": value, "MRAcquisitionType": "3D"}, GRID)
    assert in_3d == Slices(2, None, 4.0, three_d=True)


@pytest.mark.parametrize("value", NONSENSE)
def test_nonsense_elsewhere_does_not_harm(value: Any) -> None:
    described = dict.fromkeys(("MRAcquisitionType", "SliceEncodingDirection"), value)
    assert slices_of(described | {"SliceThickness": "3.0"}, GRID) == Slices(2, 3.0, 4.0)
    if value in (50, 17):  # a distance, of another image
        return
    described |= {"SliceThickness": 3, "SpacingBetweenSlices": value}
    assert slices_of(described, GRID) == Slices(2, 3.0, 4.0)


@pytest.mark.parametrize("spacing", [1, 2, 3, 8])
def test_a_resampled_image_has_not_the_thickness_of_its_sidecar(spacing: float) -> None:
    grid = GRID.with_spacing((1, 1, spacing))
    assert slices_of(GAPPED, grid) is None
    in_3d = slices_of(GAPPED | {"MRAcquisitionType": "3D"}, grid)
    assert in_3d is not None and in_3d.thickness_mm is None


def test_a_slab_is_not_taken_for_a_partition() -> None:
    slab = {"SliceThickness": 50, "MRAcquisitionType": "3D"}
    grid = Grid(SHAPE, np.eye(4))
    assert slices_of(slab, grid) == Slices(2, None, 1.0, three_d=True)


# --- when they were measured ---------------------------------------------------------------------


@given(
    passes=st.integers(2, 6),
    each=st.integers(3, 9),
    trains=st.integers(2, 12),
    together=st.sampled_from((1, 2)),
    seed=st.integers(0, 99),
)
def test_passes_are_told_by_the_pauses_between_them(
    passes: int, each: int, trains: int, together: int, seed: int
) -> None:
    """In any order within a pass, some slices at once, in times that headers round to 2.5 ms."""
    random = np.random.default_rng(seed)
    repetition_s, slices = random.uniform(2, 9), passes * each * together
    expected = np.arange(slices) % passes
    times_s = np.zeros(slices)
    for number in range(passes):
        order = np.repeat(random.permutation(each), together)
        start = trains * repetition_s * number
        times_s[expected == number] = 36000 + start + order * repetition_s / each
    times_s = np.round((times_s + random.uniform(0, 0.003, slices)) / 0.0025) * 0.0025
    assert Slices(2, 3.0, 4.0, times_s=tuple(times_s)).passes == tuple(expected)


@pytest.mark.parametrize("times_s", [None, (5.0,) * 8, tuple(range(8)), (0, 4, 1, 5, 2, 6, 3, 7)])
def test_slices_without_a_pause_have_one_pass(times_s: tuple[float, ...] | None) -> None:
    assert Slices(2, 3.0, 4.0, times_s=times_s).passes == ()


@pytest.mark.parametrize(("direction", "times_s"), [("k", (0, 9, 1, 8)), ("k-", (8, 1, 9, 0))])
def test_times_go_through_the_slices_in_the_direction_that_is_said(
    direction: str, times_s: tuple[float, ...]
) -> None:
    said = GAPPED | {"SliceTiming": [0, 9, 1, 8], "SliceEncodingDirection": direction}
    slices = slices_of(said, GRID)
    assert slices is not None and slices.times_s == times_s


@pytest.mark.parametrize("said", [None, 1, "x", [0, 1, 2], [0, 1, None, 3], [0, 1, [2], 3], {}])
def test_what_are_no_times_of_slices_says_nothing(said: Any) -> None:
    slices = slices_of(GAPPED | {"SliceTiming": said}, GRID)
    assert slices is not None and slices.times_s is None


def test_times_stay_with_their_slices() -> None:
    slices = Slices(2, 3.0, 4.0, times_s=(0, 9, 1, 8))
    mirrored = Grid(SHAPE, GRID.affine @ np.diag([1.0, 1, -1, 1]))
    affine = GRID.affine.copy()
    affine[:3, 2], affine[:3, 3] = -affine[:3, 2], GRID.to_world([0, 0, 3])
    backwards = slices.on(GRID, Grid(SHAPE, affine))
    part = slices.on(GRID, GRID.part((slice(None), slice(None), slice(1, 3))))
    beyond = slices.on(GRID, mirrored)
    assert backwards is not None and backwards.times_s == (8, 1, 9, 0)
    assert part is not None and part.times_s == (9, 1)
    assert beyond is not None and beyond.times_s is None


# --- what becomes of them ------------------------------------------------------------------------


@given(
    order=st.sampled_from(ORDERS),
    signs=st.tuples(*[st.sampled_from((-1, 1))] * 3),
    axis=st.integers(0, 2),
    shift=st.tuples(*[st.integers(-3, 3)] * 3),
    refined=st.floats(1.1, 5),
)
def test_a_grid_with_the_same_planes_has_the_same_slices_and_no_other_has(
    order: tuple[int, ...], signs: tuple, axis: int, shift: tuple, refined: float
) -> None:
    slices = Slices(axis, 3.0, 4.0)
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = 4
    before = rotated(Grid((7, 8, 9), np.diag([*spacing, 1])), (20, 30, 40))
    index_map = np.eye(4)
    index_map[:3, :3] = np.eye(3)[:, order] * signs
    index_map[:3, 3] = shift
    after = Grid((5, 5, 5), before.affine @ index_map)
    expected = Slices(order.index(axis), 3.0, 4.0)
    assert slices.on(before, after) == expected
    within = [refined] * 3
    within[expected.axis] = 1
    assert slices.on(before, after.scaled(within)) == expected
    across = [1.0] * 3
    for factor in (refined, 1 / refined):
        across[expected.axis] = factor
        assert slices.on(before, after.scaled(across)) is None
    between = np.eye(4)
    between[expected.axis, 3] = 0.5
    assert slices.on(before, Grid((5, 5, 5), after.affine @ between)) is None
    assert slices.on(before, rotated(after, (0, 3, 3))) is None


def test_a_result_does_not_claim_the_slices_of_its_scan() -> None:
    scan = Volume(STORED, GRID, slices=Slices(2, 3.0, 4.0))
    fine = GRID.isotropic()
    assert scan.with_data(np.zeros(fine.shape), fine).slices is None
    assert scan.with_data(scan.data + 1, GRID).slices == scan.slices
    assert Volume(STORED, GRID).with_data(STORED, GRID).slices is None


# --- NIfTI and its sidecars ----------------------------------------------------------------------


def write_nifti(folder: Path, described: object, name: str = "3_t2_tse", **dim_info: int) -> Path:
    image = nib.Nifti1Image(STORED, OBLIQUE.affine)
    image.header.set_dim_info(**dim_info)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(described))
    nib.save(image, folder / f"{name}.nii.gz")
    return folder / f"{name}.nii.gz"


def test_a_distance_that_the_voxels_have_not_is_told(tmp_path: Path) -> None:
    path = Volume(np.zeros((6, 5, 4)), Grid((6, 5, 4), np.diag([1, 1, 3.0, 1]))).write(
        tmp_path / "scan.nii"
    )
    for stated, count in ((3, 0), (3.1, 0), (6, 1), ("no number", 0)):
        described = {"SliceThickness": 3, "SpacingBetweenSlices": stated}
        (tmp_path / "scan.json").write_text(json.dumps(described))
        told = Volume.read(path).warnings
        assert len(told) == count
        if told:
            assert "6 mm apart (SpacingBetweenSlices), but its voxels are 1×1×3 mm" in told[0]
            assert Volume.from_nibabel(nib.load(path)).warnings == told


def test_what_dcm2niix_left_beside_an_image_is_read(tmp_path: Path) -> None:
    path = write_nifti(tmp_path, GAPPED, slice=2)
    expected = Slices(2, 3.0, pytest.approx(4))
    assert Volume.read(path).slices == expected
    assert Volume.coerce(str(path)).slices == expected
    assert Volume.from_nibabel(nib.load(path)).slices == expected
    with open_frames(path) as frames:
        assert frames.frame(0).slices == expected
    in_memory = nib.Nifti1Image(STORED, OBLIQUE.affine)
    assert Volume.from_nibabel(in_memory).slices is None


@pytest.mark.parametrize("codes", ["".join(c) for c in permutations("RAS")] + ["LPI", "ILA"])
def test_a_reoriented_file_keeps_its_slice_axis(tmp_path: Path, codes: str) -> None:
    """The header follows the array; a sidecar that names the axis of old does not, and loses."""
    image = nib.load(write_nifti(tmp_path, GAPPED, slice=2))
    wanted = axcodes2ornt(codes)
    ornt = nib.orientations.ornt_transform(io_orientation(image.affine), wanted)
    after = image.as_reoriented(ornt)
    expected = Slices(int(ornt[2, 0]), 3.0, pytest.approx(4))
    for number, described in enumerate([GAPPED, GAPPED | {"SliceEncodingDirection": "k"}]):
        name = f"again{number}"
        nib.save(after, tmp_path / f"{name}.nii")
        (tmp_path / f"{name}.json").write_text(json.dumps(described))
        assert Volume.read(tmp_path / f"{name}.nii").slices == expected


def test_the_headers_slice_dimension_counts_where_the_look_would_mislead(tmp_path: Path) -> None:
    path = write_nifti(tmp_path, {"SliceThickness": 0.8}, slice=0)
    assert Volume.read(path).slices == Slices(0, 0.8, pytest.approx(1))


@pytest.mark.parametrize("content", ["{", "[]", "", "[" * 100_000, '{"SliceThickness": "3 mm"}'])
def test_a_bad_sidecar_is_no_reason_to_refuse_an_image(tmp_path: Path, content: str) -> None:
    path = write_nifti(tmp_path, {})
    (tmp_path / "3_t2_tse.json").write_text(content)
    assert Volume.read(path).slices is None


def test_other_formats_have_sidecars_too(tmp_path: Path) -> None:
    for suffix in (".nrrd", ".mha", ".mgz"):
        path = Volume(STORED, OBLIQUE).write(tmp_path / f"scan{suffix}")
        (tmp_path / "scan.json").write_text(json.dumps(GAPPED))
        assert Volume.read(path).slices == Slices(2, 3.0, pytest.approx(4, rel=1e-5))


def test_an_image_of_a_bids_data_set_inherits(tmp_path: Path) -> None:
    (tmp_path / "dataset_description.json").write_text("{}")
    (tmp_path / "FLAIR.json").write_text(json.dumps(GAPPED))
    folder = tmp_path / "sub-01" / "anat"
    path = write_nifti(folder, {"EchoTime": 0.1}, "sub-01_FLAIR")
    assert Volume.read(path).slices == Slices(2, 3.0, pytest.approx(4))
    own = write_nifti(folder, {"SliceThickness": 4}, "sub-01_run-2_FLAIR")
    assert Volume.read(own).slices == Slices(2, 4.0, pytest.approx(4))
    other = write_nifti(folder, {}, "sub-01_T2w")
    assert Volume.read(other).slices is None


# --- DICOM ---------------------------------------------------------------------------------------


@given(
    turns=st.tuples(*[st.floats(-180, 180)] * 3),
    side=st.sampled_from((-1, 1)),
    spacing=st.tuples(*[st.floats(0.3, 9)] * 3),
    share=st.floats(0.3, 2),
)
def test_the_slices_of_a_series_are_its_images(
    tmp_path_factory: pytest.TempPathFactory, turns: tuple, side: int, spacing: tuple, share: float
) -> None:
    """Whichever way they lie, however large the pixels are, whatever SpacingBetweenSlices says."""
    folder = tmp_path_factory.mktemp("series")
    grid = rotated(Grid((3, 4, 2), np.diag([*spacing[:2], side * spacing[2], 1])), turns)
    thickness = f"{share * spacing[2]:.6g}"
    write_series(
        folder, STORED[:3, :4, :2], grid, SliceThickness=thickness, SpacingBetweenSlices="1"
    )
    slices = Volume.read(folder).slices
    assert slices == Slices(2, pytest.approx(float(thickness)), pytest.approx(spacing[2], rel=1e-4))
    assert slices is not None and slices.gap == pytest.approx(1 - share, abs=1e-3)


def test_a_series_in_3d_has_no_gap(tmp_path: Path) -> None:
    write_series(tmp_path, STORED, GRID, SliceThickness="8", MRAcquisitionType="3D")
    slices = Volume.read(tmp_path).slices
    assert slices == Slices(2, 8.0, 4.0, three_d=True)
    assert slices is not None and slices.touch


@pytest.mark.parametrize("text", ["abc", "", "0", "-3", "nan", "inf", "3\\4", "99"])
def test_a_series_is_read_whatever_its_thickness_is(tmp_path: Path, text: str) -> None:
    for path in write_series(tmp_path, STORED, GRID, SliceThickness="98.7654"):
        content = path.read_bytes()
        assert content.count(b"98.7654 ") == 1
        path.write_bytes(content.replace(b"98.7654 ", text.encode().ljust(8)))
    scan = Volume.read(tmp_path)
    assert scan.slices is None
    np.testing.assert_array_equal(np.sort(scan.data, axis=None), np.arange(120))


def test_each_image_of_a_series_says_when_it_was_measured(tmp_path: Path) -> None:
    told = ["101458", "101538", "101500", "101540.5"]
    for path, time in zip(write_series(tmp_path, STORED, GRID), told, strict=True):
        image = pydicom.dcmread(path)
        image.AcquisitionTime = time
        image.save_as(path)
    slices = Volume.read(tmp_path).slices
    assert slices is not None and slices.times_s == (36898, 36938, 36900, 36940.5)


def test_slices_of_different_thickness_have_none(tmp_path: Path) -> None:
    path = write_series(tmp_path, STORED, GRID, SliceThickness="3")[1]
    image = pydicom.dcmread(path)
    image.SliceThickness = "2"
    image.save_as(path)
    assert Volume.read(tmp_path).slices is None


def test_a_single_slice_is_as_far_from_the_next_as_its_header_says(tmp_path: Path) -> None:
    one = Grid((6, 5, 1), GRID.affine)
    write_series(tmp_path, STORED[..., :1], one, SliceThickness="3", SpacingBetweenSlices="4")
    assert Volume.read(tmp_path).slices == Slices(2, 3.0, 4.0)


@pytest.mark.parametrize(("scale", "thickness"), [((1, 1, 4), 1), ((2, 2, 1), 3), ((1, 1, 0.5), 8)])
def test_a_derived_series_says_how_thick_its_own_slices_are(
    tmp_path: Path, scale: tuple, thickness: float
) -> None:
    write_series(tmp_path / "in", STORED, GRID, SliceThickness="3", SpacingBetweenSlices="4")
    scan = Volume.read(tmp_path / "in")
    grid = scan.grid.scaled(scale)
    result = scan.with_data(np.zeros(grid.shape), grid)
    result.write(tmp_path / "out.dicom", made_from=tmp_path / "in")
    header = pydicom.dcmread(next((tmp_path / "out.dicom").iterdir()))
    assert float(header.SliceThickness) == pytest.approx(thickness)
    assert float(header.SpacingBetweenSlices) == pytest.approx(4 / scale[2])
    back = Volume.read(tmp_path / "out.dicom")
    assert back.slices == Slices(2, pytest.approx(thickness), pytest.approx(4 / scale[2]))
