"""`arssr`: the command line. Commands import what is heavy only when they run."""

import logging
import sys

import typer

from arssr.cli import adapt, bench, bids, compare, evaluate, models, prepare, train, upsample
from arssr.cli.bids import spread_lists
from arssr.cli.console import complain
from arssr.cli.numbers import join_triples
from arssr.errors import ArSSRError

app = typer.Typer(
    name="arssr",
    help="Sharper 3D MR scans at any scale.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("upsample")(upsample.upsample)
app.command("bids")(bids.bids)
app.command("prepare")(prepare.prepare)
app.command("train")(train.train)
app.command("adapt")(adapt.adapt)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("bench")(bench.bench)
app.command("models")(models.models)
app.command("info")(models.info)


@app.callback(invoke_without_command=True)
def options(version: bool = typer.Option(False, "--version", help="Show the version.")) -> None:
    """Sharper 3D MR scans at any scale."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("arssr"))
        raise typer.Exit


def main() -> None:
    """Entry point: exit code 0 done, 1 a job failed, 2 wrong usage."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    try:
        app(args=join_triples(spread_lists(sys.argv[1:])), prog_name="arssr")
    except ArSSRError as error:
        complain(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        complain("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:  # a folder that may not be listed, a name that is too long
        complain(f"{error.filename or 'the system'}: {error.strerror or error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
