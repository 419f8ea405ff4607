"""Which rows praise weights for what they were trained on."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from arssr.evaluation.methods import Method, ModelMethod
from arssr.evaluation.rows import Row
from arssr.identity import is_among
from arssr.survey import Seen


def with_taught_marked(
    rows: Iterable[Row], methods: Iterable[Method], images: Sequence[Seen]
) -> list[Row]:
    """The rows, `trained_on` where a method's card lists the volume, by its file or its samples."""
    taught = {
        (method.name, image.sha256)
        for method in methods
        if isinstance(method, ModelMethod)
        for image in images
        if is_among(method.images, image.sha256, image.samples_sha256)
    }
    return [replace(r, trained_on=(r.method, r.volume_sha256) in taught) for r in rows]


def told_of_taught(rows: Iterable[Row]) -> list[str]:
    """A sentence for each method that was trained on some of the volumes."""
    seen: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.trained_on:
            seen.setdefault(row.method, {})[row.volume] = None
    return [
        f"{method} was trained on {', '.join(volumes)}: what it does there says nothing about "
        "other scans"
        for method, volumes in seen.items()
    ]
