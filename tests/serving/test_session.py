"""From a scan to what is taken home: as `arssr upsample` makes it."""

import io
import json
import os
import signal
import zipfile
from pathlib import Path
from threading import Event
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from tests.formats.series import write_series
from tests.phantoms import smooth, volume
from tests.serving import chores

from arssr.grid import Grid
from arssr.jobs.batch import ModelRef, model_of
from arssr.jobs.job import Job
from arssr.jobs.running import estimate, run
from arssr.serving import tasks
from arssr.serving.session import Session
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target
from arssr.volume import Volume

from .conftest import Page, ask_here, wait_for


def sent(page: Page, path: Path, name: str = "") -> str:
    key = page.send(name or path.name, (name or path.name, path.read_bytes()))
    assert page.looked(key)["state"] == "ready"
    return key


def job(source: Path, destination: Path, **target: Any) -> Job:
    return Job(source, destination, Request(Target(**target)))


def samples(content: bytes, folder: Path) -> Volume:
    path = folder / "taken-home.nii.gz"
    path.write_bytes(content)
    return Volume.read(path)


def test_a_scan_is_told_of_in_plain_words(page: Page, thick: Path) -> None:
    facts = page.looked(sent(page, thick))["facts"]
    assert facts["spacing_mm"] == [1, 1, 3]
    assert "12×11×5 voxels of 1×1×3 mm." in facts["in_words"]
    assert any("Foot–head" in words for words in facts["in_words"])
    assert any(words.startswith("Noise: ") for words in facts["in_words"])


def test_a_fact_that_is_no_number_spoils_nothing(
    page: Page, thick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "estimate_noise", lambda *_: float("nan"))
    assert page.looked(sent(page, thick))["facts"]["noise"] is None


def test_a_scan_is_shown_as_it_is(page: Page, thick: Path, tmp_path: Path) -> None:
    content = page.call("GET", f"scans/{sent(page, thick)}/image")
    (tmp_path / "shown.nii").write_bytes(content)
    shown, scan = nib.load(tmp_path / "shown.nii"), nib.load(thick)
    assert shown.get_data_dtype() == np.float32  # type: ignore[attr-defined]
    np.testing.assert_array_equal(shown.get_fdata(), scan.get_fdata())  # type: ignore[attr-defined]
    np.testing.assert_array_equal(shown.affine, scan.affine)  # type: ignore[attr-defined]


def test_the_estimate_is_that_of_a_dry_run(
    page: Page, thick: Path, network: ModelRef, tmp_path: Path
) -> None:
    key = sent(page, thick)
    told = page.call("POST", f"scans/{key}/estimate", json={"target": {"scale": 2}})
    known = estimate(model_of(network), job(thick, tmp_path / "out.nii.gz", scale=2))
    for name in ("output", "disk_bytes", "warnings"):
        assert told[name] == known[name]
    assert "scan" not in told and "result" not in told
    assert len(told["in_words"]) == 3


def test_a_result_is_that_of_upsample(
    page: Page, thick: Path, network: ModelRef, tmp_path: Path
) -> None:
    key = sent(page, thick)
    made = page.call("POST", f"scans/{key}/runs", 201, json={"target": {"spacing": 1}})
    done = page.done(made["id"])
    assert done["state"] == "done", done["error"]
    known = run(model_of(network), job(thick, tmp_path / "out.nii.gz", spacing=1))
    ours = samples(page.call("GET", f"runs/{made['id']}/nifti"), tmp_path)
    theirs = Volume.read(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(ours.data, theirs.data)
    assert ours.grid == theirs.grid
    sidecar = json.loads(page.call("GET", f"runs/{made['id']}/sidecar"))
    changes = ("created", "seconds")
    plain = {name: value for name, value in known.items() if name not in ("scan", "result")}
    assert {n: v for n, v in sidecar.items() if n not in changes} == {
        n: v for n, v in json.loads(json.dumps(plain)).items() if n not in changes
    }


def test_cubic_and_the_report_go_with_a_result(page: Page, thick: Path, tmp_path: Path) -> None:
    key = sent(page, thick, "MS <b>patient.nii.gz")
    made = page.call("POST", f"scans/{key}/runs", 201, json={})["id"]
    assert page.done(made)["state"] == "done"
    (tmp_path / "cubic.nii").write_bytes(page.call("GET", f"runs/{made}/cubic"))
    ours = samples(page.call("GET", f"runs/{made}/nifti"), tmp_path)
    assert Volume.read(tmp_path / "cubic.nii").grid == ours.grid
    report = page.call("GET", f"runs/{made}/report").decode()
    assert "MS &lt;b&gt;patient" in report and "<b>patient" not in report
    assert "file-000001" not in report and str(page.folder) not in report


def test_what_is_taken_home_is_a_download(page: Page, thick: Path) -> None:
    key = sent(page, thick, 'a";\r\nX: é.nii.gz')
    made = page.call("POST", f"scans/{key}/runs", 201, json={})["id"]
    page.settle()
    headers = {"Authorization": f"Bearer {page.token}"}
    answer = page.client.get(f"/api/runs/{made}/report", headers=headers)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "x" not in answer.headers


def result_of_dicom(page: Page, folder: Path) -> str:
    """The id of a result of a series with slices of 3 mm, written to a folder and sent."""
    grid = Grid((8, 7, 5), np.diag([1.0, 1, 3, 1]))
    stored = (1000 * smooth(grid.shape, sigma=1)).astype(np.uint16)
    files = write_series(folder, stored, grid)
    key = page.send("study", *((path.name, path.read_bytes()) for path in files))
    page.settle()
    made = page.call("POST", f"scans/{key}/runs", 201, json={})["id"]
    assert page.done(made)["state"] == "done"
    return str(made)


def test_a_derived_series_comes_of_dicom_alone(page: Page, thick: Path, tmp_path: Path) -> None:
    made = result_of_dicom(page, tmp_path / "dicom")
    packed = zipfile.ZipFile(io.BytesIO(page.call("GET", f"runs/{made}/dicom")))
    packed.extractall(tmp_path / "derived")
    derived = Volume.read(tmp_path / "derived")
    result = samples(page.call("GET", f"runs/{made}/nifti"), tmp_path)
    np.testing.assert_allclose(derived.data, result.data, atol=0.5)
    np.testing.assert_allclose(derived.grid.affine, result.grid.affine, atol=1e-4)

    other = page.call("POST", f"scans/{sent(page, thick)}/runs", 201, json={})["id"]
    page.settle()
    assert "is not a DICOM series" in page.call("GET", f"runs/{other}/dicom", 422)


def test_of_several_series_one_is_chosen(page: Page, tmp_path: Path) -> None:
    grid = Grid((6, 5, 4), np.diag([1.0, 1, 3, 1]))
    files = [
        path
        for number in (5, 6)
        for path in write_series(
            tmp_path / str(number),
            (100 * number * smooth(grid.shape, sigma=1)).astype(np.uint16),
            grid,
            number=number,
        )
    ]
    key = page.send("study", *((path.name, path.read_bytes()) for path in files))
    scan = page.looked(key)
    assert scan["state"] == "to choose"
    assert [image["series"] for image in scan["facts"]["images"]] == ["5", "6"]
    assert "not ready" in page.call("POST", f"scans/{key}/runs", 422, json={})
    page.call("POST", f"scans/{key}/series", json={"series": "6"})
    scan = page.looked(key)
    assert scan["state"] == "ready" and scan["facts"]["range"][1] == pytest.approx(600, abs=2)
    page.call("POST", f"scans/{key}/series", json={"series": "../../etc"})
    assert page.looked(key)["state"] == "failed"


def test_a_result_on_the_grid_of_another_scan(page: Page, thick: Path, tmp_path: Path) -> None:
    fine = volume(smooth((10, 10, 12), sigma=1)).write(tmp_path / "T1.nii.gz")
    key, other = sent(page, thick), sent(page, fine)
    asked = {"target": {"like": other}}
    made = page.call("POST", f"scans/{key}/runs", 201, json=asked)["id"]
    assert page.done(made)["state"] == "done"
    result = samples(page.call("GET", f"runs/{made}/nifti"), tmp_path)
    assert result.grid == Volume.read(fine).grid
    sidecar = page.call("GET", f"runs/{made}/sidecar").decode()
    assert json.loads(sidecar)["options"]["like"] == "T1.nii.gz"
    assert str(page.folder) not in sidecar
    for path in ("/etc/passwd", str(fine), "../s1"):
        page.call("POST", f"scans/{key}/runs", 404, json={"target": {"like": path}})


def test_all_frames_of_a_4d_scan(page: Page, tmp_path: Path) -> None:
    data = np.stack([smooth((6, 5, 4), seed, sigma=1) for seed in range(2)], axis=-1)
    nib.Nifti1Image(data, np.diag([1.0, 1, 3, 1])).to_filename(tmp_path / "bold.nii.gz")
    key = sent(page, tmp_path / "bold.nii.gz")
    made = page.call("POST", f"scans/{key}/runs", 201, json={})["id"]
    assert page.done(made)["state"] == "done"
    (tmp_path / "out.nii.gz").write_bytes(page.call("GET", f"runs/{made}/nifti"))
    assert nib.load(tmp_path / "out.nii.gz").shape == (6, 5, 12, 2)  # type: ignore[attr-defined]
    assert "several frames" in page.call("GET", f"runs/{made}/report", 422)


def test_sentences_name_what_the_page_knows(page: Page) -> None:
    scan = page.looked(page.send("../T1.nii.gz", ("T1.nii.gz", b"no gzip")))
    assert scan["state"] == "failed"
    assert "T1.nii.gz" in scan["error"] and str(page.folder) not in scan["error"]


def test_a_target_that_cannot_be_is_a_sentence_before_and_after(page: Page, thick: Path) -> None:
    key = sent(page, thick)
    for target in ({"shape": [10**6] * 3}, {"scale": -1}, {"scale": 1e300}, {"spacing": 0}):
        said = page.call("POST", f"scans/{key}/estimate", 422, json={"target": target})
        assert said and str(page.folder) not in said
        made = page.call("POST", f"scans/{key}/runs", 201, json={"target": target})["id"]
        done = page.done(made)
        assert done["state"] == "failed" and done["error"]
        assert not (page.folder / made).exists()


def test_what_is_forgotten_is_gone(page: Page, thick: Path) -> None:
    key = sent(page, thick)
    made = page.call("POST", f"scans/{key}/runs", 201, json={})["id"]
    page.settle()
    page.call("DELETE", f"scans/{key}")
    page.settle()
    assert page.call("GET", "state")["scans"] == page.call("GET", "state")["runs"] == []
    assert not (page.folder / key).exists() and not (page.folder / made).exists()


@pytest.mark.parametrize("what", ["nothing", "..%2f..%2fopen.html", "%2e%2e", "nifti.json"])
def test_only_known_files_of_a_result_are_given(page: Page, thick: Path, what: str) -> None:
    made = page.call("POST", f"scans/{sent(page, thick)}/runs", 201, json={})["id"]
    page.settle()
    assert page.call("GET", f"runs/{made}/{what}", 404)


def test_scans_of_the_command_line_stay_where_they_are(
    here: None, thick: Path, network: ModelRef, tmp_path: Path
) -> None:
    before = thick.read_bytes()
    (tmp_path / "private").mkdir()
    with Session(tmp_path / "private", [thick], network, None) as session:
        session._looking.submit(lambda: None).result()
        [scan] = session.describe()["scans"]
        assert scan["name"] == "FLAIR.nii.gz" and scan["state"] == "ready"
        session.start(scan["id"], {})
        session._computing.submit(lambda: None).result()
        session.forget(scan["id"])
    assert thick.read_bytes() == before
    assert [path.name for path in thick.parent.iterdir()] == [thick.name]


def test_a_waiting_result_is_taken_from_the_queue(page: Page, thick: Path) -> None:
    key, go = sent(page, thick), Event()
    page.session._computing.submit(go.wait)  # something is under way
    first, second = (page.call("POST", f"scans/{key}/runs", 201, json={})["id"] for _ in range(2))
    assert page.call("POST", f"runs/{first}/cancel")["state"] == "cancelled"
    go.set()
    assert page.done(first)["state"] == "cancelled" and page.done(second)["state"] == "done"
    page.call("GET", f"runs/{first}/nifti", 404)


@pytest.mark.slow
def test_a_result_under_way_is_cancelled_or_killed_and_the_next_one_is_made(
    thick: Path, network: ModelRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "private").mkdir()
    with Session(tmp_path / "private", [], network, None) as session:
        monkeypatch.setattr(session._looker, "ask", ask_here)
        scan = session._add("FLAIR.nii.gz", thick)
        session._look(scan)
        session._looking.submit(lambda: None).result()

        monkeypatch.setattr(tasks, "upsample", chores.wait_as_a_job)
        cancelled, killed, last = (session.start(scan.key, {}) for _ in range(3))
        wait_for(lambda: cancelled.what == "waiting")
        assert [run.state for run in (cancelled, killed, last)] == ["running", "waiting", "waiting"]
        session.cancel(cancelled.key)
        wait_for(lambda: killed.what == "waiting")
        monkeypatch.undo()
        assert session._computer._process is not None
        os.kill(session._computer._process.pid or 0, signal.SIGKILL)
        wait_for(lambda: last.state == "done")

        assert [run.state for run in (cancelled, killed, last)] == ["cancelled", "failed", "done"]
        assert "was killed" in killed.error and not cancelled.error
        assert not cancelled.folder.exists() and not killed.folder.exists()
        assert last.job.destination.exists()
