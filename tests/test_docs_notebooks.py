"""The notebooks of the documents: they run as myst-nb runs them, and show their pictures."""

from pathlib import Path

import pytest
from myst_nb.core.read import read_myst_markdown_notebook
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
PAGES = sorted(FOLDER.glob("*.md"))
SOON = 600  # seconds


def run(page: Path) -> list[NotebookNode]:
    """What its cells put out."""
    notebook = read_myst_markdown_notebook(page.read_text(encoding="utf-8"), path=page)
    NotebookClient(notebook, timeout=SOON, resources={"metadata": {"path": str(FOLDER)}}).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.stem))
def test_a_notebook_runs_and_shows_planes(page: Path) -> None:
    outputs = run(page)
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    shown = [
        output.data["text/html"] for output in outputs if "text/html" in output.get("data", ())
    ]
    assert sum(html.count("<img") == 3 for html in shown) >= 2
