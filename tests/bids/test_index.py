"""The overview: every subject, what was done, what failed, and links that lead somewhere."""

import json
import re
from urllib.parse import unquote

import nibabel as nib

from arssr.bids.derivatives import Derivatives
from arssr.bids.index import write_index
from arssr.bids.participants import super_resolve
from arssr.files import sidecar
from arssr.jobs.batch import ModelRef
from arssr.jobs.local import Local
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target

from .conftest import AddScan


def test_every_scan_its_grids_and_its_links(
    derivatives: Derivatives, network: ModelRef, add: AddScan
) -> None:
    add("sub-01/anat/sub-01_T1w.nii.gz")
    add("sub-02/ses-a/anat/sub-02_ses-a_run-1_T1w.nii.gz").write_bytes(b"no image")
    wanted = Request(Target(scale=(2.0, 2.0, 4.0)))
    scans = derivatives.source.scans({"T1w"})
    assert len(list(super_resolve(derivatives, scans, wanted, network, Local()))) == 2
    page = write_index(derivatives).read_text()
    for text in (
        "phantoms",
        "2 subjects · 1 done · 1 failed",
        "6×5×4<span>1×1×1 mm</span>",
        "12×10×16<span>0.5×0.5×0.25 mm</span>",
        "ses-a_run-1_T1w",
        "cannot be read",
        "prefers-color-scheme: dark",
    ):
        assert text in page, text
    links = [unquote(link) for link in re.findall(r'<a href="([^"]+)"', page)]
    assert len(links) == 4
    assert all((derivatives.root / link).is_file() for link in links)
    assert "<script" not in page and "http" not in page.replace("http-equiv", "")


def test_a_page_a_subject(derivatives: Derivatives, network: ModelRef, add: AddScan) -> None:
    add("sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz")
    add("sub-01/ses-b/anat/sub-01_ses-b_T1w.nii.gz")
    add("sub-01/ses-c/anat/sub-01_ses-c_T1w.nii.gz").write_bytes(b"no image")
    add("sub-02/anat/sub-02_T1w.nii.gz")
    scans = derivatives.source.scans({"T1w"})
    list(super_resolve(derivatives, scans, Request(Target(scale=2.0)), network, Local()))
    write_index(derivatives)
    assert {path.name for path in derivatives.root.glob("*.html")} == {
        "index.html", "sub-01.html", "sub-02.html"
    }  # fmt: skip
    page = (derivatives.root / "sub-01.html").read_text()
    for text in (
        "2 done · 1 failed",
        "6×5×4 voxels of 1×1×1 mm → 12×10×8 voxels of 0.5×0.5×0.5 mm",
        "cannot be read",
        "<dt>sha256</dt>",
        'href="index.html"',
    ):
        assert text in page, text
    frames = [unquote(link) for link in re.findall(r'<iframe src="([^"]+)"', page)]
    assert [link.split("/")[1] for link in frames] == ["ses-a", "ses-b"]
    assert all((derivatives.root / link).is_file() for link in frames)


def test_what_is_doubtful_about_a_scan_is_told(
    derivatives: Derivatives, network: ModelRef, add: AddScan
) -> None:
    path = add("sub-01/anat/sub-01_T1w.nii.gz")
    image = nib.load(path)
    image.set_sform(image.affine, 0)
    image.set_qform(image.affine, 0)
    nib.save(image, path)
    scans = derivatives.source.scans({"T1w"})
    [done] = super_resolve(derivatives, scans, Request(Target(scale=2.0)), network, Local())
    assert done.facts is not None and len(done.facts["warnings"]) == 1
    page = write_index(derivatives).read_text()
    assert '<a href="sub-01.html">1 warning</a>' in page
    assert "does not say where the scan lies" in (derivatives.root / "sub-01.html").read_text()
    made = json.loads(sidecar(done.destination).read_text())["ArSSR"]
    assert "does not say where the scan lies" in made["warnings"][0]


def test_an_error_cannot_write_into_the_page(derivatives: Derivatives, add: AddScan) -> None:
    add("sub-01/anat/sub-01_T1w.nii.gz")
    [scan] = derivatives.source.scans({"T1w"})
    derivatives.record_failure(scan, "<b>bold</b>")
    assert "&lt;b&gt;bold" in write_index(derivatives).read_text()


def test_nothing_done_is_a_page_too(derivatives: Derivatives) -> None:
    assert "Nothing is done yet" in write_index(derivatives).read_text()
