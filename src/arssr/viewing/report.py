"""Images of one subject side by side, as one HTML file that needs nothing else.

The page carries every image once, as bytes on one grid, and cuts its planes out of them; where
that would grow too large it carries every n-th slice of each plane instead. Its script is
`templates/viewer.js`, its look `templates/report.css`.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.files import write_text
from arssr.formats.kind import INTENSITIES
from arssr.grid import Grid
from arssr.resolution import FREQUENCIES, Resolution, measure_resolution
from arssr.viewing.charts import Chart, line_chart
from arssr.viewing.curves import (
    Curve,
    Line,
    edge_line,
    histogram,
    profile,
    radial_power_spectrum,
)
from arssr.viewing.display import (
    PLANES,
    Detail,
    Window,
    canonical,
    content_box,
    detail_side_mm,
    disagreement,
    find_detail,
    middle,
    slice_in_words,
)
from arssr.viewing.half_widths import Sureness
from arssr.viewing.merged import Origins
from arssr.viewing.pages import render
from arssr.viewing.shown import Shown, doubts, pack, seen_by_all, show
from arssr.viewing.verdict import Verdict
from arssr.volume import Volume

_TRUTH = "truth"
_log = logging.getLogger(__name__)


def write_report(
    path: Path,
    volumes: Sequence[tuple[str, Volume]],
    truth: Volume | None = None,
    provenance: Mapping[str, Mapping[str, Any]] | None = None,
    overwrite: bool = False,
    verdict: Verdict | None = None,
    resolution: Resolution | None = None,
    one_window: bool = True,
    sure: Sureness | None = None,
    merged: Origins | None = None,
) -> Path:
    """Write a page that compares named images, with a truth if there is one; returns its path.

    volumes: images of one subject in the same units and place; on any grids. Shown is the grid of
        the truth, or else of the finest image; others are resampled on it, and the page says so.
    provenance: for any of the names, and "truth", what is known of its making (JSON-like).
    verdict: what to say first of a scan and its result; names the page.
    resolution: of the first image, where it is known.
    sure, merged: sections on where a result is least sure, and on what came from which scan.
    one_window: black and white are the same for all images at first, else each has its own; the
        page has a switch.

    Images that hardly overlap, or do not show the same object, are told of in the log and on the
    page. Raises ArSSRError for fewer than two images, names that are not unique, nothing to see
    (a constant truth or finest image), an image beside the others, a file that exists (unless
    `overwrite`) or cannot be written, and a name without .html.
    """
    path = check_report(path, overwrite)
    names = [name for name, _ in volumes]
    if len(names) + (truth is not None) < 2:
        raise ArSSRError("a comparison needs at least two images (the truth is one)")
    if len(set(names)) < len(names) or (truth is not None and _TRUTH in names):
        raise ArSSRError(f"every image of a report needs a name of its own, not {', '.join(names)}")
    finest = min((volume for _, volume in volumes), key=lambda v: float(v.grid.spacing_mm.prod()))
    original = finest if truth is None else truth
    reference = canonical(original)
    window = Window.fit(reference.data)
    images = [show(name, volume, reference.grid, window) for name, volume in volumes]
    if truth is not None:
        images.append(Shown(_TRUTH, truth, reference.data, window, is_truth=True))
    chief = next(image for image in images if image.original is original)
    doubtful = [] if verdict else doubts(images, chief)
    for doubt in doubtful:
        _log.warning("%s: %s", path, doubt)
    places = _places(verdict, sure, reference.grid)
    page = _page(images, chief, reference.grid, one_window, [*places.values()])
    page["places"] = places
    page["charts"] += _band_chart(images[0], resolution)
    page["doubts"] = doubtful
    page["provenance"] = _provenance(images, provenance or {})
    page["names"] = ", ".join(names) + (" against the truth" if truth is not None else "")
    page["title"] = verdict.scan if verdict else page["names"]
    page["verdict"], page["sure"], page["merged"] = verdict, sure, merged
    page["made"] = f"{datetime.now():%Y-%m-%d %H:%M}"
    page["version"] = version("arssr")
    html = render("report.html.j2", ("arssr.viewing",), **page)
    write_text(path, html)
    return path


def check_report(path: Path, overwrite: bool = False) -> Path:
    """The path, if a report may be written there (ArSSRError otherwise)."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ArSSRError(f"{path}: the name of a report must end in .html")
    if path.is_dir():
        raise ArSSRError(f"{path}: this is a folder; name the file to write")
    if path.exists() and not overwrite:
        raise ArSSRError(f"{path}: exists already; --overwrite (overwrite=True) replaces it")
    return path


def _page(
    images: Sequence[Shown],
    chief: Shown,
    grid: Grid,
    one_window: bool,
    places: Sequence[Sequence[int]],
) -> dict[str, Any]:
    """Everything the template shows, but for where it comes from.

    chief: the image whose grid is on display, and whose window is that for all. places: voxels
    that buttons lead to.
    """
    window, common, side = chief.window, seen_by_all(images), detail_side_mm(grid)
    mask, spread = chief.object_mask, _spread(images, one_window, common)
    if common is not None:
        mask &= common
    details = [find_detail(spread, mask, grid, plane, side) for plane in PLANES]
    line = edge_line(chief.data, spread, mask, grid, PLANES[0])
    start = middle(mask)
    levels = _levels(images, window, one_window)
    bytes_of = [image.as_bytes(own) for image, own in zip(images, levels, strict=True)]
    centres = [line.centre, *(detail.centre for detail in details)]
    kept, blobs = pack(bytes_of, [start, *centres, *places])
    against = _against(images)
    viewer = {
        "shape": grid.shape,
        "spacing": grid.spacing_mm.tolist(),
        "affine": grid.affine.tolist(),
        "window": [window.low, window.high],
        "windows": [[image.window.low, image.window.high] for image in images],
        "oneWindow": one_window,
        "levels": [[float(f"{level:.6g}") for level in own] for own in levels],
        "reach": _reach(images, against, mask, window),
        "planes": [plane._asdict() for plane in PLANES],
        "kept": kept,
        "images": [image.name for image in images],
        "against": against,
        "flip": _flip_pair(images),
        "start": start,
        "details": [_as_json(detail) for detail in details],
        "line": line._asdict(),
    }
    return {
        "viewer": viewer,
        "blobs": blobs,
        "images": images,
        "grid": grid,
        "window": window,
        "one_window": one_window,
        "chief": chief.name,
        "partial": common is not None,
        "step": float(max(np.diff(own)[128] for own in levels)),
        "planes": PLANES,
        "details": [_detail_in_words(detail, grid) for detail in details],
        "line_place": _line_in_words(line, grid),
        "charts": _charts(images, grid, line, mask, common, window),
        "metrics": _metrics(images, grid),
        "tilt": _tilt_in_degrees(grid),
    }


def _spread(
    images: Sequence[Shown], one_window: bool, common: NDArray[np.bool_] | None
) -> NDArray[np.float32]:
    """How far the methods are apart, voxel by voxel; where there is but one, all images.

    common: the voxels that all images show; nothing is apart elsewhere.
    """
    methods = [image for image in images if not (image.is_truth or image.is_blocks)]
    compared = methods if len(methods) > 1 else images
    spread = disagreement(
        [each.data if one_window else each.window.shares(each.data) for each in compared]
    )
    if common is not None:
        spread[~common] = 0
    return spread


def _against(images: Sequence[Shown]) -> int:
    """Number of the image that differences are from: the truth, else the first that is no input."""
    truths = [n for n, image in enumerate(images) if image.is_truth]
    others = [n for n, image in enumerate(images) if not image.is_blocks]
    return [*truths, *others, 0][0]


def _levels(images: Sequence[Shown], window: Window, one_window: bool) -> list[NDArray[np.float64]]:
    """The intensities that bytes stand for, for each image: the same for all in one window."""
    ends = [(float(image.data.min()), float(image.data.max())) for image in images]
    if one_window:
        lowest, highest = min(low for low, _ in ends), max(high for _, high in ends)
        return [window.grey_levels(lowest, highest)] * len(images)
    return [i.window.grey_levels(*own) for i, own in zip(images, ends, strict=True)]


def _as_json(detail: Detail) -> dict[str, Any]:
    return {
        "plane": PLANES.index(detail.plane),
        "centre": detail.centre,
        "side": detail.side_mm,
    }


def _flip_pair(images: Sequence[Shown]) -> list[int]:
    """The two images to flip between at first: the last two that are not the truth."""
    methods = [n for n, image in enumerate(images) if not image.is_truth]
    if len(methods) < 2:
        return [0, len(images) - 1]
    return methods[-2:]


def _reach(images: Sequence[Shown], against: int, mask: NDArray[np.bool_], window: Window) -> float:
    """Where the colours of differences end: 99 % of the object differ less, in every image."""
    inside = mask if mask.any() else np.ones_like(mask)
    base = images[against].data[inside]
    others = [image for n, image in enumerate(images) if n != against]
    others = [image for image in others if not image.is_blocks] or others
    highest = [float(np.percentile(np.abs(o.data[inside] - base), 99)) for o in others]
    return min(window.width, max([0.01 * window.width, *highest]))


def _line_in_words(line: Line, grid: Grid) -> str:
    return f"{slice_in_words(PLANES[0], line.centre, grid)}, {line.length_mm:.3g} mm long"


def _places(verdict: Verdict | None, sure: Sureness | None, grid: Grid) -> dict[str, list[int]]:
    """By what is said there, the voxels next to the places that are named."""
    named = dict(verdict.places) if verdict else {}
    if sure:
        named[sure.seen] = sure.centre_ras_mm
    last = np.array(grid.shape) - 1
    index = {words: np.clip(np.rint(grid.to_index(mm)), 0, last) for words, mm in named.items()}
    return {words: [int(each) for each in at] for words, at in index.items()}


def _detail_in_words(detail: Detail, grid: Grid) -> str:
    return f"{slice_in_words(detail.plane, detail.centre, grid)}, {detail.side_mm:.3g} mm wide"


def _charts(
    images: Sequence[Shown],
    grid: Grid,
    line: Line,
    mask: NDArray[np.bool_],
    common: NDArray[np.bool_] | None,
    window: Window,
) -> list[Chart]:
    """Of what lies in the field of view of every image."""
    box = (slice(None),) * 3 if common is None else content_box(common, margin=0)
    nyquist = {
        f"Nyquist of {image.name}": 0.5 / float(image.original.grid.spacing_mm.max())
        for image in images
        if image.is_blocks
    }
    profiles = {i.name: profile(i.data, line, linear=not i.is_blocks) for i in images}
    spectra = {i.name: radial_power_spectrum(i.data[box], grid.part(box)) for i in images}
    faintest = max(float(c.y.min()) for c in spectra.values())
    bins = _bins(images, window)
    shares = {i.name: histogram(i.data, mask, bins) for i in images}
    return [
        line_chart(
            "Intensity across an edge",
            "Along the line in the picture, from its marked end.",
            ("mm", "intensity"),
            profiles,
        ),
        line_chart(
            "Power spectrum",
            "Mean power over all directions: how much detail there is, from coarse to fine.",
            ("cycles per mm", "power"),
            spectra,
            log_y=True,
            y_from=max(faintest, 1e-9 * max(float(c.y.max()) for c in spectra.values())) / 10,
            marks=nyquist,
        ),
        line_chart(
            "Histogram",
            "Of the voxels of the object: where it is brighter than an eighth of the window.",
            ("intensity", "% of voxels"),
            shares,
            y_from=0,
        ),
    ]


def _band_chart(scan: Shown, resolution: Resolution | None) -> list[Chart]:
    """The spectrum along each axis of the first image, and what it says; none where it cannot."""
    if scan.original.kind.what != INTENSITIES:
        return []
    known = resolution or measure_resolution(scan.original)
    axes = dict(zip("ijk", known.axes, strict=True))
    curves = {
        a: Curve(FREQUENCIES, found.power_db) for a, found in axes.items() if found.power_db.size
    }
    if not curves:
        return []
    return [
        line_chart(
            f"Measured band of {scan.name}",
            " ".join(f"Axis {axis}: {found.in_words()}." for axis, found in axes.items()),
            ("share of the stored band", "power, dB"),
            curves,
            y_from=-60,
            marks={f"end of {a}": found.share for a, found in axes.items() if found.share < 1},
        )
    ]


def _bins(images: Sequence[Shown], window: Window) -> NDArray[np.float64]:
    """Edges of about 80 bins over the window; integers on disk fill each bin alike."""
    steps = [
        abs(image.original.storage.slope) for image in images if image.original.storage.is_whole
    ]
    step = max([1e-6 * window.width, *(s for s in steps if s < window.width / 20)])
    width = math.ceil(window.width / 80 / step) * step
    n_bins = math.ceil(window.width / width)
    return np.linspace(0, n_bins * width, n_bins + 1) + window.low - step / 2


def _metrics(images: Sequence[Shown], grid: Grid) -> dict[str, Any] | None:
    """A table of every image against the truth, the best of each column marked."""
    from arssr.evaluation.metrics import METRICS, score

    truth = next((image for image in images if image.is_truth), None)
    if truth is None:
        return None
    right = truth.original.with_data(truth.data, grid)
    scores = {
        image.name: score(right, image.original.with_data(image.data, grid))
        for image in images
        if not image.is_truth
    }
    columns = [METRICS[name] for name in next(iter(scores.values()))]
    best = {c.name: c.best(s[c.name] for s in scores.values()) for c in columns}
    return {
        "columns": [(c.label, "higher" if c.higher_is_better else "lower") for c in columns],
        "rows": [
            (name, [(_rounded(s[c]), len(scores) > 1 and s[c] == best[c]) for c in best])
            for name, s in scores.items()
        ],
        "resampled": [image.name for image in images if image.resampled],
    }


def _rounded(value: float) -> str:
    if not math.isfinite(value):
        return "∞" if value > 0 else "–"
    return f"{value:.2f}" if abs(value) >= 5 else f"{value:.4f}"


def _provenance(
    images: Sequence[Shown], known: Mapping[str, Mapping[str, Any]]
) -> list[tuple[Shown, str, Mapping[str, Any]]]:
    """Per image: itself, its grid in words, what is known of its making."""
    return [(image, repr(image.original.grid)[5:-1], known.get(image.name, {})) for image in images]


def _tilt_in_degrees(grid: Grid) -> float:
    """The largest angle between an axis of the grid and the scanner axis next to it."""
    cosines = np.diag(grid.affine[:3, :3]) / grid.spacing_mm
    return float(np.degrees(np.arccos(np.clip(cosines.min(), -1, 1))))
