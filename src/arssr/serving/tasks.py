"""What worker processes do for the page; all that reads an image happens here."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from arssr.api import Model
from arssr.errors import ArSSRError
from arssr.field import ReportProgress
from arssr.files import is_series, replacing, sidecar
from arssr.formats import meta, nrrd
from arssr.formats.bids import read_json
from arssr.formats.dicom import contents
from arssr.formats.kind import INTENSITIES
from arssr.formats.writing import Origin
from arssr.grid import shape_in_words, spacing_in_words
from arssr.interpolation import resample
from arssr.jobs.about import about
from arssr.jobs.batch import ModelRef, model_of
from arssr.jobs.job import Job
from arssr.jobs.needs import needs_in_words
from arssr.jobs.provenance import write_sidecar
from arssr.jobs.running import estimate, run, write_page
from arssr.noise import estimate_noise
from arssr.resolution import measure_resolution
from arssr.upsampling.facts import Facts
from arssr.upsampling.room import require_memory
from arssr.upsampling.words import method_in_words
from arssr.viewing.verdict import of_scan, sentences
from arssr.volume import Volume, grid_of, open_frames, open_writer, read_quietly
from arssr.weights.limits import unseen_slices
from arssr.weights.words import valid_in_words

# Times 5 bytes of a voxel. Processes grew by 8 bytes for each voxel of a scan of 256³ or 320³ that
# they looked at, and by 12 as an estimate was made for it, which comes next; by 6 for each voxel of
# the result that a cubic one was made beside, and by 8 for one that became a series.
_LOOK_COPIES, _COPIES = 3, 2


def require_one_file(path: Path, _progress: ReportProgress) -> None:
    """Refuse an upload whose header names other files, which would be read from this machine.

    Raises ArSSRError, and what damaged headers do.
    """
    checks = {".nrrd": nrrd.is_one_file, ".mha": meta.is_one_file}
    check = checks.get(path.suffix)
    if check is not None and not check(path):
        raise ArSSRError(f"{path}: its header names another file; put its samples into one file")


def look(
    network: ModelRef,
    path: Path,
    series: str | None,
    shown: Path,
    memory: float | None,
    _progress: ReportProgress,
) -> dict[str, Any]:
    """What is known of a scan; its first frame is written to `shown` (float32 NIfTI).

    Of several DICOM images only what there is to choose from (`images`). memory: bytes that this
    process may take in all, see `require_memory`. Raises ArSSRError as `Volume.read` does, and for
    a scan that is too large to be looked at.
    """
    if series is None and is_series(path) and len(images := contents(path)) > 1:
        listed = [{"in_words": str(image), **image.describe()} for image in images]
        return {"images": listed}
    with open_frames(path, series) as frames:
        instead = "cut it to what is of interest, or allow more (--memory)"
        require_memory(frames.grid, _LOOK_COPIES, memory, "a scan", instead)
        count, volume = len(frames), frames.frame(0)
    volume.stored_as("float32").write(shown, overwrite=True)
    resolution = measure_resolution(volume)
    words = [
        f"{shape_in_words(volume.grid.shape)} voxels of {spacing_in_words(volume.grid.spacing_mm)}."
    ]
    if count > 1:
        words.append(f"{count} frames, of which the first is shown.")
    if volume.slices:
        words.append(f"It has {volume.slices}.")
    card = model_of(network).card
    facts = {**about(volume, card, resolution), "frames": count, "noise": None}
    if volume.kind.what == INTENSITIES:
        facts["noise"] = estimate_noise(volume, resolution)
        known = {"noise": facts["noise"], "options": {"noise": "auto"}}
        words += of_scan(volume, resolution, known)
    else:
        words.append(f"It {volume.kind.taken()}.")
    words += sentences(unseen_slices(card, volume.slices))
    return _plain({**facts, "in_words": words})


def get_ready(network: ModelRef, _progress: ReportProgress) -> None:
    """Load what every result needs."""
    model_of(network)


def foresee(network: ModelRef, job: Job, _progress: ReportProgress) -> dict[str, Any]:
    """What a job would take, as `arssr upsample --dry-run` says it; raises ArSSRError likewise."""
    model = _model_for(network, job)
    facts = estimate(model, job)
    valid = model.card.get("valid", {}) if model else {}
    paths = ("scan", "result", "exists")
    known = {name: value for name, value in facts.items() if name not in paths}
    words = {
        "in_words": needs_in_words(facts),
        "trained_for": valid_in_words(valid) if valid else "",
    }
    return _plain({**known, **words})


def upsample(
    network: ModelRef, job: Job, called: str, like: str, progress: ReportProgress
) -> dict[str, Any]:
    """Do the job; returns what its sidecar says.

    called, like: the names of the scan, and of the image whose grid is taken, in the sidecar.
    """
    made: dict[str, Any] = {**run(_model_for(network, job), job, progress)}
    facts = {name: value for name, value in made.items() if name not in ("scan", "result")}
    facts["input"] = {**facts["input"], "file": called}
    if like:
        facts["options"] = {**facts["options"], "like": like}
    write_sidecar(job.destination, facts)
    return _plain(facts)


def cubic(job: Job, path: Path, _progress: ReportProgress) -> None:
    """Cubic interpolation of the scan (of its first frame) on the grid of the result."""
    grid = grid_of(job.destination)
    require_memory(grid, _COPIES, job.request.memory)
    with open_frames(job.source, job.series) as frames:
        scan = frames.frame(0)
    resample(scan, grid).stored_as("float32").write(path, overwrite=True)


def report(network: ModelRef, job: Job, called: str, _progress: ReportProgress) -> None:
    """Write the report of a job that is done. Raises ArSSRError where there is none."""
    facts = cast(Facts, read_json(sidecar(job.destination)))
    model = _model_for(network, job)
    card = model.card if model else {}
    if reason := write_page(job, job.read(), facts, card, called=called):
        raise ArSSRError(reason)


def dicom(job: Job, archive: Path, _progress: ReportProgress) -> None:
    """Write the result as a derived series to an archive (.zip).

    Raises ArSSRError where the scan is no DICOM, or the series cannot be written.
    """
    method = method_in_words(read_json(sidecar(job.destination)))
    origin = Origin(job.source, job.series, method)
    require_memory(grid_of(job.destination), _COPIES, job.request.memory)
    made: Volume = read_quietly(job.destination)
    series = archive.with_name("derived.dicom")
    try:
        with open_writer(series, made, made.grid, overwrite=True, origin=origin) as writer:
            writer.put(made.data)
        with replacing(archive) as temporary:
            shutil.make_archive(str(temporary.with_suffix("")), "zip", series)
    finally:
        shutil.rmtree(series, ignore_errors=True)


def _model_for(network: ModelRef, job: Job) -> Model | None:
    return None if job.request.labels else model_of(network)


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """As browsers read JSON, which has neither NaN nor infinities: null for these."""
    plain: dict[str, Any] = json.loads(json.dumps(facts), parse_constant=lambda _: None)
    return plain
