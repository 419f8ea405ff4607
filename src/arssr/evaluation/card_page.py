"""A model card as a page for people. Everything on it comes from the card inside the file."""

from collections.abc import Mapping, Sequence
from typing import Any

from arssr.evaluation.tables import markdown_table

_CASES = {
    "told": "Told the acquisition, noise-free",
    "blind": "Blind (`--acquisition unknown`), noise-free",
    "noisy": "Told the acquisition, Rician noise of SNR 20",
}


def to_markdown(card: Mapping[str, Any]) -> str:
    """The card of shipped weights (see tools/ship.py) as Markdown."""
    valid, results = card["valid"], card["results"]
    parts = [
        f"# Weights `{card['name']}`",
        f"{card['about']}; {card['parameters']:,} parameters. {card['note']}".strip(),
        _listing(
            {
                "Licence": f"{card['licence']}. {card['credit']}",
                "Valid range": f"scale {_range(valid['scale'])} per axis, "
                f"{_range(valid['scale_of_one_thick_axis'])} along one thick axis; towards voxels "
                f"of {_range(valid['spacing_mm'])} mm",
                "Training": f"{_run(card)} on {card['device']}, commit {card['commit']}, torch "
                f"{card['versions']['torch']}" + _earlier(card),
                "Recipe": f"inside the file: `arssr info {card['name']}`",
                **_storage(card),
                "Validation": ", ".join(results["validation"])
                + " (never trained on"
                + ("; used for choosing the best step)" if card.get("chosen_on") else ")"),
            }
        ),
        "PSNR over the whole image, range max - min of the truth; the gain is the paired "
        "difference from cubic interpolation on the same grid, in dB, mean over the validation "
        "volumes and the worst of them.",
    ]
    for case, title in _CASES.items():
        settings = results[case]["gain"]["settings"]
        rows = [
            [_setting(s), f"{s['mean']:+.2f}", f"{s['worst']:+.2f}", f"{s['wins']}/{s['losses']}"]
            for s in settings
        ]
        parts += [f"## {title}", markdown_table(["", "mean gain", "worst", "wins/losses"], rows)]
    parts += ["## Every volume: PSNR, dB / SSIM", _volumes(results["told"]["table"])]
    parts += ["## Trained on", _training_data(card["data"])]
    return "\n\n".join(parts) + "\n"


def _run(card: Mapping[str, Any]) -> str:
    return f"{card['steps']:,} steps, {card['hours']:.2f} h"


def _storage(card: Mapping[str, Any]) -> dict[str, str]:
    """What half precision costs, where it was measured."""
    cost = card.get("half_precision_costs_db")
    return {} if cost is None else {"Stored as": f"float16, which costs {cost:.4f} dB of PSNR"}


def _earlier(card: Mapping[str, Any]) -> str:
    """The run whose weights this one started from, if any."""
    before = card.get("started_from")
    return f"; started from an earlier run of {_run(before)}" if before else ""


def _volumes(table: Sequence[Mapping[str, Any]]) -> str:
    methods = list(table[0]["psnr"])
    rows = [
        [entry["volume"], _setting(entry)]
        + [f"{entry['psnr'][m]:.2f} / {entry['ssim'][m]:.4f}" for m in methods]
        for entry in table
    ]
    return markdown_table(["volume", "", *methods], rows)


def _training_data(data: Sequence[Mapping[str, str]]) -> str:
    rows = [[d["name"], d["source"], d["licence"], f"`{d['sha256'][:12]}`"] for d in data]
    return markdown_table(["image", "source", "licence", "SHA-256"], rows)


def _setting(of: Mapping[str, Any]) -> str:
    return f"{of['degradation']} {of['scale']}"


def _range(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:g} to {bounds[1]:g}"


def _listing(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- **{name}**: {value}" for name, value in facts.items())
