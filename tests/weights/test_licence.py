"""The licence of weights follows from every image behind them."""

import pytest

from arssr.weights.licence import credits_of, images_behind, licence_of_weights

FREE = ["CC0 1.0", "PDDL", "CC BY 4.0", "MIT (repository)", "BSD-2 (package)", "Apache-2.0"]


@pytest.mark.parametrize("licence", FREE)
def test_what_anyone_may_use_makes_weights_that_anyone_may_use(licence: str) -> None:
    assert licence_of_weights([licence]) == licence_of_weights(FREE) == "CC BY 4.0"


@pytest.mark.parametrize("other", [*FREE, "all rights reserved"])
def test_one_non_commercial_image_is_enough(other: str) -> None:
    assert licence_of_weights([other, "CC BY-NC 4.0", other]) == "CC BY-NC 4.0"


@pytest.mark.parametrize("odd", ["CC BY-SA 4.0", "CC BY-ND 4.0", "GPL-3.0", "", "ask the author"])
def test_what_the_rule_does_not_know_is_not_stated(odd: str) -> None:
    assert licence_of_weights([*FREE, odd]) == "not stated"


def test_no_image_at_all_is_not_stated() -> None:
    assert licence_of_weights([]) == "not stated"


def test_the_images_of_earlier_trainings_count() -> None:
    first = {"data": [{"name": "c"}], "started_from": None}
    card = {
        "data": [{"name": "a"}],
        "started_from": {"data": [{"name": "b"}], "started_from": first},
    }
    assert [image["name"] for image in images_behind(card)] == ["a", "b", "c"]
    assert list(images_behind({})) == []


def test_each_source_that_asks_for_credit_is_named_once() -> None:
    images = [("x/y", "MIT (repository)"), ("free/one", "PDDL"), ("x/y", "MIT (repository)")]
    assert credits_of(images) == "Trained on images from x/y, MIT."
