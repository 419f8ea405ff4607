"""Names of BIDS: read, written, and in the order of the specification."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arssr.cohort.names import ENTITIES, BIDSName

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
