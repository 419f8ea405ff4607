"""The table of conditions is true today, and would say so if it were not."""

from pathlib import Path

import numpy as np
import pytest
from tests.conditions.all import TABLES, whole_page
from tests.conditions.files import AFFINE, STORED, write
from tests.conditions.table import VARIANTS, WRONG, Condition, Seen, cell
from tests.conditions.trying import read, upsample

PAGE = Path(__file__).parents[2] / "docs" / "conditions.md"


@pytest.mark.slow
def test_the_page_says_what_is_so_and_nothing_is_wrong_in_silence() -> None:
    page = whole_page()
    assert [line for line in page.splitlines() if WRONG in line] == []
    assert page == PAGE.read_text(), "python tools/conditions.py"


def test_every_condition_has_a_name_of_its_own_and_a_sentence() -> None:
    conditions = [condition for table in TABLES for condition in table.conditions]
    assert len({condition.name for condition in conditions}) == len(conditions)
    assert all(condition.advice.endswith((".", ".)")) for condition in conditions)
    for table in TABLES:
        columns = {column for columns in table.families.values() for column in columns}
        assert all(columns >= set(condition.columns) for condition in table.conditions)


@pytest.mark.parametrize("variant", VARIANTS)
def test_other_values_and_other_places_are_wrong(variant: str, tmp_path: Path) -> None:
    def seen(stored: np.ndarray, affine: np.ndarray) -> str:
        (folder := tmp_path / str(len(list(tmp_path.iterdir())))).mkdir()
        condition = Condition("", "", lambda v, f: read(write(v, f), stored, affine))
        return cell(condition, variant, folder)

    assert seen(STORED, AFFINE) == "read"
    other, away, turned = STORED.copy(), AFFINE.copy(), AFFINE @ np.diag([1, -1, 1, 1])
    other[5, 4, 3] += 1
    away[2, 3] += 0.01
    assert seen(other, AFFINE) == f"{WRONG}: samples have other values"
    assert seen(STORED, away) == seen(STORED, turned) == f"{WRONG}: it lies elsewhere"


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (Seen(), "read"),
        (Seen(note="taken for labels"), "read, taken for labels"),
        (Seen(fault="it is late"), f"{WRONG}: it is late"),
        (Seen(warnings=("the clock (of the tower) is late; it is used",), fault="it is late"),
         "warned: the clock"),
        (Seen("{}/a.nii: is no clock (no gears)."), "refused: is no clock"),
        (Seen("a clock cannot be read"), f"{WRONG}: 'a clock cannot be read'"),
        (Seen("{}/a.nii: one line\nand another"), WRONG),
        (None, "–"),
    ],
)  # fmt: skip
def test_a_cell_is_what_was_seen(seen: Seen | None, words: str, tmp_path: Path) -> None:
    if seen and seen.refusal:
        seen = Seen(seen.refusal.format(tmp_path))
    assert cell(Condition("", "", lambda _v, _f: seen), ".nii", tmp_path).startswith(words)


def test_a_traceback_is_wrong(tmp_path: Path) -> None:
    def attempt(_variant: str, _folder: Path) -> Seen | None:
        raise TypeError("no clock")

    assert cell(Condition("", "", attempt), ".nii", tmp_path) == f"{WRONG}: TypeError: no clock"


def test_a_result_is_compared(tmp_path: Path) -> None:
    def attempt(variant: str, folder: Path) -> Seen | None:
        return upsample(write(variant, folder), "--scale", 1, 1, 2, fault=lambda out: out.name)

    assert cell(Condition("", "", attempt), ".nii", tmp_path) == f"{WRONG}: result.nii"
