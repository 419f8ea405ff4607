"""What is done already and need not be done again."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from arssr.errors import ArSSRError
from arssr.files import sha256, sidecar
from arssr.formats.bids import read_json
from arssr.jobs.job import Job
from arssr.jobs.merging import AnyJob
from arssr.temporary import under_way

NO_REPORT: Final = "no_report"  # in a sidecar: why there is none, though it was asked for


def is_done(job: AnyJob, weights: str | None, made: Mapping[str, Any]) -> bool:
    """Whether the result is there, from the same samples by the same weights and options, and the
    half-widths and the report, if they are wanted and there is anything to show.

    weights: their SHA-256; None without a network. made: what the sidecar says of the making.
    Raises ArSSRError where the result is there, but from others.
    """
    return job.destination.exists() and _is_same(job, weights, made) and _is_whole(job, made)


def what_is_left(job: Job, weights: str | None) -> Job | None:
    """The job as it has to be done yet; None where it is done.

    Raises ArSSRError as `is_done` does. Only what we made is replaced: where its sidecar says so,
    or was about to be written when its process was killed. Else the job is refused, when it is run.
    """
    if not job.destination.exists():
        return job
    if not sidecar(job.destination).is_file():
        return replace(job, overwrite=True) if under_way(sidecar(job.destination)) else job
    made = read_json(sidecar(job.destination))
    if not _is_same(job, weights, made):
        return job
    return None if _is_whole(job, made) else replace(job, overwrite=True)


def _is_whole(job: AnyJob, made: Mapping[str, Any]) -> bool:
    """Whether what belongs to the result is there, too."""
    has_page = not job.report or job.page.exists() or NO_REPORT in made
    return has_page and all(image.exists() for image in job.images)


def _is_same(job: AnyJob, weights: str | None, made: Mapping[str, Any]) -> bool:
    """Whether `made` is what a run of this job writes; False where it is no such thing at all."""
    scans = "the scan" if len(job.sources) == 1 else "the scans"
    try:
        inputs = [each["sha256"] for each in made.get("inputs", [made["input"]])]
        changed = {
            scans: inputs != [sha256(source) for source in job.sources],
            "the weights": made.get("model", {}).get("sha256") != weights,
            "the options": _anywhere(made["options"]) != _anywhere(job.asked),
        }
    except (KeyError, TypeError, AttributeError):
        return False  # cut off before its end, or about something else
    if what := [name for name, is_other in changed.items() if is_other]:
        raise ArSSRError(
            f"{job.destination} was made before {' and '.join(what)} changed; --overwrite makes it "
            "again"
        )
    return True


def _anywhere(options: Mapping[str, Any]) -> Any:
    """As a sidecar has them, files by the path that they have in whichever folder."""
    plain = json.loads(json.dumps(dict(options)))
    if "like" in plain:
        plain["like"] = str(Path(plain["like"]).absolute())
    if "transform" in plain:
        plain["transform"] = [str(Path(path).absolute()) for path in plain["transform"]]
    return plain
