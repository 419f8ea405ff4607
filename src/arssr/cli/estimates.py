"""`--dry-run`: what jobs would take, each and together, in words."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from arssr.cli.console import (
    complain,
    size_in_words,
    stderr,
    tell_making,
    tell_merged,
    tell_passed_over,
)
from arssr.jobs.needs import needs_in_words

if TYPE_CHECKING:
    from concurrent.futures import Future

    from arssr.api import Model
    from arssr.jobs.job import Job
    from arssr.jobs.merging import AnyJob, MergeJob
    from arssr.volume import Volume


def estimates(
    model: "Model | None", jobs: "Sequence[AnyJob]", *, pass_over: bool = False
) -> list[dict[str, Any]]:
    """What each job would take, told of as it is known; nothing is computed or written.

    model: None will do for labels.
    pass_over: a scan that wants a target is passed over, not an error.
    """
    from arssr.jobs.job import Job
    from arssr.jobs.merging import MergeJob
    from arssr.jobs.pipeline import doing_ahead

    results: list[dict[str, Any]] = []
    single = doing_ahead(lambda job: job.read(), [job for job in jobs if isinstance(job, Job)])
    several = len(jobs) > 1
    for job in jobs:
        try:
            if model is not None and isinstance(job, MergeJob):
                results.append(merge_estimate(model, job))
            else:
                results.append(_estimate(model, *next(single), several))
        except Exception as error:
            failed = job.failed(error)
            if pass_over and failed.pop("needs_target", False):
                failed["passed_over"] = failed.pop("error")
                tell_passed_over(failed["passed_over"])
            else:
                complain(failed["error"])
            results.append(failed)
    if len(jobs) > 1:
        _tell_sum([result for result in results if "disk_bytes" in result])
    return results


def _estimate(
    model: "Model | None", job: "Job", scan: "Future[Volume]", several: bool
) -> dict[str, Any]:
    """A line about what one job would take."""
    from arssr.jobs.running import estimate

    facts = estimate(model, job, scan)
    _tell_needs(facts)
    tell_making(job.source, facts, several=several)
    if job.request.is_transformed and "method" not in facts:
        stderr.print("memory and time are not estimated where a transform leads elsewhere")
    _tell_existing(facts)
    return facts


def merge_estimate(model: "Model", job: "MergeJob") -> dict[str, Any]:
    """A line about what merging would take, and one about which scans become one image."""
    from arssr.jobs.merging import estimate_merge

    facts = estimate_merge(model, job)
    _tell_needs(facts)
    if not job.separate:
        tell_merged(facts["scans"])
    tell_making(job.source, facts)
    _tell_existing(facts)
    return facts


def _tell_needs(facts: Mapping[str, Any]) -> None:
    parts = [facts["result"], size_in_words(facts), *needs_in_words(facts)]
    stderr.print("  ".join(parts), markup=False, soft_wrap=True)


def _tell_existing(facts: Mapping[str, Any]) -> None:
    if facts["exists"]:
        there = ", ".join(facts["exists"])
        line = f"exists already: {there}; --overwrite replaces it"
        stderr.print(line, markup=False, soft_wrap=True)


def _tell_sum(done: list[dict[str, Any]]) -> None:
    """A line about what they would take together; of the memory, the most that one would."""
    if not done:
        return
    from arssr.files import counted

    together: dict[str, Any] = {
        name: sum(facts[name] for facts in done if name in facts)
        for name in ("disk_bytes", "seconds", "report_seconds")
    }
    peaks = [facts["memory_bytes"]["peak"] for facts in done if "memory_bytes" in facts]
    if peaks:
        together["memory_bytes"] = {"peak": max(peaks)}
    count = counted(len(done), "result" if any("scans" in facts for facts in done) else "scan")
    line = "  ".join([f"together: {count}", *needs_in_words(together, at_most=" at most")])
    stderr.print(line, markup=False, soft_wrap=True)
