"""What is known of weights, as a person reads it in a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def show_card(facts: Mapping[str, Any]) -> None:
    """Print what weights are for and what they gain; the recipe and the rest are for --json."""
    from arssr.evaluation.card_page import CASES, COLUMNS, gain_row, run_in_words
    from arssr.weights.words import card_in_words

    console = Console(highlight=False, soft_wrap=True)
    words = card_in_words(facts["config"], facts["parameters"], facts)
    lines = {
        "weights": f"{facts['model']} ({words.pop('network')})",
        **words,
        "started from": (facts.get("started_from") or {}).get("name"),
        "training": run_in_words(facts) if {"steps", "hours"} <= facts.keys() else None,
        "held-out part": _held_out(facts["held_out"]) if facts.get("held_out") else None,
        "sha256": facts["sha256"],
    }
    for name, value in lines.items():
        if value:
            console.print(f"{name}: {value}", markup=False)
    results = facts.get("results", {})
    for case, title in CASES.items():
        if settings := results.get(case, {}).get("gain", {}).get("settings"):
            table = Table(*COLUMNS, title=title, title_justify="left")
            for setting in settings:
                table.add_row(*gain_row(setting))
            console.print(table)
    if results:
        console.print("Gains: PSNR beyond that of cubic interpolation in dB, mean and worst of the")
        console.print(f"validation volumes ({', '.join(results.get('validation', ['?']))}).")
    console.print("All of it, the recipe and the images included: --json", markup=False)


def _held_out(facts: Mapping[str, Any]) -> str:
    """What adapting to a scan brought on the part that was not trained on."""
    before, after = facts["gain_before"], facts["gain_after"]
    return f"gain over cubic {before:+.2f} dB before adapting, {after:+.2f} dB after"
