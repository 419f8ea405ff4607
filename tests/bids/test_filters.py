"""Which images a file of filters takes: as fMRIPrep and PyBIDS have it."""

import json
from pathlib import Path

import pytest

from arssr.bids.dataset import Dataset, Others
from arssr.bids.filters import EVERYTHING, Filter
from arssr.errors import ArSSRError
from arssr.formats.bids import BIDSName

from .conftest import AddScan

NAMES = [
    "sub-01_T2w.nii.gz",
    "sub-01_acq-ax_T2w.nii.gz",
    "sub-01_acq-sag_run-1_T2w.nii.gz",
    "sub-01_acq-sag_run-02_T2w.nii",
    "sub-02_ses-a_acq-scout_T2w.nii.gz",
    "sub-02_ses-a_acq-Scout2_run-10_T2w.nii.gz",
]


def read(tmp_path: Path, content: object, *suffixes: str) -> Filter:
    path = tmp_path / "filter.json"
    path.write_text(json.dumps(content))
    return Filter.read(path, suffixes or ("T2w",))


def parsed(name: str) -> BIDSName:
    found = BIDSName.parse(name)
    assert found is not None
    return found


def taken(chosen: Filter) -> list[int]:
    """Which of `NAMES`."""
    return [n for n, name in enumerate(NAMES) if chosen.takes(parsed(name))]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"suffix": "T2w", "datatype": "anat"}, [0, 1, 2, 3, 4, 5]),
        ({"acquisition": "ax"}, [1]),
        ({"acq": ["ax", "sag"]}, [1, 2, 3]),
        ({"acquisition": None}, [0]),
        ({"acquisition": "*"}, [1, 2, 3, 4, 5]),
        ({"acquisition": [None, "ax"]}, [0, 1]),
        ({"acquisition": [None, "^(?!scout)"], "regex_search": True}, [0, 1, 2, 3]),
        ({"acquisition": "^scout$", "regex_search": True}, [4]),
        ({"acquisition": "*", "regex_search": True}, [1, 2, 3, 4, 5]),
        ({"run": 2}, [3]),
        ({"run": ["1", "2"]}, [2, 3]),
        ({"run": "01", "acquisition": "sag"}, [2]),
        ({"subject": "01", "extension": "nii.gz"}, [0, 1, 2]),
        ({"session": "a", "extension": [".nii", ".nii.gz"]}, [4, 5]),
        ({"subject": 1}, []),  # a label, and no number: that would be sub-1
        ({"datatype": "func"}, []),
    ],
)
def test_a_query_takes_names_that_say_all_of_it(
    tmp_path: Path, query: dict[str, object], numbers: list[int]
) -> None:
    assert taken(read(tmp_path, {"t2w": query})) == numbers


def test_one_of_several_queries_for_a_suffix_is_enough(tmp_path: Path) -> None:
    two = {
        "others": {"suffix": "T2w", "subject": "^(?!01$)", "regex_search": True},
        "01": {"suffix": ["T2w", "FLAIR"], "subject": "01", "run": None},
    }
    assert taken(read(tmp_path, two)) == [0, 1, 4, 5]


def test_queries_for_other_images_say_nothing_of_these(tmp_path: Path) -> None:
    lab = {
        "bold": {"datatype": "func", "suffix": "bold", "EchoTime": 0.03, "x": [[]]},
        "t1w": {"suffix": "T1w", "session": "pre"},
    }
    chosen = read(tmp_path, lab, "T1w", "T2w")
    assert taken(chosen) == [0, 1, 2, 3, 4, 5]
    assert not chosen.takes(parsed("sub-01_T1w.nii"))
    assert chosen.takes(parsed("sub-01_ses-pre_T1w.nii"))


def test_without_a_file_everything_is_taken() -> None:
    assert taken(EVERYTHING) == list(range(len(NAMES)))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"t1w": {}, "bold": {}}, "has no query for T2w images, but for t1w, bold"),
        ({}, "has no query for T2w images, but for nothing"),
        ({"t2w": ["ax"]}, "t2w is no JSON object of entities"),
        ({"t2w": {"acquisitoin": "ax"}}, "called acquisitoin; did you mean acquisition?"),
        ({"t2w": {"EchoTime": 0.1}}, "t2w: no entity of BIDS is called EchoTime"),
        ({"t2w": {"run": True}}, "run is a label, a list of labels, null for none or"),
        ({"t2w": {"run": []}}, r"for any, not \[\]"),
        ({"t2w": {"run": {"not": 1}}}, "for any, not {'not': 1}"),
        ({"t2w": {"run": 1.5}}, "for any, not 1.5"),
        (
            {"t2w": {"acq": "a", "regex_search": "true"}},
            "regex_search is true or false, not 'true'",
        ),
        ({"t2w": {"acq": "(", "regex_search": True}}, r"t2w: \( is no regular expression: "),
        ([], "holds no JSON object"),
    ],
)
def test_what_is_no_such_file_is_one_sentence_that_names_it(
    tmp_path: Path, content: object, sentence: str
) -> None:
    with pytest.raises(ArSSRError, match=f"filter.json.*{sentence}"):
        read(tmp_path, content)


def test_a_data_set_gives_the_scans_that_are_taken_and_counts_the_others(
    root: Path, add: AddScan, tmp_path: Path
) -> None:
    for name in ("acq-ax_T2w", "acq-scout_T2w", "T1w"):
        add(f"sub-01/anat/sub-01_{name}.nii.gz")
    add("sub-02/anat/sub-02_acq-scout_T2w.nii.gz")
    dataset = Dataset(root)
    chosen = read(tmp_path, {"t2w": {"acquisition": ["ax", "sag"]}})
    [scan] = dataset.scans({"T2w"}, chosen=chosen)
    assert scan.path.name == "sub-01_acq-ax_T2w.nii.gz"
    assert dataset.others({"T2w"}, chosen=chosen) == Others({"T1w": 1}, 0, 2)
    assert dataset.others({"T2w"}, ["01"], chosen=chosen).filtered == 1
    with pytest.raises(ArSSRError, match=r"no T2w image in .* that --bids-filter-file takes"):
        dataset.scans({"T2w"}, ["02"], chosen=chosen)
