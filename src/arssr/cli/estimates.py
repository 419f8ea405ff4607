"""`--dry-run`: what jobs would take, each and together, in words."""

from typing import TYPE_CHECKING, Any

from arssr.cli.console import complain, size_in_words, stderr, tell_making, tell_passed_over

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
    parts = [str(job.destination), size_in_words(facts), *_needs(facts)]
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
    together: dict[str, Any] = {
        name: sum(facts[name] for facts in done if name in facts)
        for name in ("disk_bytes", "seconds", "report_seconds")
    }
    peaks = [facts["memory_bytes"]["peak"] for facts in done if "memory_bytes" in facts]
    if peaks:
        together["memory_bytes"] = {"peak": max(peaks)}
    count = f"{len(done)} scan{'s' if len(done) > 1 else ''}"
    line = "  ".join([f"together: {count}", *_needs(together, at_most=" at most")])
    stderr.print(line, markup=False, soft_wrap=True)


def _needs(facts: dict[str, Any], at_most: str = "") -> list[str]:
    """Memory, disk and time in words; memory and time are a network's, where one has a part."""
    from arssr.files import bytes_in_words

    disk = f"up to {bytes_in_words(facts['disk_bytes'])} of disk"
    report = facts.get("report_seconds")
    besides = [f"{seconds_in_words(report)} for the report"] if report else []
    if "memory_bytes" not in facts:
        return [disk, *(f"about {spent}" for spent in besides)]
    memory = f"{bytes_in_words(facts['memory_bytes']['peak'])} of memory{at_most}"
    spent = " and ".join([seconds_in_words(facts["seconds"]), *besides])
    return [memory, disk, f"about {spent}"]


def seconds_in_words(seconds: float) -> str:
    """A time as a person says it, to two digits or to the second.

    >>> [seconds_in_words(s) for s in (0.034, 5.26, 59.7, 310, 7260, 2.5e6)]
    ['0.034 s', '5.3 s', '1 min', '5 min 10 s', '2 h 1 min', '28 d 22 h']
    """
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    large, small, units = (*divmod(whole, 60), ("min", "s"))
    if large >= 60:
        large, small, units = (*divmod(round(seconds / 60), 60), ("h", "min"))
        if large >= 48:
            large, small, units = (*divmod(round(seconds / 3600), 24), ("d", "h"))
    return f"{large} {units[0]}" + (f" {small} {units[1]}" if small else "")
