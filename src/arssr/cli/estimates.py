"""`--dry-run`: what jobs would take, each and together, in words."""

from typing import TYPE_CHECKING, Any

from arssr.cli.console import complain, size_in_words, stderr, tell_making, tell_passed_over

if TYPE_CHECKING:
    from concurrent.futures import Future

    from arssr.api import Model
    from arssr.job import Job
    from arssr.volume import Volume


def estimates(
    model: "Model", jobs: "list[Job]", *, pass_over: bool = False
) -> list[dict[str, Any]]:
    """What each job would take, told of as it is known; nothing is computed or written.

    pass_over: a scan that wants a target is passed over, not an error.
    """
    from arssr.pipeline import reading_ahead

    results: list[dict[str, Any]] = []
    for job, scan in reading_ahead(jobs):
        try:
            results.append(_estimate(model, job, scan))
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


def _estimate(model: "Model", job: "Job", scan: "Future[Volume]") -> dict[str, Any]:
    """A line about what one job would take."""
    from arssr.files import bytes_in_words
    from arssr.running import estimate

    facts = estimate(model, job, scan)
    memory, disk = facts["memory_bytes"]["peak"], facts["disk_bytes"]
    line = (
        f"{job.destination}  {size_in_words(facts)}  {bytes_in_words(memory)} of memory  "
        f"up to {bytes_in_words(disk)} of disk  about {_seconds_in_words(facts)}"
    )
    stderr.print(line, markup=False, soft_wrap=True)
    tell_making(job.source, facts)
    if facts["exists"]:
        there = ", ".join(facts["exists"])
        line = f"exists already: {there}; --overwrite replaces it"
        stderr.print(line, markup=False, soft_wrap=True)
    return facts


def _tell_sum(done: list[dict[str, Any]]) -> None:
    """A line about what they would take together; of the memory, the most that one would."""
    from arssr.files import bytes_in_words

    if not done:
        return
    disk = sum(facts["disk_bytes"] for facts in done)
    memory = max(facts["memory_bytes"]["peak"] for facts in done)
    together = {
        name: sum(facts[name] for facts in done if name in facts)
        for name in ("seconds", "report_seconds")
    }
    line = (
        f"together: {len(done)} scans  {bytes_in_words(memory)} of memory at most  "
        f"up to {bytes_in_words(disk)} of disk  about {_seconds_in_words(together)}"
    )
    stderr.print(line, markup=False, soft_wrap=True)


def _seconds_in_words(facts: dict[str, Any]) -> str:
    report = facts.get("report_seconds")
    besides = f" and {seconds_in_words(report)} for the report" if report else ""
    return seconds_in_words(facts["seconds"]) + besides


def seconds_in_words(seconds: float) -> str:
    """A time as a person says it, to two digits or to the second.

    >>> [seconds_in_words(s) for s in (0.034, 5.26, 59.7, 310, 7260)]
    ['0.034 s', '5.3 s', '1 min', '5 min 10 s', '2 h 1 min']
    """
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    large, small, units = (*divmod(whole, 60), ("min", "s"))
    if large >= 60:
        large, small, units = (*divmod(round(seconds / 60), 60), ("h", "min"))
    return f"{large} {units[0]}" + (f" {small} {units[1]}" if small else "")
