"""`arssr bids` as BIDS Apps are called: positions, lists of labels, levels, exit codes."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tests.phantoms import anatomy, smooth, volume, zero_filled

from arssr.cli.bids import spread_lists

from .conftest import Arssr


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three subjects; the third has a FLAIR image too."""
    root = tmp_path / "bids"
    for seed, name in enumerate(("01_T1w", "02_T1w", "03_T1w", "03_FLAIR")):
        path = root / f"sub-{name[:2]}" / "anat" / f"sub-{name}.nii.gz"
        volume(smooth((5, 6, 4), seed=seed, sigma=1)).write(path)
    description = {"Name": "phantoms", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    return root


def images(folder: Path) -> list[str]:
    return sorted(path.name.partition("_")[0] for path in folder.rglob("*.nii.gz"))


def test_labels_and_suffixes_are_lists(
    arssr: Arssr, dataset: Path, tiny: Path, tmp_path: Path
) -> None:
    words = ["--participant-label", "01", "sub-03", "-s", "T1w", "FLAIR", "--scale", 2, 1, 1]
    result = arssr(
        "bids", dataset, tmp_path / "out", "participant", *words, "--no-report", "-m", tiny
    )
    assert result.code == 0, result.err
    assert images(tmp_path / "out") == ["sub-01", "sub-03", "sub-03"]
    assert "3 of 3 done, 0 were done before, 0 failed" in result.err and result.out == ""
    assert (tmp_path / "out" / "index.html").is_file()


def test_once_more_does_what_is_left(
    arssr: Arssr, dataset: Path, tiny: Path, tmp_path: Path
) -> None:
    bad = dataset / "sub-02" / "anat" / "sub-02_T1w.nii.gz"
    good = bad.read_bytes()
    bad.write_bytes(b"no image")
    words = ("bids", dataset, tmp_path / "out", "participant", "--scale", 2, "-m", tiny, "--json")
    first = arssr(*words)
    assert first.code == 1
    assert "error: " in first.err and "2 of 3 done, 0 were done before, 1 failed" in first.err
    said = json.loads(first.out)
    assert [Path(each["scan"]).name[:6] for each in said if "error" in each] == ["sub-02"]
    assert all(each["seconds"] > 0 for each in said if "error" not in each)
    assert len(list((tmp_path / "out").rglob("*desc-arssr*.html"))) == 2
    bad.write_bytes(good)
    again = arssr(*words)
    assert again.code == 0 and "1 of 3 done, 2 were done before, 0 failed" in again.err
    assert sum(each.get("done") == "before" for each in json.loads(again.out)) == 2


def test_the_group_level_only_lists(arssr: Arssr, dataset: Path, tmp_path: Path) -> None:
    result = arssr("bids", dataset, tmp_path / "out", "group")
    assert result.code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["index.html"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--scale 2 --participant-label 99", "no sub-99 in"),
        ("--scale 2 -s T2w", "no T2w image in"),
        ("--scale 2 -m nothing", "no weights 'nothing'"),
        ("--scale 2 --bids-filter-file none.json", "cannot read none.json: No such file"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    arssr: Arssr, dataset: Path, tmp_path: Path, words: str, sentence: str
) -> None:
    result = arssr("bids", dataset, tmp_path / "out", "participant", *words.split())
    assert sentence in result.complaint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        "participant --scale 2 --spacing 1",
        "participant --scale 2 --ensemble 5",
        "everybody --scale 2",
        "participant --scale 2 --interleaves 2",
        "participant --scale 2 --dask tcp://h:1 --slurm",
        "participant --scale 2 --dask tcp://h:1 --jobs 2",
        "participant --scale 2 --slurm-option queue=gpu",
        "participant --scale 2 --slurm --slurm-option queue",
    ],
)
def test_wrong_usage(arssr: Arssr, dataset: Path, tmp_path: Path, words: str) -> None:
    result = arssr("bids", dataset, tmp_path / "out", *words.split())
    assert result.code == 2 and "Usage: arssr bids" in result.err


def test_other_commands_keep_their_words() -> None:
    words = ["upsample", "a.nii", "-s", "b", "c"]
    assert spread_lists(words) == words
    assert spread_lists(["bids", "-s", "T1w", "--session-label", "a", "b", "-m", "x", "y"]) == [
        *("bids", "-s", "T1w", "--session-label", "a", "--session-label", "b", "-m", "x", "y")
    ]


def test_a_coarser_spacing_is_done_too_and_known_again(
    arssr: Arssr, dataset: Path, tiny: Path, tmp_path: Path
) -> None:
    words = ("bids", dataset, tmp_path / "out", "participant", "--spacing", 2, "-m", tiny)
    first = arssr(*words)
    assert first.code == 0, first.err
    assert "3 of 3 done" in first.err
    assert "0 of 3 done, 3 were done before" in arssr(*words).err


def test_an_ensemble_is_another_option(
    arssr: Arssr, dataset: Path, tiny: Path, tmp_path: Path
) -> None:
    words = ("bids", dataset, tmp_path / "out", "participant", "--scale", 2, "-m", tiny)
    words = (*words, "--no-report", "--participant-label", "01")
    assert arssr(*words).code == 0
    assert "1 were done before" in arssr(*words, "--ensemble", 1).err
    assert "before the options changed" in arssr(*words, "--ensemble", 4).err
    assert "1 of 1 done, 0 were" in arssr(*words, "--ensemble", 4, "--overwrite").err
    [path] = (tmp_path / "out" / "sub-01" / "anat").glob("*.json")
    assert json.loads(path.read_text())["ArSSR"]["options"]["ensemble"] == 4


def test_a_zero_filled_scan_is_told_of(
    arssr: Arssr, dataset: Path, tiny: Path, tmp_path: Path
) -> None:
    """On the terminal, and in the sidecar as the voxels that the result was made from."""
    scan = dataset / "sub-09" / "anat" / "sub-09_T1w.nii.gz"
    volume(zero_filled(anatomy((64, 48, 8)), 0, 0.6)).write(scan)
    words = ("--participant-label", "09", "--scale", 2, "-m", tiny, "--no-report")
    result = arssr("bids", dataset, tmp_path / "out", "participant", *words)
    assert "super-resolved from voxels of 1.5" in result.err
    [sidecar] = (tmp_path / "out" / "sub-09").rglob("*.json")
    assert "super-resolved from 1.5" in json.loads(sidecar.read_text())["Resolution"]


def test_what_is_passed_over_is_counted_with_the_reason(
    arssr: Arssr, dataset: Path, tiny: Path, tmp_path: Path
) -> None:
    for name in ("sub-01/anat/sub-01_part-phase_T1w.nii.gz", "sub-02/anat/T1.nii.gz"):
        volume(smooth((5, 6, 4), sigma=1)).write(dataset / name)
    words = ("bids", dataset, tmp_path / "out", "participant", "--no-report", "-m", tiny)
    for result in (arssr(*words, "--scale", 2, "--dry-run"), arssr(*words, "--scale", 2)):
        assert result.code == 0, result.err
        assert "3 of 4 " in result.err and "0 failed, 1 passed over" in result.err
        for why in (
            "1 image, of phase, which wraps around and cannot be interpolated",
            "1 image, of another suffix: 1 FLAIR (--suffix takes them)",
            "1 image, without a name of BIDS",
        ):
            assert f"passed over: {why}" in result.err
    one = arssr(*words, "--scale", 2, "--participant-label", "02", "-s", "T1w", "FLAIR")
    assert "of another suffix" not in one.err


def test_a_filter_file_chooses_among_the_images(
    arssr: Arssr, dataset: Path, tiny: Path, tmp_path: Path
) -> None:
    for run in (1, 2):
        scan = dataset / "sub-01" / "anat" / f"sub-01_run-0{run}_T1w.nii.gz"
        volume(smooth((5, 6, 4), sigma=1)).write(scan)
    chosen = tmp_path / "chosen.json"
    chosen.write_text('{"t1w": {"subject": ["01", "02"], "run": [null, 2]}}')
    words = ("--scale", 2, "--no-report", "-m", tiny, "--bids_filter_file", chosen)
    result = arssr("bids", dataset, tmp_path / "out", "participant", *words)
    assert result.code == 0, result.err
    assert "passed over: 2 images, left out by --bids-filter-file" in result.err
    assert sorted(path.name[:13] for path in (tmp_path / "out").rglob("*.nii.gz")) == [
        *("sub-01_res-SR", "sub-01_run-02", "sub-02_res-SR")
    ]
    other = arssr("bids", dataset, tmp_path / "out", "participant", "-s", "FLAIR", *words)
    assert "chosen.json has no query for FLAIR images, but for t1w" in other.complaint


def test_isotropic_scans_without_a_target_are_counted(
    arssr: Arssr, dataset: Path, tiny: Path, tmp_path: Path
) -> None:
    words = ("bids", dataset, tmp_path / "out", "participant", "--no-report", "-m", tiny)
    for result in (arssr(*words), arssr(*words, "--dry-run")):
        assert "0 failed, 3 passed over" in result.err
        assert "error" not in result.err and result.err.count("; name a target") == 3
        assert "passed over: 3 images, isotropic already, and no target was named" in result.err


def test_a_dry_run_makes_nothing(arssr: Arssr, dataset: Path, tiny: Path, tmp_path: Path) -> None:
    (dataset / "sub-02" / "anat" / "sub-02_T1w.nii.gz").write_bytes(b"no image")
    (dataset / "sub-03" / "anat" / "sub-03_T1w.json").write_text("{")
    words = ("bids", dataset, tmp_path / "out", "participant", "--scale", 2, "-m", tiny)
    dry = arssr(*words, "--dry-run", "--json")
    assert dry.code == 1 and "1 of 3 to do, 0 were done before, 2 failed" in dry.err
    assert not (tmp_path / "out").exists()
    first, second, third = json.loads(dry.out)
    assert first["disk_bytes"] == 3840 and "error" in second and "is not JSON" in third["error"]
    assert arssr(*words).code == 1
    again = arssr(*words, "--dry-run")
    assert "0 of 3 to do, 1 were done before, 2 failed" in again.err
    assert arssr(*words, "--dry-run", "--jobs", 2).code == 2


def test_options_of_upsample_go_for_every_scan(
    arssr: Arssr, dataset: Path, tiny: Path, tmp_path: Path
) -> None:
    grid = np.diag([1.0, 1, 2, 1])
    path = dataset / "sub-04" / "anat" / "sub-04_T1w.nii.gz"
    volume(smooth((6, 5, 4), sigma=1), grid).write(path)
    words = ("bids", dataset, tmp_path / "out", "participant", "--participant-label", "04")
    words = (*words, "-m", tiny, "--no-report", "--isotropic", "--noise", 0)
    assert arssr(*words, "--consistent", "--memory", "2GB").code == 0
    [sidecar] = (tmp_path / "out" / "sub-04").rglob("*.json")
    made = json.loads(sidecar.read_text())["ArSSR"]
    assert made["output"]["shape"] == [6, 5, 8] and "consistency" in made
    assert made["options"]["consistent"] is True and made["options"]["isotropic"] is True
    assert "1 were done before" in arssr(*words, "--consistent").err
    assert "before the options changed" in arssr(*words).err
    image = nib.load(path)
    image.set_sform(image.affine, 0)
    image.set_qform(image.affine, 0)
    nib.save(image, path)
    strict = arssr(*words, "--overwrite", "--strict")
    assert strict.code == 1 and "does not say where the scan lies" in strict.err
    refused = arssr(*words, "--overwrite", "--memory", "1KB")
    assert refused.code == 1 and "memory" in refused.err


def test_an_empty_mask_is_done_once(
    arssr: Arssr, dataset: Path, tiny: Path, tmp_path: Path
) -> None:
    """There is nothing to show of it in a page."""
    mask = nib.Nifti1Image(np.zeros((5, 6, 4), np.uint8), np.eye(4))
    path = dataset / "sub-01" / "anat" / "sub-01_mask.nii.gz"
    nib.save(mask, path)
    words = ("bids", dataset, tmp_path / "out", "participant", "-s", "mask", "--scale", 2)
    assert "1 of 1 done" in arssr(*words, "-m", tiny).err
    assert "0 of 1 done, 1 were done before, 0 failed" in arssr(*words, "-m", tiny).err
    [sidecar] = (tmp_path / "out" / "sub-01").rglob("*.json")
    assert json.loads(sidecar.read_text())["ArSSR"]["no_report"]


def test_a_scan_is_counted_once_however_often_it_was_tried(
    arssr: Arssr, dataset: Path, tiny: Path, tmp_path: Path
) -> None:
    (dataset / "sub-03" / "anat" / "sub-03_FLAIR.nii.gz").write_bytes(b"no image")
    words = ("bids", dataset, tmp_path / "out", "participant", "-s", "T1w", "FLAIR", "-m", tiny)
    words = (*words, "--no-report")
    assert arssr(*words, "--spacing", 0.8).code == 1
    other = arssr(*words, "--spacing", 0.9)
    assert "0 of 4 done, 0 were done before, 4 failed" in other.err
    page = (tmp_path / "out" / "index.html").read_text()
    assert "3 subjects · 3 done (3 not as last asked for) · 1 failed" in page
    assert page.count('class="name">T1w') == 3 and page.count("before the options changed") == 3
    assert "before the options changed" in (tmp_path / "out" / "sub-01.html").read_text()
    arssr(*words, "--spacing", 0.8)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "3 subjects · 3 done · 1 failed" in page
