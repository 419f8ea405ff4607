"""The derived data set: names, sidecars, and what counts as done. The official validator agrees."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tests.phantoms import anatomy

from arssr.bids.dataset import Dataset, Scan
from arssr.bids.derivatives import PROVENANCE, Derivatives
from arssr.bids.index import write_index
from arssr.bids.participants import super_resolve
from arssr.errors import ArSSRError
from arssr.files import sidecar
from arssr.formats.bids import read_json
from arssr.formats.slices import Slices
from arssr.jobs.batch import ModelRef
from arssr.jobs.job import Job
from arssr.jobs.local import Local
from arssr.upsampling.request import Request
from arssr.upsampling.target import Target
from arssr.volume import Volume

from .conftest import AddScan

VALIDATOR = Path(sys.executable).with_name("bids-validator-deno")


def make(derivatives: Derivatives, network: ModelRef, report: bool = False) -> list[Scan]:
    """All T1w images, at twice their resolution."""
    scans = derivatives.source.scans({"T1w"})
    wanted = Request(Target(scale=2.0))
    outcomes = list(super_resolve(derivatives, scans, wanted, network, Local(), report=report))
    assert not [each.error for each in outcomes if each.error]
    return scans


@pytest.mark.parametrize(
    ("scan", "result"),
    [
        ("sub-01_T1w.nii.gz", "sub-01_res-SR_desc-arssr_T1w.nii.gz"),
        ("sub-01_acq-hi_run-1_T1w.nii", "sub-01_acq-hi_run-1_res-SR_desc-arssr_T1w.nii"),
        (
            "sub-01_space-MNI_res-2_desc-preproc_T1w.nii.gz",
            "sub-01_space-MNI_res-SR_desc-preprocArssr_T1w.nii.gz",
        ),
    ],
)
def test_what_a_result_is_called(
    derivatives: Derivatives, add: AddScan, scan: str, result: str
) -> None:
    add(f"sub-01/anat/{scan}")
    [found] = derivatives.source.scans({"T1w"})
    assert derivatives.destination(found) == derivatives.root / "sub-01" / "anat" / result


def test_a_sidecar_keeps_what_holds_and_says_what_is_new(
    derivatives: Derivatives, network: ModelRef, root: Path, add: AddScan
) -> None:
    add("sub-01/anat/sub-01_T1w.nii.gz")
    (root / "T1w.json").write_text('{"EchoTime": 0.003, "SliceThickness": 5, "Sources": ["x"]}')
    [scan] = make(derivatives, network)
    said = read_json(sidecar(derivatives.destination(scan)))
    made = said.pop(PROVENANCE)
    assert said.pop("Description").startswith("Super-resolved by ArSSR")
    assert said == {
        "EchoTime": 0.003,
        "SkullStripped": False,
        "Sources": ["bids:raw:sub-01/anat/sub-01_T1w.nii.gz"],
        "Resolution": "0.5×0.5×0.5 mm, super-resolved from 1×1×1 mm",
    }
    assert made["model"]["sha256"] == network.sha256
    assert str(root) not in json.dumps(made)


def test_slices_with_gaps_are_told_of_and_a_result_does_not_claim_them(
    derivatives: Derivatives, network: ModelRef, root: Path, add: AddScan
) -> None:
    """The network knows of no gaps, and thickness and distance are inherited."""
    path = add("sub-01/anat/sub-01_T1w.nii.gz")
    said = {"SliceThickness": 0.7, "SpacingBetweenSlices": 1, "SliceEncodingDirection": "j"}
    (root / "T1w.json").write_text(json.dumps(said))
    assert Volume.read(path).slices == Slices(1, 0.7, 1.0)
    [scan] = make(derivatives, network)
    made = read_json(sidecar(derivatives.destination(scan)))[PROVENANCE]
    assert made["input"]["slices"]["axis"] == "j"
    assert made["told"]["acquisition_ijk"] == ["kspace", "unknown", "kspace"]
    assert "0.7 mm every 1 mm along j" in made["told"]["because"]
    assert Volume.read(derivatives.destination(scan)).slices is None


def test_what_is_only_resampled_is_not_called_super_resolved(
    derivatives: Derivatives, network: ModelRef, add: AddScan
) -> None:
    add("sub-01/anat/sub-01_T1w.nii.gz")
    scans = derivatives.source.scans({"T1w"})
    list(super_resolve(derivatives, scans, Request(Target(spacing=2.0)), network, Local()))
    said = read_json(sidecar(derivatives.destination(scans[0])))
    assert said["Resolution"] == "2×2×2 mm, resampled from 1×1×1 mm"
    assert said["Description"].startswith("Resampled by ArSSR")
    page = write_index(derivatives).read_text()
    assert "resampled, anti-aliased" in page and "weights" not in page


def test_evened_samples_on_their_own_grid_are_not_called_copied_and_nothing_else(
    derivatives: Derivatives, network: ModelRef, root: Path
) -> None:
    clean = 200 * anatomy((80, 88, 48))[..., 2::4]
    path = root / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    path.parent.mkdir(parents=True)
    banded = (clean * np.exp(0.06 * (-1.0) ** np.arange(12))).astype(np.float32)
    nib.save(nib.Nifti1Image(banded, np.diag([1, 1, 4, 1])), path)
    [scan] = derivatives.source.scans({"T1w"})
    list(
        super_resolve(
            derivatives, [scan], Request(Target(scale=1), even_slices=True), network, Local()
        )
    )
    said = read_json(sidecar(derivatives.destination(scan)))
    assert "sample for sample" not in said["Description"]
    assert "slices along k were evened" in said["Description"]


def test_a_stripped_skull_stays_stripped(
    derivatives: Derivatives, network: ModelRef, root: Path, add: AddScan
) -> None:
    add("sub-01/anat/sub-01_T1w.nii.gz")
    (root / "T1w.json").write_text('{"SkullStripped": true}')
    [scan] = make(derivatives, network)
    assert read_json(sidecar(derivatives.destination(scan)))["SkullStripped"] is True


def test_of_a_derived_image_nothing_is_made_up(
    root: Path, network: ModelRef, tmp_path: Path, add: AddScan
) -> None:
    description = {"Name": "x", "BIDSVersion": "1.10.0", "DatasetType": "derivative"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    add("sub-01/anat/sub-01_desc-preproc_T1w.nii.gz")
    derivatives = Derivatives(tmp_path / "out", Dataset(root))
    [scan] = make(derivatives, network)
    assert "SkullStripped" not in read_json(sidecar(derivatives.destination(scan)))


def test_links_lead_from_the_results_to_the_scans(derivatives: Derivatives, root: Path) -> None:
    derivatives.describe()
    description = read_json(derivatives.root / "dataset_description.json")
    assert description["DatasetLinks"] == {"raw": "../raw%20data"}
    assert description["Name"] == "phantoms, from ArSSR"


def test_done_is_what_has_image_sidecar_and_page_of_the_same_making(
    derivatives: Derivatives, network: ModelRef, add: AddScan
) -> None:
    path = add("sub-01/anat/sub-01_T1w.nii.gz")
    [scan] = make(derivatives, network)
    destination = derivatives.destination(scan)
    job = Job(path, destination, Request(Target(scale=2.0)))

    def is_done(job: Job = job, network: ModelRef = network) -> bool:
        return derivatives.is_done(job, network)

    assert is_done()
    assert not is_done(Job(path, destination, job.request, report=True))
    with pytest.raises(ArSSRError, match="before the options changed"):
        is_done(Job(path, destination, Request(Target(scale=3.0))))
    with pytest.raises(ArSSRError, match="before the weights changed"):
        is_done(network=ModelRef(network.weights, "another"))
    path.unlink()
    add("sub-01/anat/sub-01_T1w.nii.gz", seed=1)
    with pytest.raises(ArSSRError, match="before the scan changed"):
        is_done()
    destination.unlink()
    assert not is_done()


def test_a_sidecar_of_before_the_end_does_not_count(
    derivatives: Derivatives, network: ModelRef, add: AddScan
) -> None:
    """A process killed between the job and its BIDS sidecar leaves that of the job."""
    add("sub-01/anat/sub-01_T1w.nii.gz")
    [scan] = make(derivatives, network)
    destination = derivatives.destination(scan)
    made = read_json(sidecar(destination))[PROVENANCE]
    sidecar(destination).write_text(json.dumps(made))
    job = Job(scan.path, destination, Request(Target(scale=2.0)))
    assert not derivatives.is_done(job, network)


def test_folders_of_something_else_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ArSSRError, match="is the data set itself"):
        Derivatives(root, Dataset(root))
    other = tmp_path / "fmriprep"
    other.mkdir()
    (other / "dataset_description.json").write_text('{"GeneratedBy": [{"Name": "fMRIPrep"}]}')
    with pytest.raises(ArSSRError, match="a data set of something else"):
        Derivatives(other, Dataset(root))


def validate(folder: Path) -> list[str]:
    """The codes of what the official validator calls errors."""
    if not VALIDATOR.exists():
        pytest.skip("the BIDS validator (bids-validator-deno) is not installed")
    command = [str(VALIDATOR), "--format", "json", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder.parent)
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [issue["code"] for issue in issues if issue["severity"] == "error"]


def test_the_bids_validator_finds_no_fault(
    derivatives: Derivatives, network: ModelRef, root: Path, add: AddScan
) -> None:
    add("sub-01/anat/sub-01_T1w.nii.gz")
    add("sub-02/ses-a/anat/sub-02_ses-a_acq-hi_run-1_T1w.nii.gz")
    (root / "T1w.json").write_text('{"EchoTime": 0.003, "MagneticFieldStrength": 3}')
    scans = make(derivatives, network, report=True)
    derivatives.record_failure(scans[0], "an example")
    write_index(derivatives)
    assert validate(derivatives.root) == []
    read = read_json(sidecar(derivatives.destination(scans[0])))
    del read["SkullStripped"], read["Resolution"]
    sidecar(derivatives.destination(scans[0])).write_text(json.dumps(read))
    (derivatives.root / ".bidsignore").unlink()
    assert {"NOT_INCLUDED", "SIDECAR_KEY_REQUIRED"} <= set(validate(derivatives.root))
