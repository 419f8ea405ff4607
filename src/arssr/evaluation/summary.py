"""From rows to statements: means, and paired differences from cubic interpolation.

Volumes differ from one another far more than methods do, so a method is compared with cubic on
the same volume, and the volumes are what the confidence interval draws again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arssr.evaluation.metrics import METRICS
from arssr.evaluation.rows import Row

YARDSTICK = "cubic"
_RESAMPLES, _CONFIDENCE, _SEED = 5000, 95.0, 20


@dataclass(frozen=True)
class Difference:
    """A method's metric minus cubic's, volume by volume, in the metric's unit.

    low, high: 95 % bootstrap confidence interval of the mean (percentiles of 5000 seeded draws of
    the volumes with replacement); None for a single volume. worst: the least favourable value of
    any volume in any setting. wins, losses: in how many of these the method is better, worse.
    per_volume: by the volume's name; its mean where there are several settings.
    """

    mean: float
    low: float | None
    high: float | None
    worst: float
    wins: int
    losses: int
    per_volume: Mapping[str, float]


@dataclass(frozen=True)
class Summary:
    """One method in one setting; in all settings together where `degradation` is empty.

    means: of each metric over volumes. differences: of each metric, for those volumes where both
    the method and cubic have an answer; none for cubic itself. failed: rows without result.
    """

    degradation: str
    scale: str
    snr: float | None
    method: str
    volumes: int
    failed: int
    means: Mapping[str, float]
    differences: Mapping[str, Difference]
    seconds: float
    peak_mib: float


def by_setting(rows: Sequence[Row]) -> list[Summary]:
    """A summary for every setting and method, in the order of the rows."""
    return _summaries(rows, lambda row: row.setting)


def overall(rows: Sequence[Row]) -> list[Summary]:
    """A summary for every method over all settings; each volume counts by its mean over them."""
    return _summaries(rows, lambda _: ("", "", None))


_Setting = tuple[str, str, float | None]


def _summaries(rows: Sequence[Row], setting_of: Callable[[Row], _Setting]) -> list[Summary]:
    rows = [row for row in rows if row.method]
    cubic = {(r.volume, r.setting): r for r in rows if r.method == YARDSTICK and not r.error}
    groups: dict[tuple[_Setting, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((setting_of(row), row.method), []).append(row)
    return [_summary(setting, method, group, cubic) for (setting, method), group in groups.items()]


def _summary(
    setting: _Setting, method: str, group: Sequence[Row], cubic: Mapping[Any, Row]
) -> Summary:
    good = [row for row in group if not row.error]
    pairs = [
        (row, cubic[row.volume, row.setting])
        for row in good
        if method != YARDSTICK and (row.volume, row.setting) in cubic
    ]
    return Summary(
        *setting,
        method=method,
        volumes=len({row.volume for row in good}),
        failed=len(group) - len(good),
        means={metric: _mean(good, [r.scores[metric] for r in good]) for metric in METRICS},
        differences={metric: _difference(metric, pairs) for metric in METRICS if pairs},
        seconds=float(np.mean([row.seconds for row in good])) if good else float("nan"),
        peak_mib=max((row.peak_mib or 0.0 for row in good), default=float("nan")),
    )


def _difference(metric: str, pairs: Sequence[tuple[Row, Row]]) -> Difference:
    differences = [ours.scores[metric] - theirs.scores[metric] for ours, theirs in pairs]
    better = np.array(differences) * (1 if METRICS[metric].higher_is_better else -1)
    per_volume = _per_volume([ours for ours, _ in pairs], differences)
    values = np.array(list(per_volume.values()))
    low, high = bootstrap_interval(values) if len(values) > 1 else (None, None)
    return Difference(
        mean=float(values.mean()),
        low=low,
        high=high,
        worst=differences[int(better.argmin())],
        wins=int((better > 0).sum()),
        losses=int((better < 0).sum()),
        per_volume=per_volume,
    )


def _mean(rows: Sequence[Row], values: Sequence[float]) -> float:
    """Over volumes, whatever the number of rows that each has."""
    return float(np.mean(list(_per_volume(rows, values).values()))) if rows else float("nan")


def _per_volume(rows: Sequence[Row], values: Sequence[float]) -> dict[str, float]:
    """The mean of the values of each volume's rows."""
    of_volume: dict[str, list[float]] = {}
    for row, value in zip(rows, values, strict=True):
        of_volume.setdefault(row.volume, []).append(value)
    return {name: float(np.mean(v)) for name, v in of_volume.items()}


def bootstrap_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile interval of the mean over draws with replacement; always the same draws."""
    draws = np.random.default_rng(_SEED).integers(len(values), size=(_RESAMPLES, len(values)))
    tail = (100 - _CONFIDENCE) / 2
    low, high = np.percentile(values[draws].mean(axis=1), [tail, 100 - tail])
    return float(low), float(high)
