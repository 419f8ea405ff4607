"""What the report of merged scans says: what came from where, and all of it from the sidecar."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.viewing.heads import head, las_grid

from arssr.grid import Grid
from arssr.viewing.merged import WIDTH, merged_verdict, origins
from arssr.viewing.report import write_report
from arssr.volume import Volume

ASL = Grid((8, 8, 8), np.array([[0, 0, -1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]]))


def scan(number: int, shares: tuple[float, ...] = (0.5, 0.5, 0.5), **others: Any) -> dict[str, Any]:
    told = {
        "file": f"scan{number}.nii",
        "spacing_mm": [1.0, 1.0, 4.0],
        "motion": {"mm": 2.34 * number, "degrees": 1.0 * number},
        "correlation": 1 - number / 100,
        "slice_profile": "gaussian",
        "brightness": 1.25,
        "noise": 3.5,
        "noise_raised": 2.0,
        "residual_before": 4.0,
        "residual_after": 1.0,
        "share_of_detail_ijk": list(shares),
        "doubtful_slices": [],
    }
    return told | others


def facts(*scans: dict[str, Any]) -> dict[str, Any]:
    return {
        "merged": {"scans": list(scans)},
        "notes": ["scans merged"],
        "options": {"register": True},
        "model": {"name": "light"},
        "methods": "Scans were merged.",
        "cite": ["A paper."],
        "not_for": "Not for diagnosis.",
    }


def said(told: dict[str, Any], grid: Grid = ASL) -> dict[str, str]:
    verdict = merged_verdict(Volume(np.zeros(grid.shape), grid, path=Path("T2.nii")), told)
    assert verdict.to_paste == ["Scans were merged.", "A paper."]
    return {heading: " ".join(sentences) for heading, sentences in verdict.answers.items()}


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=10))
def test_a_bar_is_as_long_as_all_shares_together(weights: list[float]) -> None:
    shares = np.array(weights) / sum(weights)
    found = origins(facts(*(scan(n, (share,) * 3) for n, share in enumerate(shares))), ASL)
    for bar in found.bars:
        widths = [part.width for part in bar.parts]
        assert sum(widths) == pytest.approx(WIDTH, abs=0.1 * len(shares))
        np.testing.assert_allclose(widths, WIDTH * shares, atol=0.06)
        starts = [part.x for part in bar.parts]
        np.testing.assert_allclose(starts[1:], np.cumsum(widths)[:-1], atol=0.06 * len(shares))


def test_axes_are_named_after_the_body() -> None:
    found = origins(facts(scan(0), scan(1)), ASL)
    assert [bar.name for bar in found.bars] == ["back–front (i)", "foot–head (j)", "left–right (k)"]


def test_residuals_lie_in_order_on_one_line_with_the_noise() -> None:
    found = origins(facts(scan(0), scan(1, residual_before=2.0, residual_after=0.5)), ASL)
    first, second = found.missed
    assert first.after == found.noise < first.before <= WIDTH
    assert second.after < found.noise < second.before < first.before
    assert (found.noise - second.after) * 2 == pytest.approx(second.before - found.noise, abs=0.3)


def test_every_scan_is_told_of_in_the_table() -> None:
    evened = {"factors": [0.95, 1.0, 1.08]}
    told = facts(
        scan(0),
        scan(1, series="t2 sag", doubtful_slices=[3, 7], even_slices=evened, slice_profile=None),
    )
    rows = dict(origins(told, ASL).rows)
    assert rows["file"] == ["scan0.nii", "scan1.nii t2 sag"]
    assert rows["moved against scan 1"] == ["–", "2.3 mm, 1.0°"]
    assert rows["local correlation with scan 1"] == ["–", "0.990"]
    assert rows["slices evened"] == ["no", "by 0.95 to 1.08"]
    assert rows["slice profile"] == ["Gaussian", "no thick slices"]
    assert rows["doubtful slices"] == ["none", "3, 7"]
    assert rows["result off by, × noise"] == ["1.00", "1.00"]
    assert rows["trusted as if it were"] == ["7", "7"]
    assert "slices evened" not in dict(origins(facts(scan(0), scan(1)), ASL).rows)


def test_the_verdict_says_what_came_from_where_and_what_to_look_at() -> None:
    told = said(facts(scan(0, (0.25, 0, 1)), scan(1, (0.75, 1, 0), doubtful_slices=[3, 7])))
    assert told["What came from where"] == (
        "Detail back–front (i): 75 % from scan 2 and 25 % from scan 1. Detail foot–head (j): "
        "100 % from scan 2. Detail left–right (k): 100 % from scan 1."
    )
    assert "3 and 7" in told["What to look at"] and "scan 2" in told["What to look at"]
    assert "by 1.00 and 1.00 times their noise" in told["Does it agree with them?"]
    assert "0.990 or more" in told["Do they belong together?"]
    assert "What to look at" not in said(facts(scan(0), scan(1)))


def test_headers_that_were_trusted_are_told_of() -> None:
    trusted = facts(scan(0), scan(1)) | {"options": {"register": False}}
    assert "Headers were trusted" in said(trusted)["What was done"]
    assert "Headers were trusted" not in said(facts(scan(0), scan(1)))["What was done"]


def test_names_of_files_are_no_markup(tmp_path: Path) -> None:
    image = head(las_grid())
    told = facts(scan(0, file="<script>alert(1)</script>.nii"), scan(1))
    images = [("scan 1", image), ("scan 2", image), ("result", image)]
    where, verdict = origins(told, image.grid), merged_verdict(image, told)
    page = write_report(tmp_path / "a.html", images, None, told, verdict=verdict, merged=where)
    html = page.read_text()
    assert "What came from where" in html and "&lt;script&gt;alert(1)" in html
    assert "<script>alert(1)" not in html
