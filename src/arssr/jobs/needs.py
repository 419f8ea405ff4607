"""What a job would take, in words."""

from collections.abc import Mapping
from typing import Any

from arssr.files import bytes_in_words


def needs_in_words(facts: Mapping[str, Any], at_most: str = "") -> list[str]:
    """Memory, disk and time in words; memory and time are a network's, where one has a part."""
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
