"""The group level of a BIDS App: what was done and what failed, as a page, and one a subject."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from arssr.bids.derivatives import Derivatives, Result
from arssr.files import write_text
from arssr.formats.bids import BIDSName
from arssr.grid import shape_in_words, spacing_in_words
from arssr.viewing.pages import render

INDEX = "index.html"


@dataclass
class _Subject:
    page: str
    results: list[dict[str, Any]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)


def write_index(derivatives: Derivatives) -> Path:
    """Write `index.html` and a page for each subject, `sub-LABEL.html`, from the sidecars and the
    notes of failures; returns the path of the first.

    Raises ArSSRError where they cannot be written or a sidecar cannot be read.
    """
    results = {str(result.name): result for result in derivatives.results()}
    failures = {str(name): (name, error) for name, error in derivatives.failures()}
    failed = {name: failure for name, failure in failures.items() if name not in results}
    names = [*(result.name for result in results.values()), *(name for name, _ in failed.values())]
    labels = {name.entities["sub"] for name in names}
    subjects = {label: _Subject(f"sub-{label}.html") for label in sorted(labels)}
    for name, result in results.items():
        _, stale = failures.get(name, (None, ""))  # why it is not as was asked for last
        row = _row(result, derivatives.root) | {"stale": stale}
        subjects[result.name.entities["sub"]].results.append(row)
    for bids_name, error in failed.values():
        subjects[bids_name.entities["sub"]].failures.append((_short(bids_name), error))
    common = {
        "title": derivatives.source.description.get("Name", derivatives.root.resolve().name),
        "made": f"{datetime.now():%Y-%m-%d %H:%M}",
        "version": version("arssr"),
    }
    for label, subject in subjects.items():
        path = derivatives.root / subject.page
        _write_page(path, "subject.html.j2", common, label=label, subject=subject, index=INDEX)
    return _write_page(
        derivatives.root / INDEX,
        "index.html.j2",
        common,
        subjects=subjects,
        done=len(results),
        stale=len(failures) - len(failed),
        failed=len(failed),
        seconds=sum(result.made["seconds"] for result in results.values()),
        weights=sorted(
            {r.made["model"]["name"] for r in results.values() if "method" not in r.made}
        ),
    )


def _write_page(path: Path, template: str, common: Mapping[str, Any], **values: Any) -> Path:
    page = render(template, ("arssr.bids", "arssr.viewing"), **common, **values)
    write_text(path, page)
    return path


def _row(result: Result, root: Path) -> dict[str, Any]:
    def link(path: Path) -> str:
        return quote(path.relative_to(root).as_posix())

    made = result.made
    several = f", {len(made['inputs'])} scans merged" if "inputs" in made else ""
    return {
        "name": _short(result.name) + several,
        "before": _grid_in_words(made["input"]),
        "after": _grid_in_words(made["output"]),
        "seconds": made["seconds"],
        "method": made.get("method", f"{made['device']}, {made['precision']}"),
        "page": link(result.page) if result.page.exists() else None,
        "sidecar": link(result.sidecar),
        "warnings": made.get("warnings", []),
        "made": made,
    }


def _short(name: BIDSName) -> str:
    """What tells a result from the others of its subject."""
    ours = ("sub", "res", "desc")
    kept = {key: label for key, label in name.entities.items() if key not in ours}
    return str(BIDSName(kept, name.suffix, ""))


def _grid_in_words(grid: Mapping[str, Any]) -> tuple[str, str]:
    """Voxels and millimetres."""
    return shape_in_words(grid["shape"]), spacing_in_words(grid["spacing_mm"])
