"""`--dry-run`: what jobs would take, each and together, in words."""

from typing import TYPE_CHECKING, Any

from arssr.cli.console import complain, size_in_words, stderr, tell_making, tell_passed_over
from arssr.jobs.needs import needs_in_words

if TYPE_CHECKING:
    from concurrent.futures import Future

    from arssr.api import Model
    from arssr.jobs.job import Job
    from arssr.volume import Volume


def estimates(
    model: "Model | None", jobs: "list[Job]", *, pass_over: bool = False
) -> list[dict[str, Any]]:
    """What each job would take, told of as it is known; nothing is computed or written.

    pass_over: a scan that wants a target is passed over, not an error.
    """
    from arssr.jobs.pipeline import doing_ahead

    results: list[dict[str, Any]] = []
    for job, scan in doing_ahead(lambda job: job.read(), jobs):
        try:
            results.append(_estimate(model, job, scan, several=len(jobs) > 1))
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
    parts = [str(job.destination), size_in_words(facts), *needs_in_words(facts)]
    stderr.print("  ".join(parts), markup=False, soft_wrap=True)
    tell_making(job.source, facts, several=several)
    if job.request.is_transformed and "method" not in facts:
        stderr.print("memory and time are not estimated where a transform leads elsewhere")
    if facts["exists"]:
        there = ", ".join(facts["exists"])
        line = f"exists already: {there}; --overwrite replaces it"
        stderr.print(line, markup=False, soft_wrap=True)
    return facts


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
    count = counted(len(done), "scan")
    line = "  ".join([f"together: {count}", *needs_in_words(together, at_most=" at most")])
    stderr.print(line, markup=False, soft_wrap=True)
