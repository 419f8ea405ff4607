"""Ranges cut and grown."""

from hypothesis import given
from hypothesis import strategies as st

from arssr.engine.boxes import grown, parts


@given(st.integers(0, 20), st.integers(1, 50), st.data())
def test_parts_are_the_whole_and_nearly_equal(start: int, size: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, size))
    cut = parts(slice(start, start + size), count)
    assert [n for part in cut for n in range(part.start, part.stop)] == [
        *range(start, start + size)
    ]
    sizes = [part.stop - part.start for part in cut]
    assert len(cut) == count and max(sizes) - min(sizes) <= 1


def test_a_range_grows_up_to_the_faces() -> None:
    assert grown(slice(3, 5), 2, 10) == slice(1, 7)
    assert grown(slice(3, 5), 9, 10) == slice(0, 10)
