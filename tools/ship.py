"""Make trained weights part of the package: measure them, write their card, put them in place.

    python tools/ship.py runs/light/best.safetensors light --train DATA/train --val DATA/val

The weights are stored as float16, and it is the stored file that is measured: by the protocols
`card` and `scanners`, told the acquisition; by `noisy`; and by `brief`, not told. The card travels
inside the file; docs/models/NAME.md is the same for people. The licence follows from the images
of all trainings behind the weights, as the data's manifest.json has them. Interrupted, it goes on
where it stopped. On two cores with bfloat16 `light` takes ten minutes and `rdn` an hour.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from digests import known_samples, with_samples

from arssr.api import Model
from arssr.cli.console import complain, progress_bar
from arssr.degradation import degrade, named_degradation
from arssr.errors import ArSSRError
from arssr.evaluation.card_page import write_card_page
from arssr.evaluation.cards import card_results
from arssr.evaluation.methods import Baseline, weights_method
from arssr.evaluation.metrics import score
from arssr.evaluation.protocol import BenchmarkProtocol
from arssr.evaluation.rows import Row
from arssr.evaluation.runner import evaluate
from arssr.files import find_images
from arssr.networks import ImplicitVoxelNetwork
from arssr.volume import Volume
from arssr.weights.files import load_weights, save_weights
from arssr.weights.licence import credits_of, images_behind, licence_of_weights
from arssr.weights.registry import Weights, load

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "src/arssr/weights/shipped"
DOCS = ROOT / "docs/models"
JOBS = 2
MOST_HALF_MAY_COST_DB = 0.01


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, help="what `arssr train` left")
    parser.add_argument("name", help="what the weights are called from now on")
    parser.add_argument(
        "--train", type=Path, nargs="+", required=True, help="the folders it was trained on"
    )
    parser.add_argument("--val", type=Path, required=True, help="volumes never trained on")
    parser.add_argument("--commit", help="commit that trained them; by default the current one")
    parser.add_argument("--note", default="", help="the first sentence of the card")
    parser.add_argument(
        "--slice-gap",
        type=float,
        default=0.0,
        help="largest share of the slice distance that no slice of the training covered",
    )
    parser.add_argument("--work", type=Path, help="folder for rows; else beside the weights")
    arguments = parser.parse_args()

    network, trained = load_weights(arguments.weights)
    trained = with_licences(trained, known_licences(arguments.train))
    trained = with_samples(trained, known_samples(arguments.train))
    behind = list(images_behind(trained))
    target = SHIPPED / f"{arguments.name}.safetensors"
    card = {
        "name": arguments.name,
        "about": f"{network.config.encoder} encoder, {network.config.flavour} flavour",
        "note": arguments.note,
        "licence": licence_of_weights(facts["licence"] for facts in behind),
        "credit": credits_of((facts["source"], facts["licence"]) for facts in behind),
        "parameters": network.parameter_count,
        "valid": valid_range(trained["recipe"]["sampling"], arguments.train)
        | {"slice_gap": [0.0, arguments.slice_gap]},
        **trained,
        "commit": arguments.commit or current_commit(),
    }
    save_weights(target, network, card, half=True)
    if not is_half(network):
        card["half_precision_costs_db"] = cost_of_half(network, target, arguments.val)
    work = arguments.work or arguments.weights.parent / "card"
    told = measure(target, "card", arguments.val, work)
    scanners = measure(target, "scanners", arguments.val, work)
    blind = measure(target, "brief", arguments.val, work, blind=True)
    noisy = measure(target, "noisy", arguments.val, work)
    card["results"] = {
        "validation": [path.name for path in find_images([arguments.val])],
        "told": card_results(told, arguments.name),
        "scanners": card_results(scanners, arguments.name),
        "blind": card_results(blind, f"{arguments.name} (blind)"),
        "noisy": card_results(noisy, arguments.name),
    }
    save_weights(target, load_weights(target)[0], card, half=True)
    page = DOCS / f"{arguments.name}.md"
    write_card_page(page, card)
    print(f"{target.relative_to(ROOT)}\n{page.relative_to(ROOT)}")


def measure(
    weights: Path, protocol: str, volumes: Path, folder: Path, blind: bool = False
) -> list[Row]:
    """Rows of one protocol for these weights and the baselines that a card quotes."""
    benchmark = BenchmarkProtocol.read(protocol)
    methods = [*map(Baseline, benchmark.baselines), weights_method(str(weights), blind=blind)]
    with progress_bar(counted=True) as bar:
        task = bar.add_task(f"{protocol}{', blind' * blind}", total=None)

        def on_row(done: int, total: int, _row: Row | None) -> None:
            bar.update(task, completed=done, total=total)

        rows = evaluate(
            find_images([volumes]), benchmark.settings, methods, folder, jobs=JOBS, on_row=on_row
        )
    if failed := [row for row in rows if row.error]:
        raise ArSSRError(f"{len(failed)} rows failed, the first: {failed[0].error}")
    return rows


def is_half(network: ImplicitVoxelNetwork) -> bool:
    """Whether float16 holds all weights as they are."""
    return all(torch.equal(p.half().float(), p.float()) for p in network.parameters())


def cost_of_half(network: ImplicitVoxelNetwork, stored: Path, folder: Path) -> float:
    """What rounding to float16 takes from the PSNR of one volume, in dB.

    Raises ArSSRError where that is too much.
    """
    truth = Volume.read(find_images([folder])[0])
    scan = degrade(truth, 2.0, named_degradation("slice"))

    def psnr(weights: Weights) -> float:
        model = Model(weights, "cpu", "float32")
        return score(truth, model.upsample(scan, like=truth.grid, acquisition="slice"))["psnr"]

    cost = round(psnr(Weights("trained", network, {}, stored)) - psnr(load(stored)), 4)
    if cost > MOST_HALF_MAY_COST_DB:
        raise ArSSRError(f"stored as float16 the weights lose {cost} dB")
    return cost


def valid_range(sampling: dict[str, Any], folders: Sequence[Path]) -> dict[str, Any]:
    """The scales that a recipe draws, and the voxel sizes of the images that were the truth."""
    low, high = sampling["scale"]
    sizes = np.concatenate([Volume.read(p).grid.spacing_mm for p in find_images(folders)])
    return {
        "scale": [low, high],
        "scale_of_one_thick_axis": [low, sampling["thick_scale"]],
        "spacing_mm": [round(float(sizes.min()), 3), round(float(sizes.max()), 3)],
    }


def known_licences(folders: Sequence[Path]) -> dict[str, dict[str, str]]:
    """Source and licence of each image by name, from the manifests beside the folders."""
    known = {}
    for manifest in {folder.resolve().parent / "manifest.json" for folder in folders}:
        for name, facts in json.loads(manifest.read_text(encoding="utf-8")).items():
            known[Path(name).name] = {key: facts[key] for key in ("source", "licence")}
    return known


def with_licences(card: dict[str, Any], known: dict[str, dict[str, str]]) -> dict[str, Any]:
    """The card with source and licence of each image, those of earlier trainings included."""
    named = {"data": [entry | known[entry["name"]] for entry in card["data"]]}
    if card.get("started_from"):
        named["started_from"] = with_licences(card["started_from"], known)
    return card | named


def current_commit() -> str:
    """The commit that is checked out."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    try:
        main()
    except ArSSRError as problem:
        complain(str(problem))
        sys.exit(1)
