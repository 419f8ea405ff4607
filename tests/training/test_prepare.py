"""Splitting by subject, cropping, and a folder that is whole or not there."""

import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.phantoms import rotated, smooth

from arssr.errors import ArSSRError
from arssr.grid import Grid
from arssr.training.prepare import (
    PrepareConfig,
    crop_corners,
    prepare,
    read_subjects,
    split,
    subject_of,
)
from arssr.volume import Storage, Volume

PAIRS = {"1003": "1023", "1004": "1024", "1005": "1025"}  # rescans in the OASIS-1 data
SMALL = PrepareConfig(patch=6, per_volume=3)


def write_images(folder: Path, names: Sequence[str], side: int = 10) -> list[Path]:
    """Different small images of these names."""
    paths = []
    for seed, name in enumerate(names):
        path = folder / f"{name}.nii.gz"
        seed += zlib.crc32(folder.name.encode())
        grid = Grid((side, side + 1, side + 2), np.diag([1, 1, 2, 1]))
        paths.append(Volume(smooth(grid.shape, seed), grid).write(path))
    return paths


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("sub-07_ses-2_run-1_T1w", "sub-07"),
        ("desc_sub-ab12_T2w", "sub-ab12"),
        ("oasis-1003_T1w", "1003"),
        ("100307_3T_T1w_MPR1", "100307"),
        ("IXI002-Guys-0828-T1", "002"),
        ("T2w_017", "017"),
        ("1.5T_017", "017"),
        ("fetal_run-1_T2w", "fetal"),
        ("niimath_T1w", "niimath"),
        ("T1", "T1"),
    ],
)
def test_subject_follows_from_the_name(name: str, subject: str) -> None:
    assert subject_of(name) == subject


@given(
    people=st.sets(st.text(min_size=1, max_size=5), min_size=3, max_size=40),
    val=st.floats(0.01, 0.3),
    test=st.floats(0, 0.3),
    seed=st.integers(0, 100),
)
def test_split_gives_each_side_its_share(
    people: set[str], val: float, test: float, seed: int
) -> None:
    sides = split(people, PrepareConfig(val_share=val, test_share=test, seed=seed))
    assert sides.keys() == people
    counts = {side: list(sides.values()).count(side) for side in ("train", "val", "test")}
    assert counts["val"] == max(1, round(val * len(people)))
    assert counts["test"] == (max(1, round(test * len(people))) if test else 0)
    assert counts["train"] >= 1


def test_another_seed_is_another_split() -> None:
    people = {str(number) for number in range(40)}
    assert split(people, PrepareConfig(seed=20)) != split(people, PrepareConfig(seed=21))


def test_files_of_a_subject_stay_together(tmp_path: Path) -> None:
    names = [f"sub-{person}_{kind}" for person in "abcdef" for kind in ("T1w", "T2w")]
    write_images(tmp_path / "hr", names)
    manifest = prepare([tmp_path / "hr"], tmp_path / "out", PrepareConfig(6, 1, val_share=0.4))
    people = {
        side: {s["subject"] for s in manifest["sources"] if s["split"] == side}
        for side in ("train", "val")
    }
    assert len(people["train"]) == 4 and len(people["val"]) == 2
    assert not people["train"] & people["val"]
    assert len(list((tmp_path / "out" / "hr_val").iterdir())) == 4


def test_table_keeps_scan_and_rescan_together(tmp_path: Path) -> None:
    scans = [*PAIRS, *PAIRS.values(), "1000", "1001"]
    paths = write_images(tmp_path / "hr", [f"oasis-{scan}_T1w" for scan in scans], side=6)
    table = tmp_path / "subjects.tsv"
    rows = [f"oasis-{rescan}_T1w.nii.gz\t{first}" for first, rescan in PAIRS.items()]
    table.write_text("\n".join(["file\tsubject", *rows]) + "\n")

    def separated(seed: int, subjects: Path | None) -> bool:
        out = tmp_path / f"{seed}-{subjects is None}"
        manifest = prepare(paths, out, PrepareConfig(6, 1, val_share=0.4, seed=seed), subjects)
        sides = {s["file"]: s["split"] for s in manifest["sources"]}
        return any(
            sides[f"oasis-{first}_T1w.nii.gz"] != sides[f"oasis-{rescan}_T1w.nii.gz"]
            for first, rescan in PAIRS.items()
        )

    assert not any(separated(seed, table) for seed in range(5))
    assert any(separated(seed, None) for seed in range(5)), "the names alone would do"


def test_table_names_files_as_people_do(tmp_path: Path) -> None:
    paths = [
        *write_images(tmp_path / "hr" / "a", ["T1"]),
        *write_images(tmp_path / "hr" / "b", ["T1"]),
        *write_images(tmp_path / "hr", ["x", "y"]),
    ]
    table = tmp_path / "subjects.csv"
    table.write_text("subject,file,age\nanna,a/T1.nii.gz,1\nbert,b/T1,2\nanna,x,3\ncarl,y.nii.gz,4")
    manifest = prepare(paths, tmp_path / "out", SMALL, table)
    subjects = {source["file"]: source["subject"] for source in manifest["sources"]}
    assert subjects == {
        "a/T1.nii.gz": "anna",
        "b/T1.nii.gz": "bert",
        "x.nii.gz": "anna",
        "y.nii.gz": "carl",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,who\na,b\n", "columns 'file' and 'subject'"),
        ("file,subject\na,\n", "columns 'file' and 'subject'"),
        ("file,subject\na,1\na,2\n", "two subjects for a"),
    ],
)
def test_unclear_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "subjects.csv"
    table.write_text(text)
    with pytest.raises(ArSSRError, match=message):
        read_subjects(table)


def test_table_with_a_slip_of_the_pen_is_refused(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "hr", ["a1", "a2", "a3"])
    table = tmp_path / "subjects.csv"
    table.write_text("file,subject\na1,x\na22,x\n")
    with pytest.raises(ArSSRError, match="a22"):
        prepare(paths, tmp_path / "out", SMALL, table)
    # with every image accounted for, a table may name more than is there
    table.write_text("file,subject\na1,x\na2,x\na3,y\na4,y\n")
    assert len(prepare(paths, tmp_path / "out", SMALL, table)["sources"]) == 3


def test_crops_keep_samples_units_type_and_place(tmp_path: Path) -> None:
    grid = rotated(Grid((20, 22, 24), np.diag([-1, 0.8, 1.5, 1])), (20, -10, 35))
    stored = np.rint(smooth(grid.shape) * 1000)
    original = Volume(stored * 0.5 - 100, grid, Storage("int16", 0.5, -100))
    known = {"a1": original, "a2": original.with_data(original.data + 1, grid)}
    for name, each in known.items():
        each.write(tmp_path / "hr" / f"{name}.nii.gz")
    manifest = prepare([tmp_path / "hr"], tmp_path / "out", PrepareConfig(7, 4, val_share=0.5))
    crops = [crop for source in manifest["sources"] for crop in source["crops"]]
    assert len(crops) == 8
    for crop in crops:
        patch = Volume.read(tmp_path / "out" / crop["file"])
        i, j, k = crop["corner_ijk"]
        whole = known[Path(crop["file"]).name[:2]].data
        np.testing.assert_array_equal(patch.data, whole[i : i + 7, j : j + 7, k : k + 7])
        how = patch.storage
        assert (how.dtype, how.slope, how.inter) == (np.int16, 0.5, -100)
        for index in ([0, 0, 0], [6, 3, 1]):
            expected = grid.to_world(np.add(index, crop["corner_ijk"]))
            np.testing.assert_allclose(patch.grid.to_world(index), expected, atol=1e-4)


@given(
    shape=st.tuples(*[st.integers(4, 9)] * 3),
    patch=st.integers(1, 4),
    count=st.integers(1, 12),
    seed=st.integers(0, 1000),
)
def test_crops_avoid_the_background(
    shape: tuple[int, int, int], patch: int, count: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    foreground = generator.random(shape) < generator.random()
    corners = crop_corners(foreground, patch, count, np.random.default_rng(seed))

    windows = np.lib.stride_tricks.sliding_window_view(foreground, (patch,) * 3)
    fullness = windows.sum(axis=(3, 4, 5))
    assert all(2 * fullness[tuple(corner)] >= fullness.max() for corner in corners)
    assert len({tuple(corner) for corner in corners}) == len(corners)
    assert len(corners) == min(count, (2 * fullness >= fullness.max()).sum())


def test_crops_lie_where_the_object_is(tmp_path: Path) -> None:
    data = np.zeros((30, 30, 30), np.float32)
    data[:10, 15:, 20:] = smooth((10, 15, 10)) + 1
    Volume(data, Grid(data.shape, np.eye(4))).write(tmp_path / "hr" / "a1.nii.gz")
    config = PrepareConfig(patch=8, per_volume=50, val_share=0)
    manifest = prepare([tmp_path / "hr"], tmp_path / "out", config)
    corners = np.array([crop["corner_ijk"] for crop in manifest["sources"][0]["crops"]])
    assert len(corners) == 50
    assert corners[:, 0].max() <= 6 and corners[:, 1].min() >= 11 and corners[:, 2].min() >= 16


def test_same_seed_same_bytes_in_any_order(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "hr", ["a1", "a2", "a3"])
    once = prepare(paths, tmp_path / "once", SMALL)
    prepare(paths, tmp_path / "again", SMALL)
    assert contents(tmp_path / "once") == contents(tmp_path / "again")
    assert json.loads((tmp_path / "once" / "manifest.json").read_text()) == once
    backwards = prepare(paths[::-1], tmp_path / "backwards", SMALL)
    assert backwards["sources"] == once["sources"][::-1]
    other = prepare(paths, tmp_path / "other", PrepareConfig(6, 3, seed=21))
    assert other["sources"] != once["sources"]


def test_test_subjects_are_copied_whole(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "hr", ["a1", "a2", "a3", "a4"])
    manifest = prepare(paths, tmp_path / "out", PrepareConfig(6, 2, test_share=0.3))
    (source,) = (source for source in manifest["sources"] if source["split"] == "test")
    copy = tmp_path / "out" / "hr_test" / source["file"]
    assert copy.read_bytes() == (tmp_path / "hr" / source["file"]).read_bytes()
    assert source["crops"] == []


def test_progress_counts_volumes_as_they_are_looked_at_and_cut(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "hr", ["a1", "a2", "a3"])
    heard: list[tuple[int, int]] = []
    prepare(paths, tmp_path / "out", SMALL, progress=lambda *counts: heard.append(counts))
    assert heard == [(n, 6) for n in range(1, 7)]


def test_output_is_replaced_only_on_request(tmp_path: Path) -> None:
    first, *rest = write_images(tmp_path / "hr", ["a1", "a2", "a3"])
    out = tmp_path / "out"
    prepare([first, *rest], out, SMALL)
    (out / "notes.txt").write_text("mine")
    before = contents(out)
    with pytest.raises(ArSSRError, match="not empty"):
        prepare(rest, out, SMALL)
    assert contents(out) == before
    prepare(rest, out, SMALL, overwrite=True)
    after = contents(out)
    assert after["notes.txt"] == b"mine"
    assert "a1" not in "".join(after) and len(after) == 2 * 3 + 2
    assert not [entry for entry in out.iterdir() if entry.name.startswith(".")]


def test_failure_leaves_everything_as_it_was(tmp_path: Path) -> None:
    good = write_images(tmp_path / "hr", ["a1", "a2", "a3"])
    out = tmp_path / "out"
    small = write_images(tmp_path / "hr", ["b4"], side=5)[0]
    broken = tmp_path / "hr" / "b5.nii.gz"
    broken.write_bytes(good[0].read_bytes()[:200])
    with pytest.raises(ArSSRError, match="2 of 5 images") as caught:
        prepare([*good, small, broken], out, SMALL)
    assert "b4.nii.gz is too small to train on: 5×6×7, needs 6 voxels" in str(caught.value)
    assert "b5.nii.gz: cannot be read" in str(caught.value)
    assert not out.exists()
    prepare(good, out, SMALL)
    before = contents(out)
    with pytest.raises(ArSSRError, match="1 of 4 images cannot be used"):
        prepare([*good, small], out, SMALL, overwrite=True)
    assert contents(out) == before


def test_images_in_the_folder_to_replace_are_not_lost(tmp_path: Path) -> None:
    write_images(tmp_path / "hr_train", ["a1", "a2"])
    with pytest.raises(ArSSRError, match="would be replaced"):
        prepare([tmp_path / "hr_train"], tmp_path, SMALL, overwrite=True)
    assert len(contents(tmp_path / "hr_train")) == 2


def test_one_subject_cannot_be_split(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "hr", ["OAS1_0001", "OAS1_0002"])
    with pytest.raises(ArSSRError, match=r"too few subjects.*--subjects"):
        prepare(paths, tmp_path / "out", SMALL)
    assert prepare(paths, tmp_path / "out", PrepareConfig(6, 1, val_share=0))["sources"]
    assert not (tmp_path / "out" / "hr_val").exists()


def test_constant_image_is_named(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "hr", ["a1", "a2"])
    empty = np.zeros((10, 10, 10), np.float32)
    paths.append(Volume(empty, Grid(empty.shape, np.eye(4))).write(tmp_path / "hr" / "a3.nii.gz"))
    with pytest.raises(ArSSRError, match=r"a3\.nii\.gz: every voxel is 0"):
        prepare(paths, tmp_path / "out", SMALL)


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "a", ["T1"])
    paths.append(Volume.read(paths[0]).write(tmp_path / "a" / "T1.nrrd"))
    with pytest.raises(ArSSRError, match="two images go by the name"):
        prepare(paths, tmp_path / "out", PrepareConfig(6, 1, val_share=0))


def test_folders_say_whose_scans_of_one_name_are(tmp_path: Path) -> None:
    """Not the number in a file's name, which is that of the scan."""
    names = [f"{who}/visit/scan{n}" for who in ("anna", "bert", "carl") for n in (1, 2)]
    write_images(tmp_path / "hr", [*names, "study/sub-9/T1", "study/sub-8/T1"])
    config = PrepareConfig(6, 1, val_share=0.3)
    manifest = prepare([tmp_path / "hr"], tmp_path / "out", config)
    subjects = {source["file"]: source["subject"] for source in manifest["sources"]}
    assert set(subjects.values()) == {"anna", "bert", "carl", "sub-8", "sub-9"}
    assert subjects["anna/visit/scan1.nii.gz"] == subjects["anna/visit/scan2.nii.gz"] == "anna"
    assert (tmp_path / "out" / "manifest.json").exists()


def test_a_copy_goes_where_its_original_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = write_images(tmp_path / "hr", ["a1", "a2", "a3", "a4"])
    paths.append(Volume.read(paths[0]).write(tmp_path / "hr" / "a5.nrrd"))
    for seed in range(5):
        manifest = prepare(paths, tmp_path / str(seed), PrepareConfig(6, 1, 0.5, seed=seed))
        sides = {source["file"]: source["split"] for source in manifest["sources"]}
        assert sides["a1.nii.gz"] == sides["a5.nrrd"]
    assert "a5.nrrd has the voxels of an image of 1" in caplog.text


def test_what_cannot_be_used_is_left_out_on_request(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "hr", ["a1", "a2", "a3"])
    paths += write_images(tmp_path / "hr", ["a4"], side=3)
    manifest = prepare(paths, tmp_path / "out", SMALL, skip_unusable=True)
    assert [source["file"] for source in manifest["sources"]] == [
        *("a1.nii.gz", "a2.nii.gz", "a3.nii.gz")
    ]
    assert {len(source["samples_sha256"]) for source in manifest["sources"]} == {64}


@pytest.mark.parametrize(
    "values",
    [{"patch": 0}, {"per_volume": 0}, {"val_share": -0.1}, {"val_share": 0.6, "test_share": 0.4}],
)
def test_impossible_configuration_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ArSSRError):
        PrepareConfig(**values)  # type: ignore[arg-type]
