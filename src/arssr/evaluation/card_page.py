"""A model card as a page for people. Everything on it comes from the card inside the file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from arssr.evaluation.tables import markdown_table
from arssr.files import write_text
from arssr.weights.interval import KEY
from arssr.weights.words import valid_in_words

CASES = {
    "told": "Three ideal acquisitions, told, noise-free",
    "scanners": "As scanners make them, told what each is a kind of, noise-free",
    "blind": "Blind (`--acquisition unknown`), noise-free",
    "noisy": "Told the acquisition, Rician noise of SNR 20",
}
COLUMNS = ["", "mean gain", "worst", "better/worse in PSNR", "in SSIM", "Wiener"]

_BY = ("cubic", "model")


def write_card_page(page: Path, card: Mapping[str, Any]) -> None:
    """Write a card for people, whole or not at all."""
    write_text(page, to_markdown(card))


def to_markdown(card: Mapping[str, Any]) -> str:
    """The card of shipped weights (see tools/ship.py) as Markdown."""
    valid, results = card["valid"], card["results"]
    parts = [
        f"# Weights `{card['name']}`",
        f"{card['note']} {card['about']}; {card['parameters']:,} parameters.".strip(),
        _listing(
            {
                "Licence": f"{card['licence']}. {card['credit']}".strip(),
                "Valid range": valid_in_words(valid),
                "Training": f"{run_in_words(card)} on {card['device']}, commit {card['commit']}, "
                f"torch {card['versions']['torch']}" + _earlier(card),
                "Recipe": f"inside the file: `arssr info {card['name']} --json`",
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
    for case, title in CASES.items():
        if case not in results:
            continue
        settings = results[case]["gain"]["settings"]
        parts += [f"## {title}", markdown_table(COLUMNS, [gain_row(s) for s in settings])]
    if sure := card.get(KEY, {}).get("left_out"):
        parts += ["## How sure it is", _sureness(card[KEY], sure)]
    table = [
        row for case in ("told", "scanners") for row in results.get(case, {"table": []})["table"]
    ]
    if "lesions" in card:
        parts += ["## The smallest lesion that survives", _lesions(card["lesions"])]
    parts += ["## Every volume: PSNR, dB / SSIM", _volumes(table)]
    parts += ["## Trained on", _training_data(card["data"])]
    return "\n\n".join(parts) + "\n"


def _sureness(known: Mapping[str, Any], left_out: Mapping[str, Any]) -> str:
    """What `tools/calibrate.py` found about intervals."""
    rows = [
        [
            way,
            f"{100 * found['pooled']:.1f} %",
            ", ".join(f"{name} {100 * share:.1f}" for name, share in found["volumes"].items()),
        ]
        for way, found in left_out.items()
    ]
    parts = [
        f"`--uncertainty`: half-widths of intervals that hold the truth with a probability of "
        f"{100 * known['probability']:.0f} % ([how it is measured](../uncertainty.md)). Coverage "
        "of validation volumes, each left out of its own calibration:",
        markdown_table(["way of computing", "pooled", "each volume, %"], rows),
    ]
    if test := known.get("never_calibrates"):
        parts.append(
            f"Of {test['volumes']} volumes that never calibrate {100 * test['pooled']:.1f} % "
            f"pooled, and at least {100 * test['least']:.1f} % of each."
        )
    if low := known.get("below_80_percent"):
        found = ", ".join(f"{name}: {100 * share:.1f} %" for name, share in low.items())
        parts.append(f"**Below 80 %**: {found}.")
    return "\n\n".join(parts)


def comparison(cards: Sequence[Mapping[str, Any]]) -> str:
    """What several cards say of each case, side by side: PSNR / SSIM, means over the volumes.

    The cards must quote the same settings of the same volumes.
    """
    parts = []
    for case, title in CASES.items():
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


def gain_row(setting: Mapping[str, Any]) -> list[str]:
    """What belongs below `COLUMNS` of one setting."""
    wiener = f"{setting['wiener']:+.2f}" if "wiener" in setting else ""
    return [
        _setting(setting),
        f"{setting['mean']:+.2f}",
        f"{setting['worst']:+.2f}",
        f"{setting['wins']}/{setting['losses']}",
        f"{setting['ssim_wins']}/{setting['ssim_losses']}" if "ssim_wins" in setting else "",
        wiener,
    ]


def run_in_words(card: Mapping[str, Any]) -> str:
    """How long weights were trained."""
    return f"{card['steps']:,} steps, {card['hours']:.2f} h"


def _storage(card: Mapping[str, Any]) -> dict[str, str]:
    """What half precision costs, where it was measured."""
    cost = card.get("half_precision_costs_db")
    return {} if cost is None else {"Stored as": f"float16, which costs {cost:.4f} dB of PSNR"}


def _earlier(card: Mapping[str, Any]) -> str:
    """The run whose weights this one started from, if any."""
    before = card.get("started_from")
    return f"; started from an earlier run of {run_in_words(before)}" if before else ""


def _volumes(table: Sequence[Mapping[str, Any]]) -> str:
    methods = list(table[0]["psnr"])
    rows = [
        [entry["volume"], _setting(entry)]
        + [f"{entry['psnr'][m]:.2f} / {entry['ssim'][m]:.4f}" for m in methods]
        for entry in table
    ]
    return markdown_table(["volume", "", *methods], rows)


def _lesions(lesions: Mapping[str, Any]) -> str:
    """The diameters from which on lesions keep a share of their contrast (docs/lesions.md)."""
    about = (
        "Bright and dark spheres and ellipsoids that were put into the validation volumes: the "
        "diameter, in voxels of the scan (in slices, where these are thick), from which on they "
        "keep that share of their contrast on average. What that means, and what not: "
        "[lesions](../lesions.md)."
    )
    columns = ["", *(f"{share:.0%}, {who}" for share in lesions["shares"] for who in _BY)]
    rows = [
        [_setting(s), *(_size(s[name][n]) for n in range(len(lesions["shares"])) for name in _BY)]
        for s in lesions["settings"]
    ]
    return f"{about}\n\n{markdown_table(columns, rows)}"


def _size(diameter: float | None) -> str:
    return "none" if diameter is None else f"{diameter:.1f}"


def _training_data(data: Sequence[Mapping[str, str]]) -> str:
    rows = [[d["name"], d["source"], d["licence"], f"`{d['sha256'][:12]}`"] for d in data]
    return markdown_table(["image", "source", "licence", "SHA-256"], rows)


def _setting(of: Mapping[str, Any]) -> str:
    return f"{of['degradation']} {of['scale']}"


def _listing(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- **{name}**: {value}" for name, value in facts.items())
