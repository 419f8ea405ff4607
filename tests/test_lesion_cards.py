"""What `tools/lesion_cards.py` writes into weights, and what it leaves alone."""

import sys
from pathlib import Path

import pytest
import torch
from tests.evaluation.test_card_page import CARD
from tests.phantoms import tiny_network

from arssr.evaluation.card_page import to_markdown
from arssr.evaluation.methods import network_sha256
from arssr.weights.files import load_weights, save_weights

TOOLS = Path(__file__).parents[1] / "tools"
LESIONS = {
    "shares": [0.5, 0.8],
    "volumes": ["head"],
    "settings": [
        {"degradation": "kspace", "scale": "2", "cubic": [1.1, 2.0], "model": [0.9, None]}
    ],
}


def test_a_card_gets_its_lesions_and_keeps_everything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))  # scripts import each other from there
    monkeypatch.delitem(sys.modules, "lesion_cards", raising=False)
    from lesion_cards import update

    weights, page = tmp_path / "w.safetensors", tmp_path / "w.md"
    save_weights(weights, tiny_network(), CARD, half=True)
    before = load_weights(weights)
    assert not update(weights, page, {"0" * 64: LESIONS}) and not page.exists()
    assert update(weights, page, {network_sha256(before[0]): LESIONS})
    network, card = load_weights(weights)
    assert card == {**before[1], "lesions": LESIONS}
    assert page.read_text(encoding="utf-8") == to_markdown(card)
    for name, values in before[0].state_dict().items():
        assert torch.equal(values, network.state_dict()[name])
