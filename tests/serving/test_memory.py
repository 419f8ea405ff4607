"""--memory holds for all that looks at scans and makes downloads, and is said beforehand."""

from dataclasses import replace
from pathlib import Path

import pytest

from arssr.jobs.batch import ModelRef

from .conftest import Page, opened_page
from .test_session import result_of_dicom

LITTLE = 1.0  # bytes: this process has more already


def test_a_scan_that_does_not_fit_is_refused_before_its_samples_are_read(
    here: None, thick: Path, network: ModelRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arssr.volume.Frames.frame", lambda *_: pytest.fail("they were read"))
    with opened_page(network, memory=LITTLE) as page:
        key = page.send("FLAIR.nii.gz", ("FLAIR.nii.gz", thick.read_bytes()))
        scan = page.looked(key)
    assert scan["state"] == "failed"
    assert scan["error"].startswith("a scan of 12×11×5 voxels needs 9.9 KB of memory and 0 B are")
    assert "left of --memory" in scan["error"] and scan["error"].count("\n") == 0


def test_downloads_that_do_not_fit_are_refused(page: Page, tmp_path: Path) -> None:
    made = result_of_dicom(page, tmp_path / "dicom")
    run = page.session.run(made)
    enough = run.job
    run.job = replace(enough, request=replace(enough.request, memory=LITTLE))
    for what in ("cubic", "dicom", "report"):
        said = page.call("GET", f"runs/{made}/{what}", 422)
        assert "8×7×15 voxels needs" in said and "left of --memory" in said, what
    run.job = enough
    for what in ("cubic", "dicom", "report"):
        assert page.call("GET", f"runs/{made}/{what}")


def test_a_scan_too_large_for_the_machine_is_refused_without_a_limit_too(
    page: Page, thick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arssr.upsampling.room.available_bytes", lambda: 5000)
    scan = page.looked(page.send("a.nii.gz", ("a.nii.gz", thick.read_bytes())))
    assert "5 KB are free" in scan["error"]
