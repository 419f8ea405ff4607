"""`arssr compare`: images side by side, as one HTML page."""

from pathlib import Path
from typing import Annotated, Any

import typer

from arssr.cli.console import stderr
from arssr.extras import require


def compare(
    images: Annotated[list[Path], typer.Argument(help="Images of one subject, on any grids.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write (.html).")],
    truth: Annotated[
        Path | None, typer.Option(help="The true image: adds errors and metrics.")
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(help="What to call the images, separated by commas; else the file names."),
    ] = None,
    one_window: Annotated[
        bool,
        typer.Option(
            "--one-window",
            help="Black and white are the same for all images, as they always are with a truth. "
            "Else each image has its own; the page has a switch.",
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the page.")] = False,
) -> None:
    """Compare images in one self-contained page: planes, details, differences, curves, metrics."""
    require("report", "arssr compare", "matplotlib", "skimage")
    from arssr.viewing.report import check_report, write_report
    from arssr.volume import Volume

    titles = _names(images, names)
    check_report(out, overwrite)
    provenance = {title: _sidecar(path) for title, path in zip(titles, images, strict=True)}
    if truth is not None:
        provenance["truth"] = _sidecar(truth)
    volumes = [(title, Volume.read(path)) for title, path in zip(titles, images, strict=True)]
    right = None if truth is None else Volume.read(truth)
    with stderr.status("comparing"):
        shared = one_window or right is not None
        write_report(out, volumes, right, provenance, overwrite, one_window=shared)
    stderr.print(f"report: {out}", markup=False, soft_wrap=True)


def _names(images: list[Path], names: str | None) -> list[str]:
    """One name for each image: as given, or its file's, with the folder where files are alike."""
    from arssr.files import stem

    if names is not None:
        given = [name.strip() for name in names.split(",")]
        if len(given) != len(images):
            raise typer.BadParameter(f"{len(given)} names for {len(images)} images")
        return given
    stems = [stem(path) for path in images]
    return [
        f"{path.absolute().parent.name}/{name}" if stems.count(name) > 1 else name
        for path, name in zip(images, stems, strict=True)
    ]


def _sidecar(image: Path) -> dict[str, Any]:
    """What the JSON file beside an image says of its making; {} without one."""
    import json

    from arssr.errors import ArSSRError
    from arssr.files import json_beside

    path = json_beside(image)
    if path is None:
        return {}
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArSSRError(f"{path}: cannot be read as JSON ({error})") from error
    return known if isinstance(known, dict) else {"content": known}
