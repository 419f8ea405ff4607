"""`arssr prepare`: patches to train on, from any folder of high-resolution volumes."""

from pathlib import Path
from typing import Annotated

import typer

from arssr.cli.console import print_json, progress_bar, stderr
from arssr.cli.options import SkipUnusable
from arssr.cli.session import LogFile, Quiet, Threads


def prepare(
    images: Annotated[
        list[Path],
        typer.Argument(help="High-resolution volumes, or folders with such in them and below."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for hr_train, hr_val and manifest.json.")
    ],
    patch: Annotated[int, typer.Option(min=1, help="Voxels along each side of a patch.")] = 40,
    per_volume: Annotated[int, typer.Option(min=1, help="Patches of each volume.")] = 6,
    val_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the subjects kept for validation.")
    ] = 0.1,
    test_share: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of the subjects whose volumes go whole to hr_test."),
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Another split and other patches.")] = 20,
    subjects: Annotated[
        Path | None,
        typer.Option(
            help="Table (.tsv, .csv) with columns file and subject, where names do not say whose "
            "an image is. Otherwise: BIDS sub-…, else the first number (not that of T1, 3T, "
            "ses-2, run-1), else the first word, of the file or, where there are subfolders, of "
            "the first folder.",
        ),
    ] = None,
    as_stored: Annotated[
        bool,
        typer.Option(
            "--as-stored", help="Cut patches from volumes as stored, even where less was measured."
        ),
    ] = False,
    skip_unusable: SkipUnusable = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the patches that are in --out.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the manifest on standard output.")
    ] = False,
    threads: Threads = None,
    quiet: Quiet = False,
    log_file: LogFile = None,
) -> None:
    """Cut patches for training; no subject is on both sides of the split."""
    from collections import Counter

    from arssr.files import counted
    from arssr.grid import spacing_in_words
    from arssr.training.prepare import FOLDERS, PrepareConfig
    from arssr.training.prepare import prepare as run

    config = PrepareConfig(patch, per_volume, val_share, test_share, seed, as_stored)
    with progress_bar() as bar:
        task = bar.add_task("preparing", total=None)
        manifest = run(
            images,
            out,
            config,
            subjects,
            overwrite,
            skip_unusable,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    if as_json:
        print_json(manifest)
    sources = manifest["sources"]
    for source in sources:
        if cut := source.get("cut_to_band"):
            line = f"{source['file']}: cut to its own band, {spacing_in_words(cut['spacing_mm'])}"
            stderr.print(line, markup=False, soft_wrap=True)
    volumes = Counter(source["split"] for source in sources)
    for side, folder in FOLDERS.items():
        if volumes[side]:
            people = len({source["subject"] for source in sources if source["split"] == side})
            patches = sum(len(source["crops"]) for source in sources if source["split"] == side)
            what = f"{patches} patches" if patches else "whole"
            stderr.print(
                f"{out / folder}: {counted(volumes[side], 'volume')} of "
                f"{counted(people, 'subject')}, {what}",
                soft_wrap=True,
                markup=False,
            )
