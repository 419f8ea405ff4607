"""A data set from end to end: what is made, left alone, made again, and what fails."""

from pathlib import Path
from typing import Any

import pytest

from arssr.bids.dataset import Scan
from arssr.bids.derivatives import Derivatives
from arssr.bids.participants import super_resolve
from arssr.errors import ArSSRError
from arssr.files import sha256, sidecar
from arssr.jobs.batch import ModelRef
from arssr.jobs.local import Local
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target
from arssr.volume import Volume

from .conftest import AddScan


def work(
    derivatives: Derivatives, network: ModelRef, acquisition: str = "auto", **how: bool
) -> dict[str, str]:
    """Subject → made, left or the reason why it failed."""
    wanted = Request(Target(scale=2.0), acquisition=acquisition)
    scans = derivatives.source.scans({"T1w"})
    told, how = {}, {"report": False, **how}
    for each in super_resolve(derivatives, scans, wanted, network, Local(), **how):
        told[each.scan.subject] = each.error or ("made" if each.facts else "left")
    return told


def test_results_are_those_of_the_model(
    derivatives: Derivatives, network: ModelRef, add: AddScan
) -> None:
    path = add("sub-01/anat/sub-01_T1w.nii.gz")
    assert work(derivatives, network) == {"01": "made"}
    result = Volume.read(derivatives.destination(_scan(derivatives)))
    expected = network.load().upsample(path, scale=2)
    assert (result.data == expected.data).all() and result.grid.matches(expected.grid)


def test_what_is_done_is_left_alone_until_it_is_to_be_overwritten(
    derivatives: Derivatives, network: ModelRef, add: AddScan
) -> None:
    add("sub-01/anat/sub-01_T1w.nii.gz")
    assert work(derivatives, network) == {"01": "made"}
    add("sub-02/anat/sub-02_T1w.nii.gz")
    assert work(derivatives, network) == {"01": "left", "02": "made"}
    assert work(derivatives, network) == {"01": "left", "02": "left"}
    assert work(derivatives, network, overwrite=True) == {"01": "made", "02": "made"}
    assert work(derivatives, network, report=True) == {"01": "made", "02": "made"}


def test_what_was_cut_off_is_made_again(
    derivatives: Derivatives, network: ModelRef, add: AddScan
) -> None:
    add("sub-01/anat/sub-01_T1w.nii.gz")
    work(derivatives, network)
    image = derivatives.destination(_scan(derivatives))
    before = sha256(image)
    sidecar(image).unlink()
    image.write_bytes(b"")
    leftover = image.with_name(f".arssr-00000000-a1b2c3d4.{image.name}")
    leftover.write_bytes(b"half a scan")
    assert work(derivatives, network) == {"01": "made"}
    assert sha256(image) == before and not leftover.exists()


def test_failures_are_each_their_own_and_forgotten_once_mended(
    derivatives: Derivatives, network: ModelRef, root: Path, add: AddScan
) -> None:
    for subject in ("01", "02", "03", "04"):
        add(f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz")
    broken = root / "sub-02/anat/sub-02_T1w.nii.gz"
    broken.write_bytes(b"no image")
    link = root / "sub-03/anat/sub-03_T1w.nii.gz"
    link.unlink()
    link.symlink_to("annexed")
    (root / "sub-04/anat/sub-04_T1w.json").write_text("{")
    told = work(derivatives, network)
    assert told["01"] == "made"
    assert "cannot be read" in told["02"]
    assert "links to nothing; fetch it first" in told["03"]
    assert "is not JSON" in told["04"]
    assert [(str(n), e) for n, e in derivatives.failures()] == [
        (f"sub-{s}_res-SR_desc-arssr_T1w.json", told[s]) for s in ("02", "03", "04")
    ]
    broken.unlink()
    link.unlink()
    (root / "sub-04/anat/sub-04_T1w.json").write_text("{}")
    for subject in ("02", "03"):
        add(f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz")
    assert work(derivatives, network) == {"01": "left", "02": "made", "03": "made", "04": "made"}
    assert derivatives.failures() == []


def test_changed_options_are_refused_and_the_result_stays(
    derivatives: Derivatives, network: ModelRef, add: AddScan
) -> None:
    add("sub-01/anat/sub-01_T1w.nii.gz")
    work(derivatives, network)
    image = derivatives.destination(_scan(derivatives))
    before = image.stat().st_mtime_ns
    told = work(derivatives, network, acquisition="slice", report=True)
    assert "before the options changed; --overwrite makes it again" in told["01"]
    assert image.stat().st_mtime_ns == before
    assert work(derivatives, network) == {"01": "left"} and derivatives.failures() == []


def test_a_sidecar_that_cannot_be_written_is_that_scans_failure(
    derivatives: Derivatives,
    network: ModelRef,
    add: AddScan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add("sub-01/anat/sub-01_T1w.nii.gz")
    add("sub-02/anat/sub-02_T1w.nii.gz")
    record = derivatives.record

    def full(scan: Scan, *rest: Any) -> None:
        if scan.subject == "01":
            raise ArSSRError("the disk is full")
        record(scan, *rest)

    monkeypatch.setattr(derivatives, "record", full)
    assert work(derivatives, network) == {"01": "the disk is full", "02": "made"}
    monkeypatch.undo()
    assert work(derivatives, network) == {"01": "made", "02": "left"}


def test_two_scans_of_one_result_are_refused_before_any_work(
    derivatives: Derivatives, network: ModelRef, add: AddScan
) -> None:
    add("sub-01/anat/sub-01_res-1_T1w.nii.gz")
    add("sub-01/anat/sub-01_res-2_T1w.nii.gz")
    with pytest.raises(ArSSRError, match="two scans would both become sub-01_res-SR_desc-arssr"):
        work(derivatives, network)
    assert not derivatives.root.exists()


def _scan(derivatives: Derivatives) -> Scan:
    return derivatives.source.scans({"T1w"})[0]
