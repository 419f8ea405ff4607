"""`arssr bids` as BIDS Apps are called: positions, lists of labels, levels, exit codes."""

import json
from pathlib import Path

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
    assert "stored on 1×1×1 mm, measured on 1.5" in result.err
    [sidecar] = (tmp_path / "out" / "sub-09").rglob("*.json")
    assert "super-resolved from 1.5" in json.loads(sidecar.read_text())["Resolution"]
