"""What benchmarks that take minutes keep: answers in a file, tables between two lines of a page."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from arssr.files import replacing

END = "<!-- end of tables -->"


class Kept:
    """Answers by their question, one JSON object a line, each on disk before the next is begun.

    A line that was cut off is passed over, and asked again.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._known = path, dict[str, Any]()
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            self._known[entry["question"]] = entry["answer"]
        if lines and lines[-1]:
            self._append("")

    def get(self, question: Sequence[str], make: Callable[[], Any]) -> Any:
        """What was answered before, or now; plain values."""
        key = " | ".join(question)
        if key not in self._known:
            self._known[key] = make()
            self._append(json.dumps({"question": key, "answer": self._known[key]}))
            print(f"  {key}", flush=True)
        return self._known[key]

    def _append(self, line: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def write_tables(page: Path, command: str, tables: str) -> None:
    """Put tables between the line that names the command that makes them and `END`."""
    begin = f"<!-- tables: {command} -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(END)[2]
    with replacing(page) as temporary:
        temporary.write_text(f"{before}{begin}\n\n{tables}\n\n{END}{after}", encoding="utf-8")
