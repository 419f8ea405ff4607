"""A model card as a page for people. Everything on it comes from the card inside the file."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from arssr.evaluation.tables import markdown_table

_CASES = {
    "told": "Three ideal acquisitions, told, noise-free",
    "scanners": "As scanners make them, told what each is a kind of, noise-free",
    "blind": "Blind (`--acquisition unknown`), noise-free",
    "noisy": "Told the acquisition, Rician noise of SNR 20",
}
_COLUMNS = ["", "mean gain", "worst", "better/worse in PSNR", "in SSIM", "Wiener"]


def to_markdown(card: Mapping[str, Any]) -> str:
    """The card of shipped weights (see tools/ship.py) as Markdown."""
    valid, results = card["valid"], card["results"]
    parts = [
        f"# Weights `{card['name']}`",
        f"{card['note']} {card['about']}; {card['parameters']:,} parameters.".strip(),
        _listing(
            {
                "Licence": f"{card['licence']}. {card['credit']}".strip(),
                "Valid range": f"scale {_range(valid['scale'])} per axis, "
                f"{_range(valid['scale_of_one_thick_axis'])} along one thick axis; towards voxels "
                f"of {_range(valid['spacing_mm'])} mm" + _gaps(valid),
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
        "volumes and the worst of them. Wiener is the mean gain of the Wiener filter, a plain "
        "deconvolution that knows the exact blur.",
    ]
    for case, title in _CASES.items():
        if case not in results:
            continue
        settings = results[case]["gain"]["settings"]
        parts += [f"## {title}", markdown_table(_COLUMNS, [_gain_row(s) for s in settings])]
    table = [
        row for case in ("told", "scanners") for row in results.get(case, {"table": []})["table"]
    ]
    parts += ["## Every volume: PSNR, dB / SSIM", _volumes(table)]
    parts += ["## Trained on", _training_data(card["data"])]
    return "\n\n".join(parts) + "\n"


def comparison(cards: Sequence[Mapping[str, Any]]) -> str:
    """What several cards say of each case, side by side: PSNR / SSIM, means over the volumes.

    The cards must quote the same settings of the same volumes.
    """
    parts = []
    for case, title in _CASES.items():
        if not all(case in card["results"] for card in cards):
            continue
        tables = [card["results"][case]["table"] for card in cards]
        means: dict[str, dict[str, list[tuple[float, float]]]] = {}
        for entry in (entry for table in tables for entry in table):
            for method, psnr in entry["psnr"].items():
                of_setting = means.setdefault(_setting(entry), {})
                of_setting.setdefault(method, []).append((psnr, entry["ssim"][method]))
        methods = list(dict.fromkeys(m for table in tables for m in table[0]["psnr"]))
        rows = [
            [setting, *("{:.2f} / {:.3f}".format(*_mean(found[m])) for m in methods)]
            for setting, found in means.items()
        ]
        parts += [f"### {title}", markdown_table(["", *methods], rows)]
    return "\n\n".join(parts) + "\n"


def _mean(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    psnr, ssim = zip(*pairs, strict=True)
    return fmean(psnr), fmean(ssim)


def _gain_row(setting: Mapping[str, Any]) -> list[str]:
    wiener = f"{setting['wiener']:+.2f}" if "wiener" in setting else ""
    return [
        _setting(setting),
        f"{setting['mean']:+.2f}",
        f"{setting['worst']:+.2f}",
        f"{setting['wins']}/{setting['losses']}",
        f"{setting['ssim_wins']}/{setting['ssim_losses']}" if "ssim_wins" in setting else "",
        wiener,
    ]


def _gaps(valid: Mapping[str, Any]) -> str:
    """The gaps between slices that were seen, in words."""
    most = valid.get("slice_gap", [0.0, 0.0])[1]
    return f"; slices up to {most:.0%} of their distance apart" if most else "; slices without gaps"


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
