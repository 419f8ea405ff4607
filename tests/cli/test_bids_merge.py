"""`arssr bids --merge` as a person calls it: what is said, refused and counted."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.phantoms import smooth, stack, volume

from .conftest import Arssr

MERGED = "sub-01_res-SR_desc-arssrmerge_T2w"


@pytest.fixture
def words(tmp_path: Path, tiny: Path) -> tuple[object, ...]:
    """The command for a data set: subject 01 was scanned twice, subject 02 once."""
    root = tmp_path / "bids"
    for name, axis in (("01_acq-ax", 2), ("01_acq-sag", 0), ("02_acq-ax", 2)):
        stack(axis).write(root / f"sub-{name[:2]}" / "anat" / f"sub-{name}_T2w.nii.gz")
    description = {"Name": "phantoms", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    out = tmp_path / "out"
    return ("bids", root, out, "participant", "--merge", "-s", "T2w", "-m", tiny, "--no-report")


def test_a_line_says_which_scans_became_one_image(
    arssr: Arssr, words: tuple[object, ...], tmp_path: Path
) -> None:
    done = arssr(*words, "--json")
    assert done.code == 0, done.err
    assert "from sub-01_acq-ax_T2w.nii.gz (the frame), sub-01_acq-sag_T2w.nii.gz" in done.err
    assert "2 scans merged; moved against the first: scan 2 by" in done.err
    assert "2 of 2 done, 0 were done before, 0 failed" in done.err
    merged, single = json.loads(done.out)
    assert [Path(scan).name for scan in merged["scans"]] == [
        "sub-01_acq-ax_T2w.nii.gz",
        "sub-01_acq-sag_T2w.nii.gz",
    ]
    assert Path(merged["result"]).name == f"{MERGED}.nii.gz"
    assert Path(single["scan"]).name == "sub-02_acq-ax_T2w.nii.gz"
    again = arssr(*words, "--json")
    assert again.code == 0 and "0 of 2 done, 2 were done before" in again.err
    assert json.loads(again.out)[0]["scans"] == merged["scans"]


def test_a_dry_run_says_the_groups_and_makes_nothing(
    arssr: Arssr, words: tuple[object, ...], tmp_path: Path
) -> None:
    dry = arssr(*words, "--dry-run", "--json")
    assert dry.code == 0, dry.err
    assert "from sub-01_acq-ax_T2w.nii.gz (the frame), sub-01_acq-sag_T2w.nii.gz" in dry.err
    assert "together: 2 results" in dry.err and "2 of 2 to do" in dry.err
    merged, _ = json.loads(dry.out)
    assert Path(merged["result"]).name == f"{MERGED}.nii.gz" and merged["seconds"] > 0
    assert len(merged["scans"]) == 2 and not (tmp_path / "out").exists()
    (tmp_path / "bids" / "sub-01" / "anat" / "sub-01_acq-sag_T2w.nii.gz").write_bytes(b"")
    dry = arssr(*words, "--dry-run", "--json")
    assert dry.code == 1 and "1 of 2 to do, 0 were done before, 1 failed" in dry.err
    failed, _ = json.loads(dry.out)
    assert len(failed["scans"]) == 2 and "sub-01_acq-sag" in failed["error"]


def test_a_refusal_says_how_to_leave_a_scan_out_and_that_is_how(
    arssr: Arssr, words: tuple[object, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "bids" / "sub-01" / "anat"
    scout = folder / "sub-01_acq-scout_T2w.nii.gz"
    volume(smooth((24, 24, 4), sigma=1), np.diag([2.0, 2, 6, 1])).write(scout)
    refused = arssr(*words)
    assert refused.code == 1 and f"error: {scout}" in refused.err
    told = "; the first scan is sub-01_acq-ax_T2w.nii.gz, --bids-filter-file leaves scans out"
    assert told in refused.err
    chosen = tmp_path / "chosen.json"
    no_scout = {"acquisition": [None, "^(?!scout)"], "regex_search": True}
    chosen.write_text(json.dumps({"t2w": no_scout, "bold": {"task": "rest"}}))
    for dry in (("--dry-run",), ()):
        done = arssr(*words, "--bids-filter-file", chosen, *dry)
        assert done.code == 0, done.err
        assert "passed over: 1 image, left out by --bids-filter-file" in done.err
        assert "acq-ax_T2w.nii.gz (the frame), sub-01_acq-sag_T2w.nii.gz\n" in done.err
    assert "1 of 2 done, 1 were done before" in done.err
    page = (tmp_path / "out" / "index.html").read_text()
    assert "2 done" in page and "1 failed" not in page
    chosen.write_text(json.dumps({"t2w": {"acquisition": "ax"}}))
    alone = arssr(*words, "--bids-filter-file", chosen)
    assert alone.code == 0 and "passed over: 2 images, left out" in alone.err


@pytest.mark.slow
def test_interleaves_are_looked_for_in_groups(
    arssr: Arssr, words: tuple[object, ...], tmp_path: Path
) -> None:
    done = arssr(*words, "--interleaves", 2, "--json")
    assert done.code == 0, done.err
    merged, single = json.loads(done.out)
    assert merged["options"]["interleaves"] == 2 and "interleaves" not in single["options"]
    assert len(merged["merged"]["scans"][0]["interleaves"]) == 2
    assert "0 of 2 done, 2 were done before" in arssr(*words, "--interleaves", 2).err
    changed = arssr(*words)
    assert "1 were done before, 1 failed" in changed.err and "the options changed" in changed.err


def test_one_failure_does_not_end_the_others(
    arssr: Arssr, words: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / "bids" / "sub-01" / "anat" / "sub-01_acq-sag_T2w.nii.gz").write_bytes(b"no image")
    done = arssr(*words, "--json")
    assert done.code == 1 and "1 of 2 done, 0 were done before, 1 failed" in done.err
    failed = next(each for each in json.loads(done.out) if "error" in each)
    assert len(failed["scans"]) == 2 and "sub-01_acq-sag" in failed["error"]
    assert not list((tmp_path / "out").rglob(f"{MERGED}*.nii.gz"))


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (("--uncertainty",), "uncertainty is of single scans"),
        (("--consistent",), "consistent is of single scans"),
        (("--ensemble", 4), "ensemble is of single scans"),
        (("--noise", "unknown"), "needs the noise level"),
        (("--interleaves", 1), "interleaves are 2 or more, or auto, not 1"),
        (("--interleaves", "two"), "takes a whole number or auto, not 'two'"),
        (("--interleaves", 2, "--even-slices"), "do not go with --even-slices"),
    ],
)
def test_what_does_not_go_with_merging_is_refused_before_the_work(
    arssr: Arssr,
    words: tuple[object, ...],
    tmp_path: Path,
    option: tuple[object, ...],
    sentence: str,
) -> None:
    done = arssr(*words, *option)
    assert done.code == 2 and sentence in " ".join(done.err.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_merging_says_at_once_what_is_not_installed(
    arssr: Arssr,
    words: tuple[object, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    missing = "needs SimpleITK: pip install 'arssr[formats]'"
    assert f"arssr bids --merge {missing}" in arssr(*words).complaint
    assert not (tmp_path / "out").exists()
    assert missing in arssr(*words, "--dry-run").complaint
    scans = sorted((tmp_path / "bids" / "sub-01" / "anat").iterdir())
    for dry in ((), ("--dry-run",)):
        assert missing in arssr("merge", *scans, "-o", tmp_path / "one.nii.gz", *dry).err
        trusting = arssr(
            "merge", *scans, "-o", tmp_path / "one.nii.gz", "--no-register", "--dry-run"
        )
        assert trusting.code == 0, trusting.err
