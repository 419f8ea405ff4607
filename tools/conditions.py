"""Write docs/conditions.md, a table of what becomes of which image: python tools/conditions.py

Every cell is tried anew (about a minute). Exits 1 where one is WRONG: a result that is not right
with nothing said, or anything but one sentence; with --check also where the page is not what it
should be, which is then left as it is.
"""

import argparse
import difflib
import logging
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "conditions.md"
sys.path.insert(0, str(ROOT))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, compare")
    options = parser.parse_args()
    from tests.conditions.all import whole_page
    from tests.conditions.table import WRONG

    warnings.simplefilter("ignore")
    logging.disable()
    page = whole_page()
    before = PAGE.read_text() if PAGE.exists() else ""
    wrong = [line for line in page.splitlines() if WRONG in line]
    for line in wrong:
        print(line, file=sys.stderr)
    if not options.check:
        PAGE.write_text(page)
    elif page != before:
        sys.stderr.writelines(difflib.unified_diff(before.splitlines(True), page.splitlines(True)))
        sys.exit(f"{PAGE.name} is stale: python tools/conditions.py")
    sys.exit(f"{len(wrong)} conditions are {WRONG}" if wrong else 0)


if __name__ == "__main__":
    main()
