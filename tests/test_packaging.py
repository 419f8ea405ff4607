"""What is packed."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
_AT_THE_ROOT = re.compile(r'(?:ROOT|parents\[\d\]) / "([\w.]+)"')
_ALWAYS = {"README.md", "LICENSE", "pyproject.toml"}  # packed by themselves


def test_a_source_distribution_holds_what_its_tests_read() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packed = set(settings["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"])
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    read = {name for text in texts for name in _AT_THE_ROOT.findall(text)} - _ALWAYS
    assert {"docs", "train.py"} <= read
    assert read - {"shared"} <= packed  # images lie beside the checkout
