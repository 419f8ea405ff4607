"""What a browser sends becomes a scan, and never a path, a full disk or another file of ours."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.formats.series import write_series
from tests.phantoms import smooth, volume

from arssr.formats import archive
from arssr.grid import Grid
from arssr.serving import uploads
from arssr.serving.uploads import shown_name, suffix_named
from arssr.volume import Volume

from .conftest import ORIGIN, Page

NAMES = (
    *("../../../../tmp/stolen.nii.gz", "/etc/cron.d/x.nii.gz", "..\\..\\x.nii.gz", "a/../b.nii.gz"),
    *("x.nii.gz/../../y.nii.gz", "\x00.nii.gz", "~/x.nii.gz", "COM1.nii.gz", "-rf.nii.gz"),
    *("." * 300 + ".nii.gz", "é\u202egz.nii.gz", "$(touch x).nii.gz", "sub-01_T1w.nii.gz"),
)


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def dicom_files(tmp_path: Path) -> list[tuple[str, bytes]]:
    grid = Grid((6, 5, 4), np.diag([1.0, 1, 3, 1]))
    stored = (1000 * smooth(grid.shape, sigma=1)).astype(np.uint16)
    paths = write_series(tmp_path / "dicom", stored, grid)
    return [(path.name, path.read_bytes()) for path in paths]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_and_is_no_path(page: Page, thick: Path, name: str) -> None:
    before = files_below(page.folder)
    key = page.send(name, (name, thick.read_bytes()))
    scan = page.looked(key)
    assert scan["state"] == "ready", scan["error"]
    assert scan["name"] == shown_name(name) and "/" not in scan["name"]
    made = set(files_below(page.folder)) - set(before)
    assert made == {f"{key}/files/file-000001.nii.gz", f"{key}/shown.nii"}


@pytest.mark.parametrize("ending", ["_dseg", "_MASK", ".seg", "_probseg"])
def test_a_name_that_says_labels_is_believed(page: Page, thick: Path, ending: str) -> None:
    scan = page.looked(page.send("x", (f"/tmp/x{ending}.nii.gz", thick.read_bytes())))
    assert scan["state"] == "ready", scan["error"]
    assert f"because its name ends in {ending.strip('_').lower()}" in str(scan["facts"]["in_words"])


def test_a_name_that_says_phase_is_refused(page: Page, thick: Path) -> None:
    name = "sub-01_part-phase_bold.nii.gz"
    key = page.call("POST", "scans", 201, json={"name": name})["id"]
    path, content = f"scans/{key}/files", thick.read_bytes()
    said = page.call("POST", path, 422, params={"name": name}, content=content)
    assert "holds phase" in said and name in said
    assert files_below(page.folder / key) == []


@pytest.mark.parametrize("name", ["x.exe", "x.html.exe", "x.nii.gz.sh", "x.py", "x", "x.nii.gz "])
def test_no_suffix_but_those_of_images_is_kept(page: Page, name: str) -> None:
    key = page.send(name, (name, b"#!/bin/sh"))
    assert files_below(page.folder / key) == ["files/file-000001"]
    assert page.looked(key)["state"] == "failed"


def test_no_data_set_around_the_folder_says_anything_of_an_upload(thick: Path, page: Page) -> None:
    (page.folder / "dataset_description.json").write_text("{}")
    (page.folder / "file-000001.json").write_text('{"SliceThickness": 1}')
    for name in ("000001.json", "FLAIR.json"):
        (page.folder / name).write_text('{"SliceThickness": 1}')
    facts = page.looked(page.send("FLAIR.nii.gz", ("FLAIR.nii.gz", thick.read_bytes())))["facts"]
    assert facts["slices"] is None


@pytest.mark.parametrize("name", ["a.mhd", "A.NHDR"])
def test_a_header_alone_is_refused(page: Page, name: str) -> None:
    key = page.call("POST", "scans", 201, json={"name": name})["id"]
    said = page.call("POST", f"scans/{key}/files", 422, params={"name": name}, content=b"x")
    assert "lie in another file" in said
    assert files_below(page.folder / key) == []


@pytest.mark.parametrize(
    "field",
    ["data file: {}", "datafile: {}", "Data File: {}", "DATA FILE:={}", "data file:  {}"],
)
def test_a_nrrd_header_reads_no_other_file(page: Page, tmp_path: Path, field: str) -> None:
    (tmp_path / "secret.raw").write_bytes(b"A" * 60)
    for end in ("\n\n", "\r\n\r\n"):
        lines = [
            *("NRRD0004", "type: uint8", "dimension: 3", "sizes: 5 4 3", "encoding: raw"),
            *("space: left-posterior-superior", "space directions: (1,0,0) (0,1,0) (0,0,1)"),
            *("space origin: (0,0,0)", field.format(tmp_path / "secret.raw")),
        ]
        header = end[: len(end) // 2].join(lines) + end
        key = page.send("a.nrrd", ("a.nrrd", header.encode()))
        scan = page.looked(key)
        assert scan["state"] == "failed" and "another file" in scan["error"]
        assert page.call("GET", f"scans/{key}/image", 404)


@pytest.mark.parametrize("line", ["ElementDataFile = {}", "ElementDataFile={}"])
@pytest.mark.parametrize("form", ["{}", "../../../../../..{}", "LIST\n{}"])
def test_a_meta_image_reads_no_other_file(page: Page, tmp_path: Path, line: str, form: str) -> None:
    (tmp_path / "secret.raw").write_bytes(b"A" * 60)
    header = "NDims = 3\nDimSize = 5 4 3\nElementType = MET_UCHAR\n"
    header += line.format(form.format(tmp_path / "secret.raw")) + "\n"
    scan = page.looked(page.send("a.mha", ("a.mha", header.encode())))
    assert scan["state"] == "failed" and "another file" in scan["error"]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nii.zst", ".mgz", ".mgh", ".nrrd", ".mha"])
def test_every_format_in_one_file_is_taken(page: Page, tmp_path: Path, suffix: str) -> None:
    path = volume(smooth((6, 5, 4), sigma=1)).write(tmp_path / f"a{suffix}")
    scan = page.looked(page.send(path.name, (path.name, path.read_bytes())))
    assert scan["state"] == "ready", scan["error"]
    assert scan["facts"]["shape"] == [6, 5, 4]


def test_a_dicom_folder_is_sent_file_by_file(page: Page, tmp_path: Path) -> None:
    files = dicom_files(tmp_path)
    key = page.send("study", *files, ("INDEX.HTM", b"<script>"), ("DICOMDIR", b"x"))
    scan = page.looked(key)
    assert scan["state"] == "ready", scan["error"]
    assert scan["facts"]["shape"] == [6, 5, 4] and scan["facts"]["spacing_mm"] == [1, 1, 3]


def test_a_zip_of_dicom_leaves_nothing_unpacked(page: Page, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in dicom_files(tmp_path):
            made.writestr(f"../../../{name}", content)
    key = page.send("study.zip", ("study.zip", packed.getvalue()))
    assert page.looked(key)["state"] == "ready"
    assert files_below(page.folder / key) == ["files/file-000001.zip", "shown.nii"]


def test_a_zip_bomb_is_not_unpacked(page: Page) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        made.writestr("IM1", b"\0" * 2**24)
    scan = page.looked(page.send("bomb.zip", ("bomb.zip", packed.getvalue())))
    assert scan["state"] == "failed" and "not unpacked" in scan["error"]


def test_a_zip_of_countless_files_is_not_unpacked(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_MOST_FILES", 100)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        for number in range(101):
            made.writestr(f"IM{number}", b"")
    scan = page.looked(page.send("many.zip", ("many.zip", packed.getvalue())))
    assert scan["state"] == "failed" and "holds 101 files" in scan["error"]


def test_several_files_of_other_formats_are_no_scan(page: Page, thick: Path) -> None:
    content = thick.read_bytes()
    for first, second in [("a.nii.gz", "b.nii.gz"), ("a.nii.gz", "b"), ("a", "b.zip")]:
        key = page.call("POST", "scans", 201, json={"name": "a"})["id"]
        path = f"scans/{key}/files"
        page.call("POST", path, params={"name": first}, content=content)
        said = page.call("POST", path, 422, params={"name": second}, content=content)
        assert "one by one" in said


def told(**facts: object) -> bytes:
    """The JSON that dcm2niix leaves beside an image."""
    return json.dumps(facts).encode()


@pytest.mark.parametrize("suffix", [".nii", ".NII.GZ", ".mgz", ".nrrd"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_json_file_that_is_sent_with_a_scan_tells_of_its_slices(
    page: Page, tmp_path: Path, suffix: str, is_first: bool
) -> None:
    grid = Grid((12, 11, 5), np.diag([1.0, 1, 4, 1]))
    scan = Volume(1000 * smooth(grid.shape, sigma=1), grid).write(tmp_path / f"a{suffix.lower()}")
    described = ("sub-1/a.json", told(SliceThickness=3, SpacingBetweenSlices=4))
    files = [(f"sub-1/a{suffix}", scan.read_bytes()), described]
    key = page.send("a", *(reversed(files) if is_first else files))
    found = page.looked(key)
    assert found["state"] == "ready", found["error"]
    assert found["facts"]["slices"]["thickness_mm"] == 3
    assert any("slices of 3 mm every 4 mm" in words for words in found["facts"]["in_words"])
    made = page.call("POST", f"scans/{key}/runs", 201, json={})["id"]
    assert page.done(made)["facts"]["input"]["slices"]["thickness_mm"] == 3


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b"\xff", b"[" * 10_000, told(SliceThickness="/etc/passwd"), b"null"]
)
def test_a_json_file_that_says_nothing_spoils_nothing(
    page: Page, thick: Path, content: bytes
) -> None:
    files = ("a.nii.gz", thick.read_bytes()), ("a.json", content)
    found = page.looked(page.send("a.nii.gz", *files))
    assert found["state"] == "ready" and found["facts"]["slices"] is None


def test_a_json_file_of_another_scan_or_one_too_many_is_refused(page: Page, thick: Path) -> None:
    image, described = ("a.nii.gz", thick.read_bytes()), ("a.json", told(SliceThickness=1))
    other = ("b.json", told(SliceThickness=1))
    for *sent, last, sentence in [
        (image, other, "does not have the name of a.nii.gz"),
        (other, image, "does not have the name of a.nii.gz"),
        (image, described, described, "one JSON file"),
        (described, other, image, "one JSON file"),
    ]:
        path = f"scans/{page.call('POST', 'scans', 201, json={'name': 'a'})['id']}/files"
        for name, content in sent:
            page.call("POST", path, params={"name": name}, content=content)
        name, content = last
        assert sentence in page.call("POST", path, 422, params={"name": name}, content=content)


@pytest.mark.parametrize("above", ["../../", "/etc/", "..\\..\\", "a.json/../", "~/"])
def test_the_name_of_a_json_file_is_no_path(page: Page, thick: Path, above: str) -> None:
    before = files_below(page.folder)
    files = (f"{above}a.json", told(SliceThickness=2)), ("a.nii.gz", thick.read_bytes())
    key = page.send("a.nii.gz", *files)
    assert page.looked(key)["facts"]["slices"]["thickness_mm"] == 2
    made = {f"{key}/{name}" for name in ("files/file-000001.nii.gz", "files/file-000001.json")}
    assert set(files_below(page.folder)) - set(before) == made | {f"{key}/shown.nii"}


def test_a_long_json_file_is_refused_and_alone_it_is_no_scan(page: Page) -> None:
    key = page.call("POST", "scans", 201, json={"name": "a"})["id"]
    path, params = f"scans/{key}/files", {"name": "a.json"}
    said = page.call("POST", path, 422, params=params, content=b"x" * (uploads.LARGEST_JSON + 1))
    assert "that long" in said and files_below(page.folder / key) == []
    key = page.call("POST", "scans", 201, json={"name": "a"})["id"]
    page.call("POST", f"scans/{key}/files", params=params, content=b"{}")
    assert "no image" in page.call("POST", f"scans/{key}/end", 422)


def test_json_files_among_dicom_say_nothing(page: Page, tmp_path: Path) -> None:
    others = (("a.json", told(SliceThickness=1)), ("b.json", b"x" * 1000))
    key = page.send("study", *others, *dicom_files(tmp_path), ("IM1.json", b"{"))
    scan = page.looked(key)
    assert scan["state"] == "ready", scan["error"]
    assert scan["facts"]["slices"]["thickness_mm"] == 3


def parts(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b"x" * 1000


def test_a_scan_that_is_too_large_stops_where_it_is(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "LARGEST", 10_000)
    key = page.call("POST", "scans", 201, json={"name": "a"})["id"]
    path, params = f"scans/{key}/files", {"name": "IM1"}
    said = page.call("POST", path, 422, params=params, content=b"x" * 10_001)
    assert "is not taken" in said
    said = page.call("POST", path, 422, params=params, content=parts(11))  # length not announced
    assert "is not taken" in said
    assert files_below(page.folder / key) == []
    page.call("POST", path, params=params, content=parts(6))
    said = page.call("POST", path, 422, params=params, content=parts(5))  # together too large
    assert "is not taken" in said


def test_an_announced_size_is_not_believed(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LARGEST", 10_000)
    key = page.call("POST", "scans", 201, json={"name": "a"})["id"]
    headers = {
        "Origin": ORIGIN,
        "Authorization": f"Bearer {page.token}",
        "Content-Length": "10",
    }
    answer = page.client.post(f"/api/scans/{key}/files?name=a", headers=headers, content=parts(11))
    assert answer.status_code == 422
    assert files_below(page.folder / key) == []


def test_too_many_files_are_refused(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_FILES", 2)
    key = page.call("POST", "scans", 201, json={"name": "a"})["id"]
    for status in (200, 200, 422):
        page.call("POST", f"scans/{key}/files", status, params={"name": "IM"}, content=b"x")


def test_a_scan_is_sent_once(page: Page, thick: Path) -> None:
    key = page.send("a.nii.gz", ("a.nii.gz", thick.read_bytes()))
    assert "not being sent" in page.call("POST", f"scans/{key}/end", 422)
    page.call("POST", f"scans/{key}/files", 422, params={"name": "a"}, content=b"x")


def test_nothing_sent_is_no_scan(page: Page) -> None:
    key = page.call("POST", "scans", 201, json={"name": "a"})["id"]
    assert "no image" in page.call("POST", f"scans/{key}/end", 422)


def test_long_json_is_refused(page: Page) -> None:
    page.call("POST", "scans", 422, json={"name": "a" * 2**17})


def test_suffixes_come_from_the_list_alone() -> None:
    assert [suffix_named(n) for n in ("a.NII.GZ", "a.zip", "a.dicom", "a.zip/x", "")] == [
        *(".nii.gz", ".zip", "", "", "")
    ]
