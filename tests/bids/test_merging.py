"""`arssr bids --merge` from end to end: what becomes one image, what is left alone, what fails."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.phantoms import stack

from arssr.bids.derivatives import PROVENANCE, Derivatives
from arssr.bids.groups import grouped
from arssr.bids.index import write_index
from arssr.bids.participants import super_resolve
from arssr.errors import ArSSRError
from arssr.files import sha256, sidecar
from arssr.formats.bids import read_json
from arssr.formats.writing import Writer
from arssr.grid import Grid
from arssr.jobs.batch import ModelRef, Place
from arssr.jobs.local import Local
from arssr.jobs.merging import MergeJob, run_merge
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target
from arssr.volume import Volume

from .test_derivatives import validate

AddStack = Callable[..., Path]
FOLDER = Path("sub-01", "ses-a", "anat")
MERGED = "sub-01_ses-a_res-SR_desc-arssrmerge_T2w.nii.gz"


@pytest.fixture
def add_stack(root: Path) -> AddStack:
    """Adds a scan to session a of subject 01, and its sidecar."""

    def add(entities: str, axis: int, **described: object) -> Path:
        path = root / FOLDER / f"sub-01_ses-a_{entities}T2w.nii.gz"
        stack(axis).write(path, overwrite=True)
        sidecar(path).write_text(json.dumps(described))
        return path

    return add


def in_another_contrast(path: Path) -> Path:
    """What was bright is dark now."""
    scan = Volume.read(path)
    scan.with_data(np.where(scan.data > 30, 300 - scan.data, 0), scan.grid).write(path, True)
    return path


def larger(path: Path) -> Path:
    """Four times as long: what is compared in windows must be larger than these."""
    scan = Volume.read(path)
    affine = np.diag([4, 4, 4, 1]) @ scan.grid.affine
    Volume(scan.data, Grid(scan.grid.shape, affine)).write(path, overwrite=True)
    return path


def work(
    derivatives: Derivatives, network: ModelRef, place: Place | None = None, **how: bool
) -> dict[str, str]:
    """Result → made, left or the reason why it failed."""
    scans = grouped(derivatives.source.scans({"T2w"}))
    how = {"report": False, **how}
    given = (derivatives, scans, Request(Target()), network, place or Local())
    return {
        each.destination.name: each.error or ("made" if each.facts else "left")
        for each in super_resolve(*given, **how)
    }


def test_a_session_becomes_what_merging_its_scans_gives(
    derivatives: Derivatives, network: ModelRef, add_stack: AddStack, tmp_path: Path
) -> None:
    scans = add_stack("acq-ax_", 2), add_stack("acq-sag_", 0)
    assert work(derivatives, network) == {MERGED: "made"}
    expected = tmp_path / "expected.nii.gz"
    run_merge(network.load(), MergeJob(scans, (expected,), Request(Target())))
    made = Volume.read(derivatives.root / FOLDER / MERGED)
    assert np.array_equal(made.data, Volume.read(expected).data)


def test_its_sidecar_says_what_all_scans_say_and_names_them(
    derivatives: Derivatives, network: ModelRef, add_stack: AddStack
) -> None:
    add_stack("acq-ax_", 2, EchoTime=0.1, SeriesNumber=3, SliceThickness=2)
    add_stack("acq-sag_", 0, EchoTime=0.1, SeriesNumber=4, SliceThickness=2, Gain=1)
    work(derivatives, network)
    said = read_json(sidecar(derivatives.root / FOLDER / MERGED))
    made = said.pop(PROVENANCE)
    assert said.pop("Description").startswith("Merged from 2 scans by ArSSR")
    assert said == {
        "EchoTime": 0.1,
        "SkullStripped": False,
        "Sources": [
            f"bids:raw:{FOLDER}/sub-01_ses-a_acq-{acq}_T2w.nii.gz" for acq in ("ax", "sag")
        ],
        "Resolution": "1×1×1 mm, merged from 1×1×2 mm, 2×1×1 mm",
    }
    assert len(made["inputs"]) == 2 and made["options"]["merge"] is True


def test_a_scan_that_is_alone_is_super_resolved(
    derivatives: Derivatives, network: ModelRef, add_stack: AddStack, root: Path
) -> None:
    for entities, axis in (("acq-ax_", 2), ("acq-sag_", 0), ("acq-ax_rec-norm_", 2)):
        add_stack(entities, axis)
    alone = "sub-01_ses-b_run-1_T2w.nii.gz"
    stack(2).write(root / "sub-01" / "ses-b" / "anat" / alone)
    assert work(derivatives, network) == {
        MERGED: "made",
        "sub-01_ses-a_acq-ax_rec-norm_res-SR_desc-arssr_T2w.nii.gz": "made",
        "sub-01_ses-b_run-1_res-SR_desc-arssr_T2w.nii.gz": "made",
    }


def test_once_more_does_what_is_left_and_tells_of_changes(
    derivatives: Derivatives, network: ModelRef, add_stack: AddStack
) -> None:
    first, _ = add_stack("run-1_", 2), add_stack("run-2_", 0)
    assert work(derivatives, network) == {MERGED: "made"}
    assert work(derivatives, network) == {MERGED: "left"}
    image = derivatives.root / FOLDER / MERGED
    before = sha256(image)
    assert work(derivatives, network, report=True) == {MERGED: "made"}
    assert sha256(image) == before and sidecar(image).with_suffix(".html").is_file()
    image.write_bytes(b"")
    sidecar(image).unlink()
    assert work(derivatives, network) == {MERGED: "made"} and sha256(image) == before
    add_stack("run-3_", 1)
    [error] = work(derivatives, network).values()
    assert "was made before the scans changed; --overwrite makes it again" in error
    assert sha256(image) == before
    assert work(derivatives, network, overwrite=True) == {MERGED: "made"}
    assert sha256(image) != before
    in_another_contrast(first)
    assert "before the scans changed" in work(derivatives, network)[MERGED]


def test_a_group_that_does_not_fit_fails_alone_and_leaves_nothing(
    derivatives: Derivatives, network: ModelRef, add_stack: AddStack, root: Path
) -> None:
    larger(add_stack("acq-ax_run-1_", 2))
    other = in_another_contrast(larger(add_stack("acq-ax_run-2_", 0)))
    well = root / "sub-02" / "anat"
    for run, axis in ((1, 2), (2, 0)):
        stack(axis).write(well / f"sub-02_run-{run}_T2w.nii.gz")
    told = work(derivatives, network)
    name = MERGED.replace("ses-a_", "ses-a_acq-ax_")
    assert told.pop("sub-02_res-SR_desc-arssrmerge_T2w.nii.gz") == "made"
    assert str(other) in told[name] and "another contrast" in told[name]
    assert not (derivatives.root / FOLDER).exists()
    assert [(str(each), why) for each, why in derivatives.failures()] == [
        (sidecar(Path(name)).name, told[name])
    ]
    page = write_index(derivatives).read_text()
    assert "1 done · 1 failed" in page and "T2w, 2 scans merged" in page
    larger(add_stack("acq-sag_", 0))  # the group has another name now
    assert "another contrast" in work(derivatives, network)[MERGED]
    assert [str(each) for each, _ in derivatives.failures()] == [sidecar(Path(MERGED)).name]
    other.unlink()
    assert derivatives.failures() == []
    assert work(derivatives, network)[MERGED] == "made"


def test_links_and_sidecars_of_every_scan_are_looked_at_before_the_work(
    derivatives: Derivatives, network: ModelRef, add_stack: AddStack
) -> None:
    add_stack("run-1_", 2)
    second = add_stack("run-2_", 0)
    sidecar(second).write_text("{")
    assert "is not JSON" in work(derivatives, network)[MERGED]
    sidecar(second).unlink()
    second.unlink()
    second.symlink_to("annexed")
    assert "links to nothing; fetch it first" in work(derivatives, network)[MERGED]
    second.unlink()
    for pointer in (
        "/annex/objects/MD5E-s9--a.nii.gz\n",
        "version https://git-lfs.github.com/spec",
    ):
        second.write_text(pointer)
        told = work(derivatives, network)[MERGED]
        assert f"{second} only points to an image; fetch it first" in told
        assert "the first scan is sub-01_ses-a_run-1_T2w.nii.gz, --bids-filter-file" in told


def test_two_files_of_one_scan_are_a_failure_of_their_group_alone(
    derivatives: Derivatives, network: ModelRef, add_stack: AddStack, root: Path
) -> None:
    for entities, axis in (("run-1_", 2), ("run-01_", 2), ("run-2_", 0), ("echo-1_", 2)):
        add_stack(entities, axis)
    told = work(derivatives, network)
    assert told.pop("sub-01_ses-a_echo-1_res-SR_desc-arssr_T2w.nii.gz") == "made"
    assert "run-01_T2w.nii.gz and sub-01_ses-a_run-1_T2w.nii.gz are one scan" in told[MERGED]


def test_a_failure_is_forgotten_once_a_scan_of_it_is_made_alone(
    derivatives: Derivatives, network: ModelRef, add_stack: AddStack
) -> None:
    """Where all others were left out."""
    first, second = add_stack("run-1_", 2), add_stack("run-2_", 0)
    in_another_contrast(second)
    work(derivatives, network)
    assert len(derivatives.failures()) == 1
    [scan] = [scan for scan in derivatives.source.scans({"T2w"}) if scan.path == first]
    given = (derivatives, [scan], Request(Target()), network, Local())
    assert [each.error for each in super_resolve(*given, report=False)] == [""]
    assert derivatives.failures() == []


def test_ctrl_c_leaves_whole_merges_that_are_not_made_again(
    derivatives: Derivatives,
    network: ModelRef,
    add_stack: AddStack,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_stack("run-1_", 2)
    add_stack("run-2_", 0)
    for run, axis in ((1, 2), (2, 0)):
        stack(axis).write(root / "sub-02" / "anat" / f"sub-02_run-{run}_T2w.nii.gz")
    later = "sub-02_res-SR_desc-arssrmerge_T2w.nii.gz"
    put, written = Writer.put, []

    def interrupted(writer: Writer, slab: np.ndarray) -> None:
        put(writer, slab)
        written.append(slab)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Writer, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        work(derivatives, network)
    files = [path for path in derivatives.root.rglob("*") if path.parent.name == "anat"]
    assert {path.name for path in files} == {MERGED, sidecar(Path(MERGED)).name}
    monkeypatch.undo()
    assert work(derivatives, network) == {MERGED: "left", later: "made"}


@pytest.mark.slow
def test_workers_merge_to_the_same_bytes(
    derivatives: Derivatives,
    network: ModelRef,
    add_stack: AddStack,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_stack("run-1_", 2)
    second = add_stack("run-2_", 0)
    work(derivatives, network)
    before = sha256(derivatives.root / FOLDER / MERGED)
    monkeypatch.chdir(tmp_path)
    here = Derivatives(Path("elsewhere"), type(derivatives.source)(root.relative_to(tmp_path)))
    assert work(here, network, Local(2)) == {MERGED: "made"}
    assert sha256(here.root / FOLDER / MERGED) == before
    in_another_contrast(second)
    error = work(here, network, Local(2), overwrite=True)[MERGED]
    assert error.startswith(str(second.relative_to(tmp_path)))


def test_names_that_differ_in_nothing_but_res_are_refused(
    derivatives: Derivatives, network: ModelRef, add_stack: AddStack
) -> None:
    for res in (1, 2):
        for run in (1, 2):
            add_stack(f"run-{run}_res-{res}_", 2)
    with pytest.raises(ArSSRError, match=f"two scans would both become {MERGED[:-7]}"):
        work(derivatives, network)


def test_the_bids_validator_finds_no_fault(
    derivatives: Derivatives, network: ModelRef, add_stack: AddStack
) -> None:
    add_stack("acq-ax_", 2, EchoTime=0.1)
    add_stack("acq-sag_run-1_", 0, EchoTime=0.1)
    add_stack("acq-ax_rec-norm_run-1_", 2)
    second = add_stack("acq-ax_rec-norm_run-2_", 2)
    scan = Volume.read(second)
    scan.with_data(1.1 * scan.data, scan.grid).write(second, overwrite=True)  # no copy of run 1
    assert set(work(derivatives, network, report=True).values()) == {"made"}
    write_index(derivatives)
    assert validate(derivatives.root) == []
