"""A disk that is full at any moment costs a sentence, and nothing half-saved stays."""

import io
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.formats.series import write_series
from tests.phantoms import smooth

from arssr import files
from arssr.grid import Grid
from arssr.jobs.batch import ModelRef
from arssr.serving import uploads
from arssr.volume import Volume

from .conftest import ORIGIN, Page, opened_page

DISK = 2**23  # bytes


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small one for all temporary files, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs leave to mount a small disk")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def page(here: None, disk: Path, network: ModelRef) -> Iterator[Page]:
    with opened_page(network) as made:
        yield made


class Full:
    """The disk, filled up but for some bytes."""

    def __init__(self, disk: Path, left: int) -> None:
        self._file = disk / "of-others"
        free = shutil.disk_usage(disk).free
        self._file.write_bytes(b"\0" * max(free - left, 0))

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._file.unlink()


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def dicom(folder: Path) -> list[Path]:
    grid = Grid((40, 30, 5), np.diag([1.0, 1, 3, 1]))
    return write_series(folder, (1000 * smooth(grid.shape, sigma=1)).astype(np.uint16), grid)


def begun(page: Page) -> str:
    return f"scans/{page.call('POST', 'scans', 201, json={'name': 'a'})['id']}/files"


@pytest.mark.parametrize("is_announced", [True, False])
def test_an_upload_that_does_not_fit_leaves_nothing_and_the_next_is_taken(
    page: Page, thick: Path, is_announced: bool
) -> None:
    before, path = files_below(page.folder), begun(page)
    content = b"x" * DISK
    sent = content if is_announced else iter([content[: 2**20]] * 8)
    said = page.call("POST", path, 422, params={"name": "a"}, content=sent)
    assert "no room" in said
    assert files_below(page.folder) == before
    key = page.send("a.nii.gz", ("a.nii.gz", thick.read_bytes()))
    assert page.looked(key)["state"] == "ready"


def test_a_disk_that_others_fill_meanwhile_leaves_nothing_either(
    page: Page, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "room_left", lambda folder: 2**40)
    before, path = files_below(page.folder), begun(page)
    for name in ("a", "a.json"):
        with Full(disk, left=2**16):
            said = page.call("POST", path, 507, params={"name": name}, content=b"x" * 2**19)
        assert said == "the temporary folder: No space left on device"
        assert files_below(page.folder) == before


def test_a_zip_is_unpacked_only_where_there_is_room(page: Page, disk: Path, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in dicom(tmp_path / "dicom"):
            archive.write(path, path.name)
        archive.writestr("noise", np.random.default_rng(0).bytes(DISK // 2))
        archive.writestr("air", b"\0" * DISK)
    key = page.send("study.zip", ("study.zip", packed.getvalue()))
    scan = page.looked(key)
    assert scan["state"] == "failed"
    assert scan["error"].startswith("study.zip: not unpacked, there is no room for it")
    assert files_below(disk) == {
        f"{page.folder.name}/{name}" for name in ("open.html", f"{key}/files/file-000001.zip")
    }


def test_a_scan_that_cannot_be_copied_for_the_screen_fails(
    page: Page, disk: Path, tmp_path: Path
) -> None:
    grid = Grid((64, 64, 64), np.eye(4))  # constant: nothing in a file, a megabyte when shown
    scan = Volume(np.full(grid.shape, 7), grid).write(tmp_path / "a.nii.gz")
    path = begun(page)
    page.call("POST", path, params={"name": "a.nii.gz"}, content=scan.read_bytes())
    before, key = files_below(page.folder), path.split("/")[1]
    with Full(disk, left=2**18):
        page.call("POST", f"scans/{key}/end")
        found = page.looked(key)
    assert found["state"] == "failed" and "No space left" in found["error"]
    assert str(page.folder) not in found["error"]
    assert files_below(page.folder) == before
    page.call("POST", f"scans/{key}/series", json={"series": ""})  # and no process hangs


@pytest.mark.parametrize("is_known", [True, False], ids=["before", "while it is written"])
def test_a_result_that_does_not_fit_fails_and_the_next_one_is_made(
    page: Page, disk: Path, thick: Path, is_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_known:
        monkeypatch.setattr("arssr.jobs.running.require_disk", lambda *_: None)
    key = page.send("a.nii.gz", ("a.nii.gz", thick.read_bytes()))
    page.settle()
    asked = {"target": {"scale": 6}}
    with Full(disk, left=2**17 if is_known else 2**13):
        made = page.call("POST", f"scans/{key}/runs", 201, json=asked)["id"]
        run = page.done(made)
    assert run["state"] == "failed"
    assert ("of disk" if is_known else "No space left") in run["error"]
    assert str(page.folder) not in run["error"]
    assert not (page.folder / made).exists()
    made = page.call("POST", f"scans/{key}/runs", 201, json=asked)["id"]
    assert page.done(made)["state"] == "done"


def test_a_download_that_cannot_be_made_is_made_later(
    page: Page, disk: Path, tmp_path: Path
) -> None:
    sent = ((path.name, path.read_bytes()) for path in dicom(tmp_path / "dicom"))
    key = page.send("study", *sent)
    page.settle()
    made = page.call("POST", f"scans/{key}/runs", 201, json={"target": {"scale": [3, 3, 3]}})["id"]
    assert page.done(made)["state"] == "done"
    before = files_below(page.folder)
    for what in ("cubic", "dicom", "report"):
        with Full(disk, left=2**14):
            said = page.call("GET", f"runs/{made}/{what}", 422)
        assert "No space left" in said and str(page.folder) not in said
        assert files_below(page.folder) == before, what
    for what in ("cubic", "dicom", "report", "nifti", "sidecar"):
        assert len(page.call("GET", f"runs/{made}/{what}")) > 100


def test_a_page_that_cannot_enter_can_do_so_later(page: Page, disk: Path) -> None:
    told = list(page.addresses)
    with Full(disk, left=0):
        once = {"token": told[-1].partition("#")[2]}
        answer = page.client.post("/api/session", json=once, headers={"Origin": ORIGIN})
        assert answer.status_code == 507 and "No space left" in answer.json()["error"]
    assert page.addresses == told
    page.enter()
    assert page.call("GET", "state")["scans"] == []


def test_of_a_large_disk_a_gibibyte_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type(shutil.disk_usage(os.curdir))
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage(2**40, 0, 2**31))
    assert files.room_left(Path()) == 2**30
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage(1000, 600, 400))
    assert files.room_left(Path()) == 300
