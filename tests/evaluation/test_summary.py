from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import bootstrap

from arssr.evaluation.metrics import METRICS
from arssr.evaluation.rows import Row
from arssr.evaluation.summary import bootstrap_interval, by_setting, overall


def row(volume: str, scale: str, method: str, psnr: float, hfen: float = 0.5) -> Row:
    scores = dict.fromkeys(METRICS, 0.0) | {"psnr": psnr, "hfen": hfen}
    return Row(
        volume,
        f"hash of {volume}",
        degradation="slice",
        scale=scale,
        method=method,
        scores=scores,
        seconds=2.0,
        peak_mib=psnr,
    )


ROWS = [
    *(row("a", "2", "cubic", 30, 0.4), row("a", "2", "light", 31.5, 0.2)),
    *(row("b", "2", "cubic", 40, 0.4), row("b", "2", "light", 39.5, 0.5)),
    *(row("a", "3", "cubic", 20), row("a", "3", "light", 22)),
]


def test_means_and_paired_differences_by_hand() -> None:
    cubic, light = by_setting(ROWS)[:2]
    assert (cubic.method, cubic.means["psnr"], cubic.differences) == ("cubic", 35, {})
    assert (light.volumes, light.means["psnr"], light.seconds, light.peak_mib) == (2, 35.5, 2, 39.5)
    gain = light.differences["psnr"]
    assert (gain.mean, gain.worst, gain.wins, gain.losses) == (0.5, -0.5, 1, 1)
    assert gain.per_volume == {"a": 1.5, "b": -0.5}


def test_less_is_better_for_errors() -> None:
    change = by_setting(ROWS)[1].differences["hfen"]
    assert change.mean == pytest.approx(-0.05)
    assert change.worst == pytest.approx(0.1)
    assert (change.wins, change.losses) == (1, 1)


def test_over_all_settings_a_volume_counts_by_its_mean() -> None:
    gain = overall(ROWS)[1].differences["psnr"]
    assert gain.per_volume == {"a": 1.75, "b": -0.5}
    assert gain.mean == pytest.approx(0.625)
    assert (gain.worst, gain.wins, gain.losses) == (-0.5, 2, 1)
    assert overall(ROWS)[1].means["psnr"] == pytest.approx(((31.5 + 22) / 2 + 39.5) / 2)


def test_a_single_volume_has_no_interval() -> None:
    gain = by_setting(ROWS)[3].differences["psnr"]
    assert (gain.mean, gain.low, gain.high) == (2, None, None)


def test_the_interval_is_the_percentile_bootstrap() -> None:
    values = np.random.default_rng(3).normal(1, 0.5, 12)
    low, high = bootstrap_interval(values)
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=9999, rng=1)
    assert (low, high) == pytest.approx(theirs.confidence_interval, abs=0.02)
    assert bootstrap_interval(values) == (low, high)


def test_failures_are_counted_and_leave_the_pairs_whole() -> None:
    failed = Row("b", "hash of b", degradation="slice", scale="2", method="light", error="no")
    unusable = Row("c", "hash of c", error="damaged")
    summaries: Sequence = by_setting([*ROWS[:3], failed, unusable])
    light = summaries[1]
    assert (len(summaries), light.volumes, light.failed) == (2, 1, 1)
    assert light.differences["psnr"].per_volume == {"a": 1.5}
    nothing = by_setting([failed])[0]
    assert nothing.volumes == 0 and np.isnan(nothing.means["psnr"]) and not nothing.differences


def test_without_cubic_there_are_no_differences() -> None:
    assert by_setting([ROWS[1]])[0].differences == {}
