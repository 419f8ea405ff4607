"""Write the smallest lesions that survive into the cards of shipped weights, and their pages anew.

    python tools/lesion_cards.py runs/lesions/cards.json

`benchmarks/lesions.py` has measured them, and says by which parameters. Nothing else of the
weights changes, and nothing is measured. Shipped weights with other parameters are passed over:
whoever ships new ones runs both again. It takes a few seconds.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ship import DOCS

from arssr.cli.console import complain
from arssr.errors import ArSSRError
from arssr.evaluation.card_page import write_card_page
from arssr.evaluation.methods import network_sha256
from arssr.weights.files import load_weights, save_card
from arssr.weights.registry import shipped


def update(weights: Path, page: Path, measured: Mapping[str, Any]) -> bool:
    """Bring one file and its page up to date; whether the weights are among those measured."""
    network, card = load_weights(weights)
    lesions = measured.get(network_sha256(network))
    if lesions is None:
        return False
    card = {**card, "lesions": lesions}
    save_card(weights, card)
    write_card_page(page, card)
    return True


def main() -> None:
    """See the module's docstring."""
    if len(sys.argv) != 2:
        raise ArSSRError("name the cards.json that benchmarks/lesions.py wrote")
    measured = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for name, path in shipped().items():
        done = update(path, DOCS / f"{name}.md", measured)
        print(f"{name}: {'written' if done else 'passed over, not measured'}")


if __name__ == "__main__":
    try:
        main()
    except ArSSRError as problem:
        complain(str(problem))
        sys.exit(1)
