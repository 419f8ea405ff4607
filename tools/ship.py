"""Make trained weights part of the package: measure them, write their card, put them in place.

    python tools/ship.py runs/light/best.safetensors light --train DATA/train --val DATA/val

The weights are stored as float16, and it is the stored file that is measured: by the protocol
`card`, told the acquisition; by `noisy`; and by `brief`, not told. The card travels inside the
file; docs/models/NAME.md is the same for people. Interrupted, it goes on where it stopped.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from arssr.api import Model
from arssr.cli.console import complain, progress_bar
from arssr.degradation import degrade, named_degradation
from arssr.errors import ArSSRError
from arssr.evaluation.card_page import to_markdown
from arssr.evaluation.cards import card_results
from arssr.evaluation.methods import Baseline, weights_method
from arssr.evaluation.metrics import score
from arssr.evaluation.protocol import Protocol
from arssr.evaluation.rows import Row
from arssr.evaluation.runner import evaluate
from arssr.files import find_images, replacing
from arssr.networks import ImplicitVoxelNetwork
from arssr.volume import Volume
from arssr.weights.files import load_weights, save_weights
from arssr.weights.registry import Weights, load

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "src/arssr/weights/shipped"
DOCS = ROOT / "docs/models"
JOBS = 2
MOST_HALF_MAY_COST_DB = 0.01
LICENCE = "CC BY-NC 4.0"
CREDIT = (
    "Contains information from OASIS (Marcus et al. 2007, doi:10.1162/jocn.2007.19.9.1498), "
    "through muschellij2/malf.templates, CC BY-NC 4.0, and from open_ms_data (Lesjak et al. 2016, "
    "doi:10.1007/s12021-015-9249-8), CC BY 4.0."
)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, help="what `arssr train` left")
    parser.add_argument("name", help="what the weights are called from now on")
    parser.add_argument("--train", type=Path, required=True, help="the folder it was trained on")
    parser.add_argument("--val", type=Path, required=True, help="volumes never trained on")
    parser.add_argument("--commit", help="commit that trained them; by default the current one")
    parser.add_argument("--note", default="", help="a sentence for the card")
    arguments = parser.parse_args()

    network, trained = load_weights(arguments.weights)
    target = SHIPPED / f"{arguments.name}.safetensors"
    card = {
        "name": arguments.name,
        "about": f"{network.config.encoder} encoder, {network.config.flavour} flavour",
        "note": arguments.note,
        "licence": LICENCE,
        "credit": CREDIT,
        "parameters": network.parameter_count,
        "valid": valid_range(trained["recipe"]["sampling"], arguments.train),
        **trained,
        "commit": arguments.commit or current_commit(),
        "data": with_licences(trained["data"], arguments.train),
    }
    save_weights(target, network, card, half=True)
    card["half_precision_costs_db"] = cost_of_half(network, target, arguments.val)
    work = arguments.weights.parent / "card"
    told = measure(target, "card", arguments.val, work)
    blind = measure(target, "brief", arguments.val, work, blind=True)
    noisy = measure(target, "noisy", arguments.val, work)
    card["results"] = {
        "validation": [path.name for path in find_images([arguments.val])],
        "told": card_results(told, arguments.name),
        "blind": card_results(blind, f"{arguments.name} (blind)"),
        "noisy": card_results(noisy, arguments.name),
    }
    save_weights(target, load_weights(target)[0], card, half=True)
    page = DOCS / f"{arguments.name}.md"
    with replacing(page) as temporary:
        temporary.write_text(to_markdown(card), encoding="utf-8")
    print(f"{target.relative_to(ROOT)}\n{page.relative_to(ROOT)}")


def measure(
    weights: Path, protocol: str, volumes: Path, folder: Path, blind: bool = False
) -> list[Row]:
    """Rows of one protocol for these weights and the baselines that a card quotes."""
    benchmark = Protocol.read(protocol)
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


def valid_range(sampling: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The scales that a recipe draws, and the voxel sizes of the images that were the truth."""
    low, high = sampling["scale"]
    sizes = np.concatenate([Volume.read(p).grid.spacing_mm for p in find_images([folder])])
    return {
        "scale": [low, high],
        "scale_of_one_thick_axis": [low, sampling["thick_scale"]],
        "spacing_mm": [round(float(sizes.min()), 3), round(float(sizes.max()), 3)],
    }


def with_licences(data: list[dict[str, str]], folder: Path) -> list[dict[str, str]]:
    """Name and hash of each training image, with source and licence from the data's manifest."""
    manifest = json.loads((folder.parent / "manifest.json").read_text(encoding="utf-8"))
    known = {Path(name).name: facts for name, facts in manifest.items()}
    return [
        {
            **entry,
            "source": known[entry["name"]]["source"],
            "licence": known[entry["name"]]["licence"],
        }
        for entry in data
    ]


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
