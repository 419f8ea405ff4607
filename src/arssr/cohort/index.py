"""The group level of a BIDS App: one page that lists what was done and what failed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from arssr.cohort.derivatives import Derivatives, Result
from arssr.cohort.names import BIDSName
from arssr.files import replacing
from arssr.grid import spacing_in_words
from arssr.pages import render

INDEX = "index.html"


@dataclass
class _Subject:
    results: list[dict[str, Any]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)


def write_index(derivatives: Derivatives) -> Path:
    """Write `index.html` from the sidecars and the notes of failures; returns its path.

    Raises ArSSRError where it cannot be written or a sidecar cannot be read.
    """
    subjects: dict[str, _Subject] = {}
    results, failures = derivatives.results(), derivatives.failures()
    for result in results:
        subject = subjects.setdefault(result.name.entities["sub"], _Subject())
        subject.results.append(_row(result, derivatives.root))
    for name, error in failures:
        subject = subjects.setdefault(name.entities["sub"], _Subject())
        subject.failures.append((_short(name), error))
    page = render(
        "index.html.j2",
        ("arssr.cohort", "arssr.evaluation"),
        title=derivatives.source.description.get("Name", derivatives.root.resolve().name),
        subjects=dict(sorted(subjects.items())),
        done=len(results),
        failed=len(failures),
        seconds=sum(result.made["seconds"] for result in results),
        weights=sorted({r.made["model"]["name"] for r in results if "method" not in r.made}),
        made=f"{datetime.now():%Y-%m-%d %H:%M}",
        version=version("arssr"),
    )
    path = derivatives.root / INDEX
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _row(result: Result, root: Path) -> dict[str, Any]:
    def link(path: Path) -> str:
        return quote(path.relative_to(root).as_posix())

    return {
        "name": _short(result.name),
        "before": _grid_in_words(result.made["input"]),
        "after": _grid_in_words(result.made["output"]),
        "seconds": result.made["seconds"],
        "device": result.made.get("method", f"{result.made['device']}, {result.made['precision']}"),
        "page": link(result.page) if result.page.exists() else None,
        "sidecar": link(result.sidecar),
    }


def _short(name: BIDSName) -> str:
    """What tells a result from the others of its subject."""
    ours = ("sub", "res", "desc")
    kept = {key: label for key, label in name.entities.items() if key not in ours}
    return str(BIDSName(kept, name.suffix, ""))


def _grid_in_words(grid: Mapping[str, Any]) -> tuple[str, str]:
    """Voxels and millimetres."""
    return "×".join(map(str, grid["shape"])), spacing_in_words(grid["spacing_mm"])
