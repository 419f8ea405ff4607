"""Names of BIDS are read, written and in the order of the specification; sidecars are inherited."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arssr.errors import ArSSRError
from arssr.formats.bids import ENTITIES, BIDSName, metadata

LABELS = st.from_regex(r"[a-zA-Z0-9]+", fullmatch=True)


@given(
    st.dictionaries(st.sampled_from(ENTITIES), LABELS, max_size=6),
    LABELS,
    st.sampled_from([".nii.gz", ".nii", ".json"]),
)
def test_what_is_written_is_read_again(
    entities: dict[str, str], suffix: str, extension: str
) -> None:
    name = BIDSName(entities, suffix, extension)
    again = BIDSName.parse(str(name))
    assert again == name
    assert again is not None and sorted(again.entities, key=ENTITIES.index) == list(again.entities)


@pytest.mark.parametrize(
    "name",
    [
        "sub-01_T1w",
        "sub_01_T1w.nii",
        "sub-01_sub-02_T1w.nii",
        "sub-0 1_T1w.nii",
        ".T1w.nii",
        "x.y-z_",
    ],
)
def test_what_is_no_name_of_bids(name: str) -> None:
    assert BIDSName.parse(name) is None


def test_an_entity_is_replaced_or_comes_to_its_place() -> None:
    name = BIDSName.parse("sub-01_run-1_space-MNI_res-2_T1w.nii.gz")
    assert name is not None
    assert str(name.having(res="SR", desc="a", acq="x")) == (
        "sub-01_acq-x_run-1_space-MNI_res-SR_desc-a_T1w.nii.gz"
    )


def test_an_entity_that_nobody_knows_stays_before_those_of_derivatives() -> None:
    name = BIDSName.parse("sub-01_run-1_odd-7_T1w.nii")
    assert name is not None
    assert str(name.having(desc="a")) == "sub-01_run-1_odd-7_desc-a_T1w.nii"


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set that lies in another one, which has nothing to say of its images."""
    write(tmp_path / "dataset_description.json", {})
    write(tmp_path / "T1w.json", {"root": "of another data set"})
    write(tmp_path / "inner" / "dataset_description.json", {})
    return tmp_path / "inner"


def test_sidecars_are_inherited_from_the_general_to_the_special(root: Path) -> None:
    for name, content in {
        "T1w.json": {"root": 0, "acq": 0, "subject": 0, "own": 0},
        "acq-hi_T1w.json": {"acq": 1, "subject": 1, "own": 1},
        "acq-lo_T1w.json": {"root": "another acquisition"},
        "T2w.json": {"root": "another suffix"},
        "sub-01/sub-01_T1w.json": {"subject": 2, "own": 2},
        "sub-01/ses-a/anat/sub-01_ses-a_acq-hi_T1w.json": {"own": 3},
        "sub-01/ses-a/anat/sub-01_ses-a_T1w.json": {"own": "less special than its neighbour"},
    }.items():
        write(root / name, content)
    scan = root / "sub-01/ses-a/anat/sub-01_ses-a_acq-hi_T1w.nii.gz"
    assert metadata(scan) == {"root": 0, "acq": 1, "subject": 2, "own": 3}


def test_outside_a_data_set_the_sidecar_beside_an_image_is_all(tmp_path: Path) -> None:
    write(tmp_path / "T1w.json", {"EchoTime": 1})
    write(tmp_path / "sub-01" / "sub-01_T1w.json", {"EchoTime": 2})
    write(tmp_path / "sub-01" / "3_t2 tse.json", {"EchoTime": 3})
    assert metadata(tmp_path / "sub-01" / "sub-01_T1w.nii.gz") == {"EchoTime": 2}
    assert metadata(tmp_path / "sub-01" / "3_t2 tse.nii") == {"EchoTime": 3}
    assert metadata(tmp_path / "sub-01" / "sub-01_run-2_T1w.nii.gz") == {}


def test_a_path_from_the_working_folder_inherits_too(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root / "T1w.json", {"EchoTime": 1})
    write(root / "sub-01" / "anat" / "sub-01_T1w.json", {"FlipAngle": 9})
    monkeypatch.chdir(root / "sub-01" / "anat")
    assert metadata(Path("sub-01_T1w.nii.gz")) == {"EchoTime": 1, "FlipAngle": 9}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("{", "is not JSON"), ("[1]", "holds no JSON object"), ("[" * 100_000, "is not JSON")],
)
def test_a_sidecar_that_cannot_be_read_is_named(root: Path, text: str, sentence: str) -> None:
    (root / "T1w.json").write_text(text)
    with pytest.raises(ArSSRError, match=rf"T1w\.json {sentence}"):
        metadata(root / "sub-01/anat/sub-01_T1w.nii.gz")
