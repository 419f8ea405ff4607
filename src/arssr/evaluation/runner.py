"""Runs an evaluation: every volume in every setting by every method, each result a row.

A high-resolution volume is degraded to a scan; a method gets the scan and the grid of the volume,
and its result is compared with the volume, voxel by voxel. Where the volume's size is no multiple
of the scale, the scan's field of view ends up to half a (large) voxel before or beyond the
volume's. Nothing is cropped for that: all methods answer on the volume's own grid, all clamp to
the border of the same scan, and all are compared everywhere.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from arssr.degradation import named_degradation
from arssr.errors import in_one_line
from arssr.evaluation.meter import Meter
from arssr.evaluation.methods import Method, Upsample
from arssr.evaluation.metrics import Reference, consistency
from arssr.evaluation.protocol import Setting
from arssr.evaluation.rows import Journal, Row
from arssr.evaluation.sources import Source, sources
from arssr.volume import Volume
from arssr.workers import in_workers

JOURNAL = "rows.jsonl"

OnRow = Callable[[int, int, Row | None], None]
"""(rows done, rows in all, the row just finished; None for those found in the journal)."""


class Case(NamedTuple):
    """One row to be: which volume, what is done to it, by which method the damage is undone."""

    source: Source
    setting: Setting
    method: Method

    def row(self) -> Row:
        """The row, still without result."""
        return Row(
            volume=self.source.name,
            volume_sha256=self.source.sha256,
            degradation=self.setting.degradation,
            scale=self.setting.scale,
            snr=self.setting.snr,
            method=self.method.name,
            acquisition=self.method.told(self.setting),
            weights_sha256=self.method.weights_sha256,
            version=version("arssr"),
        )


def evaluate(
    volumes: Sequence[str | Path | Volume],
    settings: Sequence[Setting],
    methods: Sequence[Method],
    folder: Path | None = None,
    jobs: int = 0,
    on_row: OnRow = lambda _done, _total, _row: None,
) -> list[Row]:
    """A row for every volume, setting and method, in this order.

    What fails is a row with its `error`. A volume that cannot be used at all has a single one.

    folder: keeps finished rows, so that another run goes on where this one ended. What failed is
        tried again; anything else is computed once for the same volume, setting, weights and
        version of the package.
    jobs: worker processes; each holds one volume at a time. 0: compute in this process. A script
        that starts workers needs the usual `if __name__ == "__main__":`.

    Raises ArSSRError for volumes that cannot be found and a folder that cannot be written.
    """
    cases = [
        Case(source, setting, method)
        for source in sources(volumes)
        for setting in settings
        for method in methods
    ]
    journal = Journal(folder / JOURNAL) if folder else None
    known = {row.key: row for row in journal.read()} if journal else {}
    if journal:
        journal.append([])  # a folder that cannot be written is better known now than later
    rows: dict[Case, Row] = {}
    for case in cases:
        if (row := known.get(case.row().key)) is not None:
            rows[case] = replace(row, volume=case.source.name)
    waiting = deque(case for case in cases if case not in rows)
    done = len(rows)
    on_row(done, len(cases), None)
    unusable: set[Source] = set()
    for case, row in _compute(waiting, jobs):
        done += 1
        if case.source in unusable:  # was under way when that was found out
            on_row(done, len(cases), None)
            continue
        rows[case] = row
        if row.error and not row.method:  # no other method will fare better with this volume
            unusable.add(case.source)
            dropped = [other for other in waiting if other.source == case.source]
            for other in dropped:
                waiting.remove(other)
            done += len(dropped)
        elif journal and not row.error:
            journal.append([row])
        on_row(done, len(cases), row)
    return [rows[case] for case in cases if case in rows]


def _compute(waiting: deque[Case], jobs: int) -> Iterator[tuple[Case, Row]]:
    """Take cases from the left of `waiting` until there are none, and give their rows."""
    if jobs:
        for case, answer in in_workers(_row_in_worker, waiting, jobs):
            if isinstance(answer, BaseException):
                answer = replace(case.row(), error=in_one_line(answer))
            yield case, answer
        return
    bench = _Bench()
    while waiting:
        case = waiting.popleft()
        yield case, bench.row(case)


class _Bench:
    """Computes rows one after the other; keeps the volume, the scan and the methods at hand."""

    def __init__(self) -> None:
        self._reference: tuple[Source, Reference] | None = None
        self._scan: tuple[Source, Setting, Volume] | None = None
        self._loaded: dict[Method, Upsample] = {}

    def row(self, case: Case) -> Row:
        """The finished row. Whatever goes wrong becomes its error: other rows may do better."""
        source, setting, method = case
        try:
            reference = self._reference_of(source)
        except Exception as error:
            return Row(source.name, source.sha256, error=in_one_line(error))
        try:
            scan = self._scan_of(source, setting, reference.truth)
            if method not in self._loaded:
                self._loaded[method] = method.load()
            with Meter() as meter:
                result = self._loaded[method](scan, reference.truth.grid, setting)
            scores = reference.score(result)
            degradation = named_degradation(setting.degradation)
            scores["consistency"] = consistency(result, scan, setting.scale_ijk, degradation)
        except Exception as error:
            return replace(case.row(), error=in_one_line(error))
        return replace(case.row(), scores=scores, seconds=meter.seconds, peak_mib=meter.peak_mib)

    def _reference_of(self, source: Source) -> Reference:
        if self._reference is None or self._reference[0] != source:
            self._reference = self._scan = None  # not two volumes at a time
            self._reference = source, Reference(source.read())
        return self._reference[1]

    def _scan_of(self, source: Source, setting: Setting, truth: Volume) -> Volume:
        if self._scan is None or self._scan[:2] != (source, setting):
            seed = hashlib.sha256(f"{source.sha256} {setting}".encode()).digest()
            generator = np.random.default_rng(np.frombuffer(seed, np.uint32))
            self._scan = source, setting, setting.measure(truth, generator)
        return self._scan[2]


_worker_bench = _Bench()


def _row_in_worker(case: Case) -> Row:
    return _worker_bench.row(case)
