"""`arssr evaluate`: models and baselines measured against high-resolution volumes."""

from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from arssr.cli.console import complain, print_json, progress_bar, stderr, warn
from arssr.cli.forecast import Forecast
from arssr.cli.options import Device, Ensemble, SkipUnusable
from arssr.cli.session import LogFile, Quiet, Threads
from arssr.extras import require

if TYPE_CHECKING:
    from arssr.evaluation.methods import Method
    from arssr.evaluation.protocol import BenchmarkProtocol
    from arssr.evaluation.rows import Row


def evaluate(
    volumes: Annotated[
        list[str],
        typer.Argument(help="Images, folders with such in them and below, or patterns in quotes."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for tables and figures.")],
    protocol: Annotated[
        str | None,
        typer.Option(
            help="A benchmark: paper, scanner3d, scanner2d, card, scanners, brief, noisy, or a "
            "YAML file like these; instead of degradations, scales and SNRs."
        ),
    ] = None,
    degradations: Annotated[
        str | None,
        typer.Option(
            help="Some of kspace, slice, spline, or what scanners make of them, such as "
            "kspace-apodised, slice-box, slice-gap20; else kspace."
        ),
    ] = None,
    scales: Annotated[
        str | None, typer.Option(help="Such as 2,3.2,1x1x4 (three: one per axis); else 2.")
    ] = None,
    snr: Annotated[
        str | None, typer.Option(help="Signal-to-noise ratios, such as none,20; else none.")
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="Shipped weights by name or a weight file; may be repeated. none: no model. "
            "Else all shipped weights.",
        ),
    ] = None,
    baselines: Annotated[
        str | None,
        typer.Option(help="Some of nearest, trilinear, cubic, lanczos, wiener; else all."),
    ] = None,
    blind: Annotated[
        bool, typer.Option("--blind", help="Do not tell the models the acquisition.")
    ] = False,
    acquisition: Annotated[
        Literal["told", "auto", "unknown"],
        typer.Option(help="auto: the models measure it in the scan; unknown: the same as --blind."),
    ] = "told",
    ensemble: Ensemble = 1,
    device: Device = "auto",
    skip_unusable: SkipUnusable = False,
    jobs: Annotated[
        int,
        typer.Option(
            min=0, help="Processes, each with a volume in memory; 0: compute in this one."
        ),
    ] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="The results as JSON on standard output.")
    ] = False,
    threads: Threads = None,
    quiet: Quiet = False,
    log_file: LogFile = None,
) -> None:
    """Degrade high-resolution volumes, super-resolve them, and compare with what they were.

    The same command goes on where it stopped: OUT keeps every finished row (rows.jsonl).
    """
    require("report", "arssr evaluate")
    from arssr.evaluation.runner import evaluate as run
    from arssr.evaluation.sources import find_volumes, require_reference
    from arssr.evaluation.tables import Evaluation, overall_table
    from arssr.evaluation.taught import told_of_taught, with_taught_marked
    from arssr.files import counted
    from arssr.survey import named, settle, survey

    benchmark = _protocol(protocol, degradations, scales, snr)
    paths = find_volumes(volumes)
    if blind and acquisition == "auto":
        raise typer.BadParameter("--blind models measure nothing; leave out --acquisition auto")
    blind = blind or acquisition == "unknown"
    measures = acquisition == "auto"
    methods = _methods(benchmark, models, baselines, device, blind, ensemble, measures)
    sizes = (len(paths), "volume"), (len(benchmark.settings), "setting"), (len(methods), "method")
    stderr.print(" × ".join(counted(*size) for size in sizes))
    forecast = Forecast("row")
    with progress_bar(counted=True) as bar:
        task = bar.add_task("checking", total=len(paths))
        found, unusable = survey(named(paths), require_reference, lambda: bar.advance(task))
        settle(unusable, len(paths), skip_unusable)

        def on_row(done: int, total: int, row: "Row | None") -> None:
            text = "found" if row is None else f"{row.volume} {row.degradation} {row.scale}"
            bar.update(task, description=text, completed=done, total=total)
            if row is not None:
                forecast(done, total)
            if row is not None and row.error:
                complain(f"{' '.join(filter(None, (text, row.method)))}: {row.error}")

        rows = run([image.path for image in found], benchmark.settings, methods, out, jobs, on_row)
    rows = with_taught_marked(rows, methods, found)
    warn(told_of_taught(rows))
    options = {
        "settings": [str(setting) for setting in benchmark.settings],
        "methods": [method.name for method in methods],
        "blind": blind,
        "measures": measures,
        "ensemble": ensemble,
        "device": device,
        "jobs": jobs,
    }
    results = Evaluation(benchmark.name, benchmark.about, rows, options)
    written = results.write(out)
    if as_json:
        print_json(results.to_json())
    else:
        typer.echo(overall_table(rows))
    stderr.print("written: " + ", ".join(map(str, written)), markup=False, soft_wrap=True)
    if failed := sum(bool(row.error) for row in rows):
        complain(f"{failed} of {len(rows)} rows failed; their reasons are in the tables")
        raise typer.Exit(1)


def _protocol(
    name: str | None, degradations: str | None, scales: str | None, snr: str | None
) -> "BenchmarkProtocol":
    from arssr.errors import ArSSRError
    from arssr.evaluation.protocol import BenchmarkProtocol, combine

    if name is None:
        try:
            settings = combine(
                _words(degradations or "kspace"), _words(scales or "2"), _words(snr or "none")
            )
        except ArSSRError as error:
            raise typer.BadParameter(str(error)) from None
        return BenchmarkProtocol(
            "evaluation", "Settings chosen on the command line.", tuple(settings)
        )
    if (degradations, scales, snr) != (None, None, None):
        raise typer.BadParameter("a protocol says the degradations, scales and SNRs itself")
    return BenchmarkProtocol.read(name)


def _methods(
    benchmark: "BenchmarkProtocol",
    models: list[str] | None,
    baselines: str | None,
    device: str,
    blind: bool,
    ensemble: int,
    measures: bool,
) -> "list[Method]":
    from arssr.errors import ArSSRError
    from arssr.evaluation.methods import Baseline, weights_method
    from arssr.files import told_apart
    from arssr.weights.registry import shipped

    names = benchmark.baselines if baselines is None else _words(baselines)
    if "lanczos" in names:
        require("formats", "the baseline lanczos (others: --baselines)", "SimpleITK")
    if models is None:
        models = list(shipped())
    elif models == ["none"]:
        models = []
    try:
        methods: list[Method] = [Baseline(name) for name in dict.fromkeys(names)]
    except ArSSRError as error:
        raise typer.BadParameter(str(error)) from None
    files = [model for model in dict.fromkeys(models) if model.lower() not in shipped()]
    folders = {
        file: PurePath(name).parent
        for file, name in zip(files, told_apart([Path(file) for file in files]), strict=True)
    }
    for model in dict.fromkeys(models):
        method = weights_method(model, device, blind, ensemble, measures)
        name = str(folders.get(model, PurePath()) / method.model_name)
        methods.append(replace(method, model_name=name))
    twice = {method.name for method in methods if [m.name for m in methods].count(method.name) > 1}
    if twice:
        raise typer.BadParameter(f"two models are called {min(twice)}; rename a file")
    return methods


def _words(text: str) -> list[str]:
    """The words between commas."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise typer.BadParameter("an empty list")
    return words
