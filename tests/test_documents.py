"""What documents and shell scripts name is there: neither a linter nor mypy reads them."""

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READ = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("tools/*.sh")])
IMPORTS = sorted(
    {
        (str(path.relative_to(ROOT)), module, name.strip())
        for path in READ
        for module, names in re.findall(r"from (arssr[\w.]*) import ([\w, ]+)", path.read_text())
        for name in names.split(",")
    }
)


@pytest.mark.parametrize(("page", "module", "name"), IMPORTS)
def test_what_a_page_imports_is_there(page: str, module: str, name: str) -> None:
    assert hasattr(import_module(module), name), page


def test_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    beside = [link for link in links if "://" not in link]
    assert len(beside) > 20
    assert [link for link in beside if not (ROOT / link).exists()] == []
