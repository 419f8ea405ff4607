"""Write the tables of docs/evaluation.md anew from the cards of the shipped weights.

    python tools/evaluation_page.py

It measures nothing, `tools/ship.py` did, and takes a second.
"""

from pathlib import Path

from arssr.evaluation.card_page import comparison
from arssr.evaluation.tables import write_tables
from arssr.weights.registry import load

PAGE = Path(__file__).parent.parent / "docs/evaluation.md"


def main() -> None:
    """See the module's docstring."""
    tables = comparison([load(name).card for name in ("light", "rdn")])
    write_tables(PAGE, "tools/evaluation_page.py", tables)


if __name__ == "__main__":
    main()
