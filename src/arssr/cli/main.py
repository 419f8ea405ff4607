"""`arssr`: the command line. Commands import what is heavy only when they run."""

import re
import signal
import sys
from typing import Any

import typer
from typer.core import TyperCommand

from arssr.cli import (
    adapt,
    bench,
    bids,
    compare,
    evaluate,
    export,
    merge,
    models,
    mrd,
    prepare,
    train,
    upsample,
    view,
)
from arssr.cli.bids import spread_lists
from arssr.cli.console import complain, log_traceback, show_log
from arssr.cli.examples import epilog
from arssr.cli.numbers import join_triples
from arssr.cli.session import wait_briefly
from arssr.errors import ArSSRError

# How pydantic, which typer has values checked by, says what a value has to be.
_OF_PYDANTIC = (
    (r"Value error, ", ""),
    (r"Input should be a valid integer\b.*", "a whole number is needed"),
    (r"Input should be a valid number\b.*", "a number is needed"),
    (r"Input should be (greater than or equal to|less than or equal to) ", r"it must be \1 "),
    (r"greater than or equal to ", "at least "),
    (r"less than or equal to ", "at most "),
)


class _Command(TyperCommand):
    """A command whose switches stand without a type, and whose usage errors are in plain words."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its parameters and --help."""
        params = super().get_params(ctx)
        for param in params:
            if getattr(param, "is_flag", False) and param.metavar is None:
                param.metavar = ""
        return params

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments; raises `typer.BadParameter` for a value that is none of those allowed."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            for theirs, ours in _OF_PYDANTIC:
                error.message = re.sub(theirs, ours, error.message)
            raise


app = typer.Typer(
    name="arssr",
    help="Sharper 3D MR scans at any scale.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (
    *(upsample.upsample, view.view, bids.bids, prepare.prepare, train.train, adapt.adapt),
    *(evaluate.evaluate, compare.compare, bench.bench, models.models, models.info),
    *(merge.merge, export.export, mrd.mrd),
):
    _name = _command.__name__
    app.command(_name, cls=_Command, epilog=epilog(_name))(_command)


@app.callback(invoke_without_command=True)
def options(version: bool = typer.Option(False, "--version", help="Show the version.")) -> None:
    """Sharper 3D MR scans at any scale."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("arssr"))
        raise typer.Exit


def main() -> None:
    """Entry point: exit code 0 done, 1 a job failed, 2 wrong usage."""
    signal.signal(signal.SIGTERM, _terminate)
    wait_briefly()
    show_log()
    try:
        app(args=join_triples(spread_lists(sys.argv[1:])), prog_name="arssr")
    except ArSSRError as error:
        complain(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        complain("interrupted")
        sys.exit(130)
    except SystemExit as end:
        # typer turns Ctrl-C into an exit and says nothing
        if isinstance(getattr(end.__context__, "__cause__", None), KeyboardInterrupt):
            complain("interrupted")
        raise
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:  # a folder that may not be listed, a name that is too long
        complain(f"{error.filename or 'the system'}: {error.strerror or error}")
        sys.exit(1)
    except Exception:
        log_traceback()
        raise


def _terminate(number: int, _: object) -> None:
    """As `scancel` and `kill` ask for it: nothing half-written stays."""
    complain("terminated")
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
