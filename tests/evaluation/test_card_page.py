"""The card of shipped weights, and the page that is made of it."""

from pathlib import Path

import pytest

from arssr.evaluation.card_page import comparison, to_markdown
from arssr.evaluation.protocol import BenchmarkProtocol
from arssr.weights.licence import FREE, images_behind, licence_of_weights
from arssr.weights.registry import load, shipped

DOCS = Path(__file__).parents[2] / "docs"
RESULTS = {
    "gain": {
        "settings": [
            {"degradation": "slice", "scale": "2", "snr": None}
            | {"mean": 1.25, "worst": -0.5, "wins": 4, "losses": 1}
            | {"ssim_wins": 3, "ssim_losses": 2, "wiener": 0.75}
        ]
    },
    "table": [
        {"volume": "head", "degradation": "slice", "scale": "2", "snr": None, "told": "slice"}
        | {"psnr": {"cubic": 30.0, "light": 31.25}, "ssim": {"cubic": 0.9, "light": 0.95}}
    ],
}
CARD = {
    "name": "light",
    "about": "light encoder",
    "note": "For every scan.",
    "licence": "CC BY-NC 4.0",
    "credit": "OASIS.",
    "parameters": 519201,
    "valid": {
        "scale": [1.0, 4.0],
        "scale_of_one_thick_axis": [1.0, 6.0],
        "spacing_mm": [0.8, 1.0],
        "slice_gap": [0.0, 0.25],
    },
    "half_precision_costs_db": 0.0004,
    "steps": 9000,
    "hours": 0.7,
    "device": "CPU",
    "commit": "abc1234",
    "started_from": {"steps": 4854, "hours": 0.45},
    "versions": {"torch": "2.13.0"},
    "data": [{"name": "a.nii.gz", "source": "b", "licence": "CC0 1.0", "sha256": "0" * 64}],
    "results": {"validation": ["v.nii.gz"]}
    | dict.fromkeys(("told", "scanners", "blind", "noisy"), RESULTS),
}


def test_the_page_says_what_the_card_says() -> None:
    page = to_markdown(CARD)
    row = "| slice 2 | +1.25 | -0.50 | 4/1 | 3/2 | +0.75 |"
    assert page.count(row) == 4  # told, as scanners make them, blind, noisy
    assert "For every scan. light encoder" in page
    assert "slices up to 25% of their distance apart" in page
    assert "| head | slice 2 | 30.00 / 0.9000 | 31.25 / 0.9500 |" in page
    assert "519,201 parameters" in page and "1 to 6 along one thick axis" in page
    assert "| a.nii.gz | b | CC0 1.0 | `000000000000` |" in page
    assert "CC BY-NC 4.0. OASIS." in page
    assert "9,000 steps, 0.70 h on CPU" in page
    assert "started from an earlier run of 4,854 steps, 0.45 h" in page


def test_the_page_says_which_lesions_survive() -> None:
    """Beside cubic's, by share of the contrast; none where no size does."""
    setting = {"degradation": "slice-box", "scale": "2", "cubic": [1.25, None], "model": [1.0, 2.5]}
    lesions = {"shares": [0.5, 0.8], "volumes": ["head"], "settings": [setting]}
    page = to_markdown(CARD | {"lesions": lesions})
    assert "|  | 50%, cubic | 50%, model | 80%, cubic | 80%, model |" in page
    assert "| slice-box 2 | 1.2 | 1.0 | none | 2.5 |" in page
    assert "The smallest lesion" not in to_markdown(CARD)


@pytest.mark.parametrize("name", shipped())
def test_shipped_weights_are_never_below_cubic_on_ideal_scans(name: str) -> None:
    settings = load(name).card["results"]["told"]["gain"]["settings"]
    assert {s["degradation"] for s in settings} == {"kspace", "slice", "spline"}
    assert [s for s in settings if s["worst"] <= 0 or s["losses"]] == []


def test_the_default_weights_are_never_below_cubic_on_what_scanners_make() -> None:
    settings = load("light").card["results"]["scanners"]["gain"]["settings"]
    assert {s["degradation"] for s in settings} == {
        s.degradation for s in BenchmarkProtocol.read("scanners").settings
    }
    assert [s for s in settings if s["worst"] <= 0 or s["losses"]] == []


@pytest.mark.parametrize("name", ["light", "rdn"])
def test_the_licence_follows_from_all_images_behind_the_weights(name: str) -> None:
    card = load(name).card
    assert card["licence"] == licence_of_weights(i["licence"] for i in images_behind(card))
    for image in images_behind(card):
        for source in ("OASIS", "open_ms_data"):
            assert source in card["credit"] or not image["source"].startswith(source)


def test_anyone_may_use_the_default_weights() -> None:
    assert load("light").card["licence"] == FREE


@pytest.mark.parametrize("name", shipped())
def test_the_page_of_shipped_weights_is_that_of_their_card(name: str) -> None:
    page = DOCS / "models" / f"{name}.md"
    assert page.read_text(encoding="utf-8") == to_markdown(load(name).card)


def test_the_tables_of_the_documents_are_those_of_the_cards() -> None:
    page = DOCS / "evaluation.md"
    assert comparison([load("light").card, load("rdn").card]) in page.read_text(encoding="utf-8")


def test_a_comparison_is_a_mean_over_volumes_of_every_method() -> None:
    other = {**RESULTS["table"][0], "volume": "spine"}
    other |= {"psnr": {"cubic": 20.0, "light": 22.25}, "ssim": {"cubic": 0.5, "light": 0.55}}
    results = {"told": {"table": [RESULTS["table"][0], other]}}
    page = comparison([{"results": results}])
    assert "|  | cubic | light |" in page
    assert "| slice 2 | 25.00 / 0.700 | 26.75 / 0.750 |" in page
