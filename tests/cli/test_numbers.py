"""One number or three, however a person writes them."""

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from arssr.cli.numbers import (
    join_triples,
    number_or_word,
    numbers,
    three_or_one,
    whole_numbers,
)


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        ("a.nii --scale 2 -o b.nii", "a.nii --scale 2 -o b.nii"),
        ("a.nii --scale 1 1 5 -o b.nii", "a.nii --scale 1,1,5 -o b.nii"),
        ("--scale 1 1 5 a.nii", "--scale 1,1,5 a.nii"),
        ("--scale 2 a.nii", "--scale 2 a.nii"),
        ("--scale 1 1 5 7", "--scale 1,1,5 7"),
        ("--scale 1 2", "--scale 1,2"),
        ("--scale -1 -1 2.5e-1", "--scale -1,-1,2.5e-1"),
        ("--spacing .7 0.7 1. --shape 3 4 5", "--spacing .7,0.7,1. --shape 3,4,5"),
        ("--scale", "--scale"),
        ("--scale=2 3", "--scale=2 3"),
        ("--steps 1 2 3", "--steps 1 2 3"),
        ("--scale 1x1x5", "--scale 1x1x5"),
    ],
)
def test_numbers_after_an_option_become_one_word(words: str, joined: str) -> None:
    assert join_triples(words.split()) == joined.split()


@given(st.lists(st.text(min_size=1)))
def test_other_words_stay(words: list[str]) -> None:
    plain = [word for word in words if word not in ("--scale", "--spacing", "--shape")]
    assert join_triples(plain) == plain


@pytest.mark.parametrize("text", ["1 1 5", "1,1,5", "1x1x5", "1×1×5", " 1, 1 , 5 "])
def test_three_numbers(text: str) -> None:
    assert numbers("--scale", text) == [1, 1, 5]


def test_one_number_stands_alone() -> None:
    assert three_or_one(numbers("--scale", "2.3")) == 2.3
    assert three_or_one([1, 2, 3]) == [1, 2, 3]
    assert numbers("--scale", "-2e3") == [-2000]


@pytest.mark.parametrize("text", ["", "two", "1 2", "1 2 3 4", "nan", "inf", "2x", "0x2"])
def test_anything_else_is_wrong_usage(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="--scale takes one number or three"):
        numbers("--scale", text)


def test_whole_numbers() -> None:
    assert whole_numbers("--shape", "3 4.0 5") == [3, 4, 5]
    assert whole_numbers("--shape", "7") == [7, 7, 7]
    for text in ("3.5", "1e400", "1 2 1e999"):
        with pytest.raises(typer.BadParameter, match="whole numbers"):
            whole_numbers("--shape", text)


def test_a_number_or_a_word() -> None:
    assert number_or_word("--noise", "12.5", ("auto", "unknown")) == 12.5
    assert number_or_word("--noise", "auto", ("auto", "unknown")) == "auto"
    for text in ("loud", "nan", "", "1 2"):
        with pytest.raises(typer.BadParameter, match="a number, auto or unknown"):
            number_or_word("--noise", text, ("auto", "unknown"))
