"""Add what `arssr train` notes of images to the cards of weights whose training images are at hand.

    python tools/digests.py ../shared/data/train ../shared/data/train_nc

By hashes of samples `arssr evaluate` and `arssr upsample` know scans that weights were trained on
in copies too; by how the images look (`arssr.domain`) they know what is unlike all of them. Nothing
else of the shipped weights changes, and nothing is evaluated. Weights that `tools/ship.py` puts in
place have both already.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arssr.cli.console import complain
from arssr.errors import ArSSRError
from arssr.files import find_images_below, sha256
from arssr.survey import described
from arssr.volume import Volume
from arssr.weights.files import load_weights, save_card
from arssr.weights.licence import images_behind
from arssr.weights.registry import shipped


def known_samples(folders: list[Path]) -> dict[str, dict[str, Any]]:
    """What is said of the samples of all images in the folders, by the hashes of the files."""
    return {sha256(path): described(Volume.read(path).data) for path in find_images_below(folders)}


def with_samples(card: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The card with what is known of the samples, those of earlier trainings included."""
    data = [{**image, **known.get(image["sha256"], {})} for image in card["data"]]
    before = card.get("started_from")
    earlier = {"started_from": with_samples(before, known)} if before else {}
    return {**card, "data": data, **earlier}


def main() -> None:
    """See the module's docstring."""
    known = known_samples([Path(word) for word in sys.argv[1:]])
    for name, path in shipped().items():
        _, card = load_weights(path)
        known_now = with_samples(card, known)
        if known_now != card:
            save_card(path, known_now)
        images = list(images_behind(known_now))
        print(f"{name}: {sum('look' in i for i in images)} of {len(images)} images")


if __name__ == "__main__":
    try:
        main()
    except ArSSRError as problem:
        complain(str(problem))
        sys.exit(1)
