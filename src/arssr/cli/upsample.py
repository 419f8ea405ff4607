"""`arssr upsample`: scans in, sharper scans out."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from arssr.cli.console import complain, print_json, progress_bar, stderr
from arssr.cli.numbers import number_of_bytes, number_or_word, numbers, three_or_one, whole_numbers
from arssr.errors import ArSSRError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from arssr.api import Model
    from arssr.job import Job
    from arssr.volume import Volume


def upsample(
    images: Annotated[list[Path], typer.Argument(help="Scans, or folders of scans.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The file to write; for several scans, the folder.")
    ],
    scale: Annotated[
        str | None, typer.Option(metavar="K | K K K", help="Output voxels per input voxel.")
    ] = None,
    spacing: Annotated[
        str | None, typer.Option(metavar="MM | MM MM MM", help="Voxel size of the result.")
    ] = None,
    shape: Annotated[
        str | None, typer.Option(metavar="I J K", help="Voxels of the result, same field of view.")
    ] = None,
    like: Annotated[
        Path | None, typer.Option(help="An image whose grid the result shall have.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Shipped weights by name, a .safetensors or .pkl.")
    ] = "light",
    acquisition: Annotated[
        Literal["auto", "kspace", "slice", "spline", "unknown"],
        typer.Option(
            help="How the scan was made; auto: slice along an axis clearly thicker than the "
            "others, else kspace."
        ),
    ] = "auto",
    noise: Annotated[
        str, typer.Option(help="Noise level in units of the scan, auto (estimated) or unknown.")
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …")] = "auto",
    precision: Annotated[
        Literal["auto", "bf16", "float32"], typer.Option(help="Arithmetic of the network.")
    ] = "auto",
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Memory to take at most, such as 4GB; else 60 % of what is free."
        ),
    ] = None,
    no_skip: Annotated[
        bool, typer.Option("--no-skip", help="Compute air too; otherwise it is interpolated.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only say what it would take: output, memory, disk, seconds."
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    report: Annotated[
        bool,
        typer.Option("--report", help="Beside each result a page: input, cubic and result."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Describe the results on standard output.")
    ] = False,
) -> None:
    """Super-resolve scans to a scale, a spacing, a shape or another image's grid.

    Each result has a JSON sidecar that says how it was made.
    """
    from arssr.files import find_images

    target = _target(scale, spacing, shape, like)
    level = number_or_word("--noise", noise, ("auto", "unknown"))
    most = None if memory is None else number_of_bytes("--memory", memory)
    places = _places(find_images(images), out, any(p.is_dir() for p in images) or len(images) > 1)
    from arssr.api import load_model
    from arssr.job import Job, reading_ahead

    network = load_model(model, device, precision)
    options = {"acquisition": acquisition, "noise": level}
    jobs = [
        Job(source, destination, target, options, overwrite, report, most, not no_skip)
        for source, destination in places
    ]
    results: list[dict[str, Any]] = []
    failures = 0
    for job, scan in reading_ahead(jobs):
        try:
            results.append(_estimate(network, job, scan) if dry_run else _run(network, job, scan))
        except (ArSSRError, OSError, MemoryError) as error:
            failures += 1
            sentence = str(error) or f"{job.source}: out of memory"
            complain(sentence)
            results.append({"scan": str(job.source), "error": sentence})
    if as_json:
        print_json(results)
    if failures and len(jobs) > 1:
        stderr.print(f"{len(jobs) - failures} of {len(jobs)} done, {failures} failed")
    if failures:
        raise typer.Exit(1)


def _target(
    scale: str | None, spacing: str | None, shape: str | None, like: Path | None
) -> dict[str, Any]:
    """The one target that was given, as `Model.upsample` takes it."""
    given = {"scale": scale, "spacing": spacing, "shape": shape, "like": like}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise typer.BadParameter("name one target: --scale, --spacing, --shape or --like")
    if scale is not None:
        return {"scale": three_or_one(numbers("--scale", scale))}
    if spacing is not None:
        return {"spacing": three_or_one(numbers("--spacing", spacing))}
    if shape is not None:
        return {"shape": whole_numbers("--shape", shape)}
    return {"like": like}


def _places(sources: list[Path], out: Path, many: bool) -> list[tuple[Path, Path]]:
    """What is read and what is written for it."""
    jobs = _into_folder(sources, out) if many or out.is_dir() else [(sources[0], out)]
    scans = {source.resolve() for source in sources}
    for _, destination in jobs:
        if destination.resolve() in scans:
            raise ArSSRError(f"{destination} is the scan itself; name another place to write to")
    return jobs


def _into_folder(sources: list[Path], out: Path) -> list[tuple[Path, Path]]:
    from arssr.files import IMAGE_SUFFIXES, sidecar, stem

    if out.name.lower().endswith(IMAGE_SUFFIXES) or out.is_file():
        raise ArSSRError(f"several scans need a folder to be written to, not the file {out}")
    jobs = []
    for source in sources:
        name = stem(source)
        jobs.append((source, out / f"{name}_SR{source.name[len(name) :]}"))
    names = Counter(sidecar(d).with_suffix("") for _, d in jobs)  # a.nii and a.nii.gz share one
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise ArSSRError(f"two scans would both be written to {min(twice)}; rename one")
    return jobs


def _run(model: "Model", job: "Job", scan: "Future[Volume]") -> dict[str, Any]:
    """One job, with a progress bar and a line at its end."""
    from arssr.job import run

    with progress_bar() as bar:
        task = bar.add_task(f"{job.source.name}: reading", total=1.0)

        def on_progress(what: str, share: float) -> None:
            bar.update(task, description=f"{job.source.name}: {what}", completed=share)

        facts = run(model, job, scan, on_progress)
    line = f"{job.destination}  {_size(facts)}  {facts['seconds']:.1f} s"
    stderr.print(line, markup=False, soft_wrap=True)
    if job.report and job.page.exists():
        stderr.print(f"report: {job.page}", markup=False, soft_wrap=True)
    return facts


def _estimate(model: "Model", job: "Job", scan: "Future[Volume]") -> dict[str, Any]:
    """A line about what one job would take."""
    from arssr.files import bytes_in_words
    from arssr.job import estimate

    facts = estimate(model, job, scan)
    memory, disk = facts["memory_bytes"]["peak"], facts["disk_bytes"]
    line = (
        f"{job.destination}  {_size(facts)}  {bytes_in_words(memory)} of memory  "
        f"up to {bytes_in_words(disk)} of disk  about {facts['seconds']:.2g} s"
    )
    stderr.print(line, markup=False, soft_wrap=True)
    return facts


def _size(facts: dict[str, Any]) -> str:
    """The output's voxels in words."""
    grid = facts["output"]
    size = "×".join(map(str, grid["shape"]))
    spacing = "×".join(f"{mm:.4g}" for mm in grid["spacing_mm"])
    return f"{size} voxels of {spacing} mm"
