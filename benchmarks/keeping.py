"""What benchmarks that take minutes keep: answers in a file."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


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
