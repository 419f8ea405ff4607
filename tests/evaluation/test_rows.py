from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from arssr.errors import ArSSRError
from arssr.evaluation.metrics import METRICS
from arssr.evaluation.rows import Journal, Row

ROW = Row(
    volume="T1w",
    volume_sha256="ab",
    degradation="slice",
    scale="1x1x4",
    snr=20.0,
    method="light",
    acquisition="slice",
    weights_sha256="cd",
    version="1.0",
    scores=dict.fromkeys(METRICS, 0.1),
    seconds=1.5,
    peak_mib=100.0,
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new" / "rows.jsonl")
    assert journal.read() == []
    journal.append([ROW])
    perfect = replace(ROW, scores={"psnr": float("inf")}, snr=None)
    journal.append([perfect])
    assert journal.read() == [ROW, perfect]


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_line_that_was_cut_off_loses_only_itself(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "rows.jsonl"
    journal = Journal(path)
    journal.append([ROW])
    journal.append([replace(ROW, method="cubic")])
    path.write_bytes(path.read_bytes()[:-cut])
    third = replace(ROW, method="wiener")
    journal.append([third])
    kept = [ROW, replace(ROW, method="cubic"), third] if cut == 1 else [ROW, third]
    assert journal.read() == kept


def test_a_full_disk_is_said(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    journal = Journal(tmp_path / "rows.jsonl")
    with full_disk(10), pytest.raises(ArSSRError, match="cannot write"):
        journal.append([ROW])
    journal.append([ROW])
    assert journal.read() == [ROW]


def test_the_key_has_all_that_matters_and_nothing_else() -> None:
    assert replace(ROW, volume="other name", seconds=9.0, scores={}).key == ROW.key
    changes = [
        *({"volume_sha256": "x"}, {"degradation": "kspace"}, {"scale": "2"}, {"snr": None}),
        *({"method": "rdn"}, {"acquisition": "unknown"}, {"weights_sha256": "x"}),
        {"version": "2.0"},
    ]
    assert len({replace(ROW, **change).key for change in changes} | {ROW.key}) == 9  # type: ignore[arg-type]


def test_a_flat_row_has_a_column_for_every_metric() -> None:
    flat = ROW.flat()
    assert set(METRICS) < set(flat) and "scores" not in flat
    failed = Row("T1w", "ab", error="no").flat()
    assert list(failed) == list(flat) and failed["psnr"] is None
