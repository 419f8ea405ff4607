"""Which scans a data set has."""

from pathlib import Path

import pytest

from arssr.bids.dataset import Dataset
from arssr.errors import ArSSRError

from .conftest import AddScan


def names(dataset: Dataset, *args: object) -> list[str]:
    return [scan.path.name for scan in dataset.scans(*args)]  # type: ignore[arg-type]


def test_scans_with_and_without_sessions_by_suffix(root: Path, add: AddScan) -> None:
    for name in (
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_run-2_T1w.nii",
        "sub-01/anat/sub-01_FLAIR.nii.gz",
        "sub-02/ses-b/anat/sub-02_ses-b_T1w.nii.gz",
        "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz",
        "sub-02/ses-a/anat/sub-02_ses-a_T1wX.nii.gz",
        "sub-02/ses-a/dwi/sub-02_ses-a_T1w.nii.gz",
        "derivatives/x/sub-03/anat/sub-03_T1w.nii.gz",
    ):
        add(name)
    dataset = Dataset(root)
    everything = [
        "sub-01_T1w.nii.gz",
        "sub-01_run-2_T1w.nii",
        "sub-02_ses-a_T1w.nii.gz",
        "sub-02_ses-b_T1w.nii.gz",
    ]
    assert names(dataset, {"T1w"}) == sorted(everything)
    assert names(dataset, {"FLAIR"}) == ["sub-01_FLAIR.nii.gz"]
    assert names(dataset, {"T1w", "FLAIR"}, ["01"]) == [
        "sub-01_FLAIR.nii.gz",
        "sub-01_T1w.nii.gz",
        "sub-01_run-2_T1w.nii",
    ]
    assert names(dataset, {"T1w"}, ["02"], ["b"]) == ["sub-02_ses-b_T1w.nii.gz"]


def test_labels_and_kinds_that_are_not_there_are_named(root: Path, add: AddScan) -> None:
    add("sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz")
    dataset = Dataset(root)
    with pytest.raises(ArSSRError, match="no sub-99 in"):
        dataset.scans({"T1w"}, ["01", "99"])
    with pytest.raises(ArSSRError, match="no ses-z in"):
        dataset.scans({"T1w"}, ["01"], ["z"])
    with pytest.raises(ArSSRError, match="no FLAIR or T2w image"):
        dataset.scans({"T2w", "FLAIR"})


def test_a_folder_that_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(ArSSRError, match=r"no BIDS data set.*dataset_description\.json"):
        Dataset(tmp_path)
