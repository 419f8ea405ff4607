"""Options that several commands take, and the target that some of them name."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from arssr.cli.numbers import numbers, three_or_one, whole_numbers
from arssr.errors import ArSSRError

if TYPE_CHECKING:
    from arssr.target import Target

Scale = Annotated[
    str | None, typer.Option(metavar="K | K K K", help="Output voxels per input voxel.")
]
Spacing = Annotated[
    str | None, typer.Option(metavar="MM | MM MM MM", help="Voxel size of the result.")
]
ModelName = Annotated[
    str, typer.Option("--model", "-m", help="Shipped weights by name, a .safetensors or .pkl.")
]
Acquisition = Annotated[
    Literal["auto", "kspace", "slice", "spline", "unknown"],
    typer.Option(
        help="How the scan was made; auto: slice along an axis clearly thicker than the "
        "others, else kspace; slices with gaps as the weights have seen them."
    ),
]
Noise = Annotated[
    str, typer.Option(help="Noise level in units of the scan, auto (estimated) or unknown.")
]


def _ensemble(members: int) -> int:
    """A usage error for what is no ensemble."""
    if members != 1:
        from arssr.ensemble import flips

        try:
            flips(members)
        except ArSSRError as error:
            raise typer.BadParameter(str(error)) from None
    return members


Ensemble = Annotated[
    int,
    typer.Option(
        metavar="1 | 4 | 8",
        callback=_ensemble,
        help="4 or 8: the mean over so many flips of the scan, in so many times the time.",
    ),
]
AsStored = Annotated[
    bool,
    typer.Option(
        "--as-stored",
        help="Take a scan as it is stored, even where it was measured on larger voxels.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …")]
Precision = Annotated[
    Literal["auto", "bf16", "fp16", "float32"],
    typer.Option(help="Arithmetic of the network; fp16 on a GPU only."),
]
ResultsAsJson = Annotated[
    bool, typer.Option("--json", help="Describe the results on standard output.")
]


def target_of(**given: Any) -> "Target":
    """The target that was given (is not None), or the open one.

    A usage error where there is more than one, and for what are no numbers.
    """
    from arssr.target import Target

    named = {name: value for name, value in given.items() if value is not None}
    if not named:
        return Target()
    if len(named) > 1:
        *others, last = (f"--{name}" for name in given)
        raise typer.BadParameter(f"name one target: {', '.join(others)} or {last}")
    [(name, value)] = named.items()
    if name in ("scale", "spacing"):
        value = three_or_one(numbers(f"--{name}", value))
    if name == "shape":
        value = whole_numbers("--shape", value)
    return Target(**{name: value})
