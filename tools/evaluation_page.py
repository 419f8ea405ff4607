"""Write the tables of docs/evaluation.md anew from the cards of the shipped weights.

    python tools/evaluation_page.py

It measures nothing, `tools/ship.py` did, and takes a second.
"""

from pathlib import Path

from arssr.evaluation.card_page import comparison
from arssr.files import replacing
from arssr.weights.registry import load

PAGE = Path(__file__).parent.parent / "docs/evaluation.md"
BEGIN, END = "<!-- tables: tools/evaluation_page.py -->", "<!-- end of tables -->"


def main() -> None:
    """See the module's docstring."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    tables = comparison([load(name).card for name in ("light", "rdn")])
    with replacing(PAGE) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
