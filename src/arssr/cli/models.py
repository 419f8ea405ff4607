"""`arssr models` and `arssr info`: what ships, and what is known about a model or an image."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from arssr.cli.card import show_card
from arssr.cli.console import print_json

if TYPE_CHECKING:
    from arssr.formats.dicom_images import Image

AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable, on standard output.")]


def models(as_json: AsJson = False) -> None:
    """List the weights that ship with the package."""
    from arssr.weights.licence import NOT_STATED
    from arssr.weights.registry import load, shipped

    found = [load(name) for name in shipped()]
    if as_json:
        print_json([{"name": w.name, "sha256": w.sha256, "card": w.card} for w in found])
        return
    table = Table("name", "scans", *_COLUMNS, "licence")
    for weights in found:
        licence = weights.card.get("licence", NOT_STATED)
        name = weights.name
        for case, title in _CASES.items():
            table.add_row(name, title, *_gain(weights.card, case), licence)
            name = licence = ""
        table.add_section()
    console = Console()
    console.print(table)
    console.print(
        "Scans are ideal or as scanners make them (realistic). gain: PSNR beyond cubic "
        "interpolation's in dB, mean over the validation volumes. Wiener: that of plain "
        "deconvolution that knows the exact blur. PSNR, SSIM: in how many cases (volumes × "
        "settings) they are better/worse than cubic's. One by one: arssr info NAME"
    )


_CASES = {"told": "ideal", "scanners": "realistic"}
_COLUMNS = ("gain", "worst", "Wiener", "PSNR", "SSIM")


def _gain(card: dict[str, Any], case: str) -> list[str]:
    """Over all settings of a table of the card: what belongs below `_COLUMNS`."""
    from statistics import fmean

    gain = card.get("results", {}).get(case, {}).get("gain", {})
    over_all, settings = gain.get("all"), gain.get("settings", [])
    if not over_all:
        return ["?"] * len(_COLUMNS)
    wiener = [setting["wiener"] for setting in settings if "wiener" in setting]
    ssim = [sum(setting.get(f"ssim_{which}", 0) for setting in settings) for which in _COUNTED]
    return [
        f"{over_all['mean']:+.2f}",
        f"{over_all['worst']:+.2f}",
        f"{fmean(wiener):+.2f}" if wiener else "?",
        "/".join(str(over_all[which]) for which in _COUNTED),
        "/".join(map(str, ssim)) if any(ssim) else "?",
    ]


_COUNTED = ("wins", "losses")


def info(
    subject: Annotated[str, typer.Argument(help="Weights (a name or a file), or an image.")],
    series: Annotated[
        str | None, typer.Option(help="Of several DICOM images, as in `arssr upsample`.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a model's card, or where an image lies, how it is stored and how finely measured.

    Of a folder of DICOM files with several images, or frames, what there is to choose from.
    """
    from arssr.files import is_image, is_series

    path = Path(subject)
    dicom = is_series(path)
    image = dicom or is_image(path)
    if dicom and series is None and (several := _several(path)):
        _list(path, several, as_json)
        return
    facts = _image(path, series) if image else _model(subject)
    if as_json:
        print_json(facts)
        return
    if image:
        facts["resolution"] = {axis: of["in_words"] for axis, of in facts["resolution"].items()}
        _show(facts)
    else:
        show_card(facts)


def _several(path: Path) -> "list[Image]":
    """The images in DICOM files, where there are several, or one of several frames."""
    from arssr.formats.dicom import contents

    images = contents(path)
    return images if len(images) > 1 or images[0].frames > 1 else []


def _list(path: Path, images: "list[Image]", as_json: bool) -> None:
    """What can be asked for with --series."""
    if as_json:
        print_json({"image": path.name, "images": [image.describe() for image in images]})
        return
    console = Console(highlight=False, soft_wrap=True)
    for image in images:
        console.print(str(image), markup=False)


def _image(path: Path, series: str | None) -> dict[str, Any]:
    from arssr.jobs.about import about
    from arssr.volume import read_quietly
    from arssr.weights.registry import load

    return {"image": path.name, **about(read_quietly(path, series), load("light").card)}


def _model(name: str) -> dict[str, Any]:
    from arssr.weights.registry import load

    weights = load(name)
    return {
        "model": weights.name,
        "sha256": weights.sha256,
        "parameters": weights.network.parameter_count,
        "config": weights.network.config.to_dict(),
        **weights.card,
    }


def _show(facts: dict[str, Any], indent: int = 0) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for name, value in facts.items():
        if isinstance(value, dict):
            console.print(" " * indent + f"{name}:", markup=False)
            _show(value, indent + 2)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            console.print(" " * indent + f"{name}: {len(value)} entries (--json)", markup=False)
        else:
            console.print(" " * indent + f"{name}: {value}", markup=False)
