"""Where many scans are computed: the options that say so, and what they come to."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from arssr.jobs.batch import Place

_PANEL = "Many scans at a time"

Jobs = Annotated[
    int,
    typer.Option(
        min=1,
        help="Worker processes, each with a scan in memory; Slurm jobs.",
        rich_help_panel=_PANEL,
    ),
]
DaskAddress = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="tcp://HOST:PORT",
        help="Compute on this dask cluster.",
        rich_help_panel=_PANEL,
    ),
]
OnSlurm = Annotated[
    bool,
    typer.Option(
        "--slurm",
        help="Compute in Slurm jobs of one worker each (--jobs).",
        rich_help_panel=_PANEL,
    ),
]
SlurmOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm-option",
        metavar="KEY=VALUE",
        help="Of dask_jobqueue's SLURMCluster (queue=gpu, cores=8, memory=32GB, …); the rest "
        "comes from dask's jobqueue.yaml.",
        rich_help_panel=_PANEL,
    ),
]


def place(jobs: int, dask: str | None, slurm: bool, slurm_options: list[str] | None) -> "Place":
    """The place that the options name; a usage error where they contradict each other."""
    from arssr.jobs.cluster import Dask, Slurm
    from arssr.jobs.local import Local

    if dask is not None and slurm:
        raise typer.BadParameter("name one place: --dask or --slurm")
    if slurm_options and not slurm:
        raise typer.BadParameter("--slurm-option needs --slurm")
    if slurm:
        return Slurm(jobs, dict(map(_key_and_value, slurm_options or ())))
    if dask is not None:
        if jobs > 1:
            raise typer.BadParameter("--jobs does not go with --dask: the cluster has its workers")
        return Dask(dask)
    return Local(jobs)


def _key_and_value(text: str) -> tuple[str, Any]:
    """`cores=8` as ("cores", 8): values are JSON where they can be, else text. (As YAML, 12:30:00
    would be a number.)
    """
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise typer.BadParameter(f"--slurm-option takes KEY=VALUE, not {text!r}")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
