"""What benchmarks share: answers that are kept, tables on a page, and outlines of real lesions."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tests.phantoms import tissue

from arssr.evaluation.tables import write_tables
from arssr.grid import Grid
from arssr.volume import Volume

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared/data"


@pytest.fixture
def keeping(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Scripts import each other from their folder."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import keeping

    return keeping


@pytest.fixture
def outlined(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import outlined

    return outlined


def test_what_was_answered_is_not_asked_again(keeping: ModuleType, tmp_path: Path) -> None:
    path, asked = tmp_path / "new" / "kept.jsonl", []

    def make() -> list[float]:
        asked.append(1)
        return [0.5, float(len(asked))]

    assert keeping.Kept(path).get(("a", "b"), make) == [0.5, 1]
    with path.open("a") as file:
        file.write('{"question": "c", "ans')  # cut off
    again = keeping.Kept(path)
    assert again.get(("a", "b"), make) == [0.5, 1]
    assert again.get(("c",), make) == [0.5, 2]
    assert keeping.Kept(path).get(("c",), make) == [0.5, 2]


def test_tables_are_put_between_their_lines_and_nothing_else_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n\n<!-- tables: x.py -->\nold\n<!-- end of tables -->\n\n## B\n")
    for table in ("| 1 |", "| 2 |"):
        write_tables(page, "x.py", table)
    text = "# A\n\n<!-- tables: x.py -->\n\n| 2 |\n\n<!-- end of tables -->\n\n## B\n"
    assert page.read_text() == text


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.8, 0.8, 4)])
def test_an_outlined_lesion_is_itself_and_half_of_it_half(
    outlined: ModuleType, spacing: tuple[float, float, float]
) -> None:
    shape = (60, 60, 20)
    around = np.clip(tissue(shape), 95, 105)
    at = np.indices(shape).T - (30, 28, 10)
    lesion = ((at / (5, 4, 3)) ** 2).sum(-1).T < 1
    grid = Grid(shape, np.diag([*spacing, 1]))
    outline = outlined.Outline("", "", [[20, 40], [20, 40], [5, 15]], 300, [30, 28, 10])

    def scan(contrast: float) -> Volume:
        return Volume(np.where(lesion, 100 + contrast, around), grid)

    found = outline.of(scan(400))
    assert found[30, 28, 10] and abs(found.sum() / lesion.sum() - 1) < 0.25  # smoothing shrinks it
    truth = scan(100)
    measure = outlined.Measure(truth, lesion)
    assert measure.contrast(truth) == pytest.approx(100, abs=5)
    assert measure.contrast(scan(50)) == pytest.approx(measure.contrast(truth) - 50)
    assert measure.volume(truth) == lesion.sum()
    assert measure.volume(scan(0)) == 0
    part, inside = outlined.cut_out(scan(100), lesion)
    assert inside.sum() == lesion.sum()
    for n, mm in zip(part.grid.shape, spacing, strict=True):
        assert n % 12 == 0 or mm > 2 or n in shape


@pytest.mark.skipif(not DATA.exists(), reason="needs the development data")
def test_committed_outlines_are_of_lesions_brighter_than_what_is_around(
    outlined: ModuleType,
) -> None:
    for outline in outlined.outlines():
        scan = Volume.read(DATA / outline.file)
        found = outline.of(scan)
        assert found[tuple(outline.within)] and 20 < found.sum() < 10000
        measure = outlined.Measure(*outlined.cut_out(scan, found))
        part = outlined.cut_out(scan, found)[0]
        assert measure.contrast(part) > 0.2 * float(np.median(part.data[part.data > 20]))
