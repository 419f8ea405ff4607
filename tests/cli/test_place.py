"""Options that say where to compute, as the places they come to."""

import pytest
import typer

from arssr.cli.place import place
from arssr.jobs.cluster import Dask, Slurm
from arssr.jobs.local import Local


def test_each_place() -> None:
    assert place(1, None, False, None) == Local(1)
    assert place(4, None, False, None) == Local(4)
    assert place(1, "tcp://node:8786", False, None) == Dask("tcp://node:8786")
    assert place(8, None, True, []) == Slurm(8, {})


def test_values_of_slurm_options_have_their_types() -> None:
    options = ["cores=8", "memory=32GB", "walltime=12:30:00", 'worker_extra_args=["--a", "b=c"]']
    assert place(2, None, True, options) == Slurm(
        2,
        {
            "cores": 8,
            "memory": "32GB",
            "walltime": "12:30:00",
            "worker_extra_args": ["--a", "b=c"],
        },
    )


@pytest.mark.parametrize("option", ["cores", "=8"])
def test_what_is_no_key_and_value(option: str) -> None:
    with pytest.raises(typer.BadParameter, match="--slurm-option"):
        place(1, None, True, [option])
