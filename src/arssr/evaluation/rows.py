"""Rows, the atoms of a table, and the journal that keeps them while a run is under way."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from arssr.errors import ArSSRError
from arssr.evaluation.metrics import METRICS


@dataclass(frozen=True)
class Row:
    """What one method made of one volume in one setting; or (`error`) why it made nothing.

    `volume` is a name for people. `acquisition` is what the method was told ("" for nothing).
    `seconds` are those of the method alone, on a scan in memory with its weights loaded;
    `peak_mib` is the most memory its process held meanwhile, Python and the truth included.
    `trained_on`: the weights have seen this volume, so the row says nothing about others.
    A volume that cannot be used at all is a single row without setting and method.
    """

    volume: str
    volume_sha256: str
    degradation: str = ""
    scale: str = ""
    snr: float | None = None
    method: str = ""
    acquisition: str = ""
    weights_sha256: str = ""
    version: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    peak_mib: float | None = None
    error: str = ""
    trained_on: bool = False

    @property
    def setting(self) -> tuple[str, str, float | None]:
        """Degradation, scale and SNR."""
        return self.degradation, self.scale, self.snr

    @property
    def key(self) -> tuple[Any, ...]:
        """All that a result depends on: rows with the same key say the same."""
        who = (self.method, self.acquisition, self.weights_sha256, self.version)
        return (self.volume_sha256, *self.setting, *who)

    def flat(self) -> dict[str, Any]:
        """Column → value, the metrics among them (None in a row that failed)."""
        columns: dict[str, Any] = {}
        for f in fields(self):
            if f.name == "scores":
                columns |= {metric: self.scores.get(metric) for metric in METRICS}
            else:
                columns[f.name] = getattr(self, f.name)
        return columns


class Journal:
    """Finished rows in a file, one JSON object a line, each on disk before the next is begun.

    A line that was cut off (power failure, full disk) is passed over when the file is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Row]:
        """The rows so far; none where there is no file."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ArSSRError(f"cannot read {self.path}: {error.strerror or error}") from None
        rows = []
        for line in text.splitlines():
            try:
                rows.append(Row(**json.loads(line)))
            except (json.JSONDecodeError, TypeError):
                continue
        return rows

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows: all of them in one write, and through to the disk."""
        lines = "".join(json.dumps(asdict(row)) + "\n" for row in rows)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                if file.tell() > 0:  # never glue a row to what a cut-off line left
                    file.seek(-1, os.SEEK_END)
                    lines = lines if file.read(1) == b"\n" else "\n" + lines
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ArSSRError(f"cannot write {self.path}: {error.strerror or error}") from None
