"""The comparison page: as a file here, in a browser in test_report_browser."""

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.viewing.heads import head, las_grid

from arssr.errors import ArSSRError
from arssr.evaluation.metrics import score
from arssr.grid import Grid
from arssr.interpolation import resample
from arssr.viewing import shown
from arssr.viewing.display import OUTSIDE, Window, canonical
from arssr.viewing.report import write_report
from arssr.viewing.verdict import Verdict
from arssr.volume import Volume


@pytest.fixture(scope="module")
def truth() -> Volume:
    return head(las_grid())


@pytest.fixture(scope="module")
def images(truth: Volume) -> list[tuple[str, Volume]]:
    lr = resample(truth, truth.grid.scaled(0.5))
    return [("input", lr), ("cubic", resample(lr, truth.grid)), ("soft", head(truth.grid, 1.0))]


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', page)
    assert found
    return dict(json.loads(found[1]))


def bytes_of(page: str, image: int, part: int = 0) -> np.ndarray:
    found = re.search(rf'id="bytes-{image}-{part}">([^<]*)<', page)
    assert found
    steps = np.frombuffer(zlib.decompress(base64.b64decode(found[1])), np.uint8)
    return np.cumsum(steps, dtype=np.uint8)


def test_the_page_carries_every_image(
    tmp_path: Path, truth: Volume, images: list[tuple[str, Volume]]
) -> None:
    path = write_report(tmp_path / "sub" / "report.html", images, truth)
    page = path.read_text()
    data = data_of(page)
    assert data["images"] == ["input", "cubic", "soft", "truth"]
    assert data["against"] == 3
    assert data["kept"] is None
    assert data["oneWindow"] and data["levels"][1:] == data["levels"][:-1]
    levels = np.array(data["levels"][0])
    for number, volume in ((1, images[1][1]), (2, images[2][1]), (3, truth)):
        drawn = levels[bytes_of(page, number)].reshape(data["shape"])
        error = np.abs(drawn - canonical(volume).data)
        low, high = data["window"]
        inside = (canonical(volume).data >= low) & (canonical(volume).data <= high)
        assert error[inside].max() <= 0.51 * (high - low) / 206
        assert error.max() < 15
    assert list(path.parent.iterdir()) == [path]


def test_the_page_needs_no_network(
    tmp_path: Path, truth: Volume, images: list[tuple[str, Volume]]
) -> None:
    page = write_report(tmp_path / "report.html", images, truth).read_text()
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
    assert not re.search(r"(src|href)=[\"'](?!data:)", page)
    assert "default-src 'none'" in page


def test_the_numbers_are_those_of_the_metrics(
    tmp_path: Path, truth: Volume, images: list[tuple[str, Volume]]
) -> None:
    page = write_report(tmp_path / "report.html", images, truth).read_text()
    rows = dict(re.findall(r'<th scope="row">(\w+)\*?</th>(.*?)</tr>', page, re.DOTALL))
    assert list(rows) == ["input", "cubic", "soft"]
    for name, volume in images[1:]:
        values = [float(v) for v in re.findall(r"<td[^>]*>([^<]+)</td>", rows[name])]
        assert values == pytest.approx(list(score(truth, volume).values()), rel=1e-2, abs=1e-4)
    nearest = resample(images[0][1], truth.grid, "nearest")
    first = float(re.findall(r"<td[^>]*>([^<]+)</td>", rows["input"])[0])
    assert first == pytest.approx(score(truth, nearest)["psnr"], abs=0.006)
    assert len(re.findall(r'<td class="best">', page)) >= 6


def test_resampling_is_said(
    tmp_path: Path, truth: Volume, images: list[tuple[str, Volume]]
) -> None:
    moved = truth.grid.affine.copy()
    moved[:3, 3] += 0.4
    shifted = head(Grid(truth.grid.shape, moved))
    page = write_report(tmp_path / "a.html", [images[0], ("shifted", shifted)], truth).read_text()
    assert page.count("Coarser than the grid on display") == 1
    assert page.count("resampled on the grid on display by cubic splines") == 1
    assert page.count("Shown on its own voxels") == 1


def test_without_a_truth_the_finest_image_is_shown_and_differences_are_from_an_interpolation(
    tmp_path: Path, images: list[tuple[str, Volume]]
) -> None:
    page = write_report(tmp_path / "a.html", images).read_text()
    data = data_of(page)
    assert tuple(data["shape"]) == images[1][1].grid.shape
    assert data["images"][data["against"]] == "cubic"
    assert data["flip"] == [1, 2]
    assert "There is no truth here" in page
    assert 'id="metrics"' not in page


def test_a_large_page_keeps_some_slices_at_full_resolution(
    tmp_path: Path,
    truth: Volume,
    images: list[tuple[str, Volume]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shown, "_BUDGET", 60_000)
    page = write_report(tmp_path / "a.html", images, truth).read_text()
    data = data_of(page)
    kept, levels = data["kept"], np.array(data["levels"][3])
    assert all(3 <= len(kept[axis]) < n for axis, n in enumerate(truth.grid.shape))
    for detail in data["details"]:
        assert all(detail["centre"][axis] in kept[axis] for axis in range(3))
    right = canonical(truth).data
    for axis in range(3):
        expected = np.moveaxis(np.take(right, kept[axis], axis), axis, 0)
        error = np.abs(levels[bytes_of(page, 3, axis)].reshape(expected.shape) - expected)
        assert np.median(error) < 1
    assert "To keep this file small" in page


def test_names_and_provenance_are_text_not_markup(
    tmp_path: Path, images: list[tuple[str, Volume]]
) -> None:
    evil = "</script><script>alert(1)</script>"
    known = {evil: {"model": {"name": evil, "scale": [2, 2, 1.5]}, "seconds": 3.25, "note": None}}
    named = [(evil, images[1][1]), images[2]]
    page = write_report(tmp_path / "a.html", named, None, known).read_text()
    assert evil not in page
    assert "alert(1)" in page
    assert data_of(page)["images"] == [evil, "soft"]
    for fact in ("2, 2, 1.5", "3.25", "model"):
        assert fact in page


def test_a_page_with_a_verdict_begins_with_it_and_names_the_scan(
    tmp_path: Path, images: list[tuple[str, Volume]]
) -> None:
    verdict = Verdict("Subject 01, T1w", {"What was done": ["Nothing <b>."]}, ["look out"])
    page = write_report(tmp_path / "a.html", images, verdict=verdict).read_text()
    assert "<title>Subject 01, T1w · ArSSR</title>" in page
    assert "<h1>Subject 01, T1w</h1>" in page
    words = [page.index(w) for w in ("look out", "Nothing &lt;b&gt;.", 'id="viewer"')]
    assert words == sorted(words)
    assert "<details open" not in page


def test_each_image_has_a_window_of_its_own(
    tmp_path: Path, truth: Volume, images: list[tuple[str, Volume]]
) -> None:
    bright = images[1][1].with_data(50 * images[1][1].data + 7000, truth.grid)
    both = [images[2], ("bright", bright)]
    page = write_report(tmp_path / "a.html", both, one_window=False).read_text()
    data = data_of(page)
    assert not data["oneWindow"]
    own = [Window.fit(v.data) for _, v in both]
    assert data["windows"] == [[w.low, w.high] for w in own]
    levels = np.array(data["levels"][1])
    low, high = data["windows"][1]
    error = np.abs(levels[bytes_of(page, 1)].reshape(data["shape"]) - canonical(bright).data)
    assert np.median(error) <= 0.51 * (high - low) / 206
    assert "Each image has a window of its own" in page


def test_outside_the_field_of_view_there_is_nothing(
    tmp_path: Path, truth: Volume, caplog: pytest.LogCaptureFixture
) -> None:
    whole = canonical(truth)
    box = (slice(0, 44), slice(0, 52), slice(0, 12))
    part = whole.with_data(whole.data[box], whole.grid.part(box))
    page = write_report(tmp_path / "a.html", [("whole", whole), ("part", part)]).read_text()
    data = data_of(page)
    drawn = bytes_of(page, 1).reshape(data["shape"])
    assert (drawn[..., 12:] == OUTSIDE).all() and (drawn[..., :12] < OUTSIDE).all()
    assert (bytes_of(page, 0) < OUTSIDE).all()
    assert all(d["centre"][2] < 12 for d in data["details"]) and data["line"]["centre"][2] < 12
    assert data["start"][2] < 12
    share = 100 * (whole.data[box] > 20).sum() / (whole.data > 20).sum()
    assert f"part and whole hardly overlap: {share:.0f} % of the object" in page
    assert "hardly overlap" in caplog.text
    assert "Dice" not in page
    with pytest.raises(ArSSRError, match="far lies beside the other images"):
        away = Grid(part.grid.shape, part.grid.affine + np.eye(4, k=3) * 500)
        write_report(
            tmp_path / "b.html", [("whole", whole), ("far", part.with_data(part.data, away))]
        )
    assert not (tmp_path / "b.html").exists()


def test_images_that_are_not_of_one_thing_are_told_of(
    tmp_path: Path, truth: Volume, images: list[tuple[str, Volume]]
) -> None:
    assert "Dice" not in write_report(tmp_path / "a.html", images, truth).read_text()
    moved = truth.grid.affine.copy()
    moved[0, 3] += 14
    other = truth.with_data(truth.data, Grid(truth.grid.shape, moved))
    page = write_report(tmp_path / "b.html", [("one", truth), ("other", other)]).read_text()
    assert "are they of one person, and in one place?" in page


@pytest.mark.parametrize("exponent", [-130, 119])
@pytest.mark.filterwarnings("error")
def test_a_page_needs_no_ordinary_units(
    tmp_path: Path, truth: Volume, images: list[tuple[str, Volume]], exponent: int
) -> None:
    def places(factor: int) -> dict[str, Any]:
        scaled = [
            (name, v.with_data(np.ldexp(v.data, factor), v.grid))
            for name, v in [*images, ("truth", truth)]
        ]
        page = write_report(tmp_path / "a.html", scaled[:-1], scaled[-1][1], overwrite=True)
        data = data_of(page.read_text())
        return {key: data[key] for key in ("details", "line", "start", "kept")}

    assert places(exponent) == places(0)


def test_what_cannot_be_reported_is_refused_in_words(
    tmp_path: Path, truth: Volume, images: list[tuple[str, Volume]]
) -> None:
    path = tmp_path / "report.html"
    for too_few in ([], images[:1]):
        with pytest.raises(ArSSRError, match="at least two images"):
            write_report(path, too_few)
    with pytest.raises(ArSSRError, match="name of its own"):
        write_report(path, [images[1], images[1]])
    with pytest.raises(ArSSRError, match="name of its own"):
        write_report(path, [("truth", images[1][1])], truth)
    with pytest.raises(ArSSRError, match=r"end in \.html"):
        write_report(tmp_path / "report.pdf", images)
    with pytest.raises(ArSSRError, match="constant"):
        write_report(path, images, truth.with_data(np.ones(truth.grid.shape), truth.grid))
    path.write_text("mine")
    with pytest.raises(ArSSRError, match="exists already"):
        write_report(path, images)
    assert path.read_text() == "mine"
    write_report(path, images, overwrite=True)
    assert path.read_text().startswith("<!doctype html>")
