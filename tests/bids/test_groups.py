"""Which scans are merged: those that differ in nothing but run and acquisition."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.phantoms import smooth, volume

from arssr.bids.dataset import Scan
from arssr.bids.groups import grouped, require_each_once
from arssr.errors import ArSSRError
from arssr.formats.bids import BIDSName

from .conftest import AddScan

LABELS = {
    **{"ses": ("a", "b"), "acq": ("ax", "sag"), "ce": ("gd",), "rec": ("norm",), "dir": ("AP",)},
    **{"run": ("1", "2", "10"), "echo": ("1", "2"), "inv": ("1",), "mt": ("on", "off")},
    **{"part": ("mag", "phase", "real"), "chunk": ("1",), "desc": ("preproc",)},
}
ENTITIES = st.fixed_dictionaries(
    {}, optional={key: st.sampled_from(labels) for key, labels in LABELS.items()}
)
NAMES = st.tuples(ENTITIES, st.sampled_from(("T1w", "T2w", "mask"))).map(
    lambda named: BIDSName({"sub": "01", **named[0]}, named[1], ".nii.gz")
)


def scan(name: BIDSName) -> Scan:
    """One that need not be there: it is known by its name."""
    session = [f"ses-{name.entities['ses']}"] if "ses" in name.entities else []
    return Scan(Path("data", "sub-01", *session, "anat", str(name)), name)


def apart(name: BIDSName) -> tuple[Mapping[str, str], str]:
    """What keeps a scan apart from others."""
    kept = {key: label for key, label in name.entities.items() if key not in ("run", "acq")}
    return kept, name.suffix


@given(st.lists(NAMES, max_size=12, unique_by=str))
def test_one_image_of_all_that_differ_in_run_and_acquisition_alone(names: list[BIDSName]) -> None:
    scans = [scan(name) for name in names]
    groups = grouped(scans)
    assert sorted(p for group in groups for p in group.paths) == sorted(s.path for s in scans)
    of = {path: number for number, group in enumerate(groups) for path in group.paths}
    for one in scans:
        for other in scans:
            together = of[one.path] == of[other.path]
            merged = one.name.suffix != "mask" and one.name.entities.get("part") in (None, "mag")
            same = merged and apart(one.name) == apart(other.name)
            assert together == (same or one is other)


@given(st.lists(NAMES, max_size=12, unique_by=str))
def test_names_keep_what_agrees_and_are_each_of_one_group(names: list[BIDSName]) -> None:
    groups = grouped(scan(name) for name in names)
    by_path = {scan(name).path: name for name in names}
    for group in groups:
        of = [by_path[path].entities for path in group.paths]
        kept = {k: v for k, v in of[0].items() if all(each.get(k) == v for each in of)}
        assert group.name.entities == kept
        assert BIDSName.parse(str(group.name)) == group.name  # a name of BIDS, and this one
    merged = [str(group.name) for group in groups if group.others]
    assert len(set(merged)) == len(merged)


@given(st.lists(NAMES, max_size=8, unique_by=str), st.randoms(use_true_random=False))
def test_the_order_of_files_does_not_matter(names: list[BIDSName], random: object) -> None:
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (
        {group.paths: str(group.name) for group in grouped(map(scan, each))}
        for each in (names, shuffled)
    )
    assert one == other


def test_the_frame_has_the_finest_pixels_and_of_equals_the_first_name(root: Path) -> None:
    sizes = {"cor": (0.5, 4, 0.5), "ax": (1, 1, 4), "sag": (4, 0.502, 0.498)}
    for acq, mm in sizes.items():
        name = f"sub-01_acq-{acq}_T2w.nii.gz"
        volume(smooth((4, 4, 4)), np.diag([*mm, 1])).write(root / "sub-01" / "anat" / name)
    scans = [
        Scan(path, name)
        for path in sorted((root / "sub-01" / "anat").iterdir())
        if (name := BIDSName.parse(path.name))
    ]
    [group] = grouped(scans)
    assert [path.name.split("-")[2][:-11] for path in group.paths] == ["cor", "sag", "ax"]
    assert str(group.name) == "sub-01_T2w.nii.gz"


def test_what_cannot_be_read_is_no_frame(root: Path, add: AddScan) -> None:
    add("sub-01/anat/sub-01_run-1_T1w.nii.gz").write_bytes(b"no image")
    second = add("sub-01/anat/sub-01_run-2_T1w.nii.gz")
    folder = root / "sub-01" / "anat"
    (folder / "sub-01_run-0_T1w.nii.gz").symlink_to("annexed")
    names = [f"sub-01_run-{run}_T1w.nii.gz" for run in (0, 1, 2)]
    [group] = grouped(Scan(folder / n, name) for n in names if (name := BIDSName.parse(n)))
    assert group.path == second and len(group.paths) == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sub-01_T1w.nii", "sub-01_T1w.nii.gz"),
        ("sub-01_run-01_T1w.nii", "sub-01_run-1_T1w.nii"),
        ("sub-01_acq-ax_run-00_T1w.nii", "sub-01_acq-ax_run-0_T1w.nii"),
    ],
)
def test_one_scan_in_two_files_is_refused(one: str, other: str) -> None:
    names = [BIDSName.parse(each) for each in (one, other, "sub-01_acq-x_run-2_T1w.nii")]
    [group] = grouped(scan(name) for name in names if name)
    with pytest.raises(ArSSRError, match=rf"/{one} and {other} are one scan in two files"):
        require_each_once(group)
    require_each_once(scan(group.name))


def test_an_index_is_the_same_with_zeros_before_it() -> None:
    names = ("sub-01_run-1_echo-1_T1w.nii", "sub-01_run-2_echo-01_T1w.nii")
    [group] = grouped(scan(name) for each in names if (name := BIDSName.parse(each)))
    assert str(group.name) == "sub-01_echo-1_T1w.nii"
    labels = ("sub-01_ce-1_run-1_T1w.nii", "sub-01_ce-01_run-2_T1w.nii")
    apart = grouped(scan(name) for each in labels if (name := BIDSName.parse(each)))
    assert [str(group.name) for group in apart] == list(labels)
