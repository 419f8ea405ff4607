"""Options that several commands take, and the target that some of them name."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from arssr.cli.numbers import number_of_bytes, numbers, three_or_one, whole_numbers
from arssr.cli.session import PANEL
from arssr.errors import ArSSRError

if TYPE_CHECKING:
    from arssr.merging.interleaves import Asked
    from arssr.upsampling.target import Target

# The groups of options in the help.
TARGET = "Where the result shall lie (at most one; else thick slices alone)"
SCAN = "What the scan is"
RESULT = "What is made of it"
NETWORK = "The network"

Scale = Annotated[
    str | None,
    typer.Option(
        metavar="K | K K K", help="Output voxels per input voxel.", rich_help_panel=TARGET
    ),
]
Spacing = Annotated[
    str | None,
    typer.Option(metavar="MM | MM MM MM", help="Voxel size of the result.", rich_help_panel=TARGET),
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="Shipped weights by name (arssr models), a .safetensors or .pkl.",
        rich_help_panel=NETWORK,
    ),
]


def _acquisition(words: str) -> str | tuple[str, ...]:
    """The name that networks know, or three, of what may be a clinician's."""
    first, *others = [word.strip() for word in words.lower().split(",")]
    if (first, others) == ("auto", []):
        return first
    from arssr.scan import as_acquisition, require_acquisition

    told = as_acquisition([first, *others] if others else first)
    try:
        require_acquisition(told)
    except ArSSRError as error:
        raise typer.BadParameter(str(error)) from None
    return told


# For Typer a word; the callback makes three names of what has commas.
Acquisition = Annotated[
    str,
    typer.Option(
        metavar="NAME | NAME,NAME,NAME",
        callback=_acquisition,
        help="How the scan was made: auto, 2D, 3D, spline or unknown, for all axes or for i, j and "
        "k (3D,3D,2D). 2D: multi-slice, averaged "
        "over the thickness (slice); 3D: encoded along all axes (kspace); spline: samples of "
        "something finer, as of thin slices with wide gaps. auto: 2D along an axis clearly thicker "
        "than the others, else 3D; slices with gaps as the weights have seen them.",
        rich_help_panel=SCAN,
    ),
]
Noise = Annotated[
    str,
    typer.Option(
        metavar="auto | unknown | SIGMA",
        help="Standard deviation of the noise in units of the scan; auto: estimated.",
        rich_help_panel=SCAN,
    ),
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
        rich_help_panel=NETWORK,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace existing files.", rich_help_panel=RESULT),
]
AsStored = Annotated[
    bool,
    typer.Option(
        "--as-stored",
        help="Take a scan as it is stored, even where it was measured on larger voxels.",
        rich_help_panel=SCAN,
    ),
]
EvenSlices = Annotated[
    bool,
    typer.Option(
        "--even-slices",
        help="First even slices that differ in brightness from their neighbours.",
        rich_help_panel=SCAN,
    ),
]
Interleaves = Annotated[
    str | None,
    typer.Option(
        metavar="N | auto",
        help="The person moved while a scan of 2D slices was made: find how its slices 0, N, "
        "2N, … lie, then 1, N + 1, …; auto finds N, or the passes that headers tell. Scans in "
        "other directions tell.",
        rich_help_panel=SCAN,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …", rich_help_panel=NETWORK)]
Precision = Annotated[
    Literal["auto", "bf16", "fp16", "float32"],
    typer.Option(help="Arithmetic; fp16 on a GPU only.", rich_help_panel=NETWORK),
]
Isotropic = Annotated[
    bool,
    typer.Option(
        "--isotropic",
        help="The scan's finest stored spacing along all axes.",
        rich_help_panel=TARGET,
    ),
]
Uncertainty = Annotated[
    bool,
    typer.Option(
        "--uncertainty",
        help="Beside each result an image NAME_uncertainty: half-widths of intervals that hold the "
        "truth with a probability of 90 %. See docs/uncertainty.md.",
        rich_help_panel=RESULT,
    ),
]
Consistent = Annotated[
    bool,
    typer.Option(
        "--consistent",
        help="Measured again along the axes that it refines, the result shall give the scan "
        "back, as it is stored, up to its noise.",
        rich_help_panel=RESULT,
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Every warning is an error: scales, voxels and gaps that the weights were not "
        "trained for, files that contradict themselves, images that look like labels or "
        "phase.",
        rich_help_panel=RESULT,
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory to take at most, such as 4GB; else 60 % of what is free.",
        rich_help_panel=PANEL,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Only say what it would take: output, memory, disk, time.",
        rich_help_panel=PANEL,
    ),
]
DRY_ELSEWHERE = "--dry-run estimates this process; leave out where to compute"
SkipUnusable = Annotated[
    bool,
    typer.Option("--skip-unusable", help="Leave out images that cannot be used, with a warning."),
]
ResultsAsJson = Annotated[
    bool,
    typer.Option("--json", help="Describe the results on standard output.", rich_help_panel=PANEL),
]


def bytes_of(memory: str | None) -> float | None:
    """What --memory says in bytes, if it says anything."""
    return None if memory is None else number_of_bytes("--memory", memory)


def interleaves_of(text: str | None) -> "Asked | None":
    """What --interleaves says, if it says anything; a usage error for what it does not take."""
    if text is None:
        return None
    if text == "auto":
        return "auto"
    if not text.isdecimal():
        raise typer.BadParameter(f"--interleaves takes a whole number or auto, not {text!r}")
    return int(text)


def target_of(**given: Any) -> "Target":
    """The target that was given (is not None), or the open one.

    A usage error where there is more than one, and for what are no numbers.
    """
    from arssr.upsampling.target import Target

    named = {name: value for name, value in given.items() if value is not None}
    if not named:
        return Target()
    if len(named) > 1:
        names = " and ".join(f"--{name}" for name in named)
        raise typer.BadParameter(f"name one target alone, not {names}")
    [(name, value)] = named.items()
    if name in ("scale", "spacing"):
        value = three_or_one(numbers(f"--{name}", value))
    if name == "shape":
        value = whole_numbers("--shape", value)
    return Target(**{name: value})
