"""Headers and attributes of MRD images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ismrmrd import Meta
from ismrmrd.image import ImageHeader

from arssr.errors import ArSSRError
from arssr.integrations.mrd.image import TYPES, attributes_of, meta_of, sample_bytes, vector

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=9)


VALUES = st.one_of(WORDS, st.lists(WORDS, min_size=2, max_size=3))


@settings(max_examples=30)
@given(st.dictionaries(WORDS, VALUES, min_size=1, max_size=4))
def test_attributes_come_back_as_they_were_empty_ones_too(values: dict[str, str]) -> None:
    again = meta_of(attributes_of(meta_of(attributes_of(Meta(values)))))
    assert {
        name: [x or "" for x in value] if isinstance(value, list) else value or ""
        for name, value in again.items()
    } == values


@pytest.mark.parametrize(
    "content",
    [
        b"<meta/>",
        b"<ismrmrdMeta>",
        b"text",
        b'<!DOCTYPE ismrmrdMeta [<!ENTITY a "b">]><ismrmrdMeta/>',
    ],
)
def test_what_are_no_attributes_is_said(content: bytes) -> None:
    with pytest.raises(ArSSRError, match="no MRD attributes"):
        meta_of(content)


def test_an_image_without_attributes_has_none() -> None:
    assert meta_of(b"") == meta_of(b"\0") == {}


def test_sizes_are_those_that_mrd_says_and_do_not_overflow() -> None:
    assert [TYPES[n].itemsize for n in range(1, 9)] == [2, 2, 4, 4, 4, 8, 8, 16]
    header = ImageHeader(data_type=8, channels=65535)
    header.matrix_size[:] = (65535,) * 3
    assert sample_bytes(header) == 16 * 65535**4
    assert sample_bytes(ImageHeader(data_type=0)) is None


@pytest.mark.parametrize("value", [["1", "2"], ["1", "2", "x"], ["1", "nan", "2"], "1"])
def test_what_are_not_three_numbers_is_no_vector(value: object) -> None:
    assert vector(Meta({"ImageRowDir": value}), "ImageRowDir") is None
    found = vector(Meta({"ImageRowDir": ["1", "0", "-0.5"]}), "ImageRowDir")
    assert found is not None and np.array_equal(found, [1, 0, -0.5])
