"""What the benchmark says follows from what was measured, and every way is really run."""

import json
import time

import numpy as np
import pytest
import torch
from tests.engine.thin import lively_network, thin_encoders
from tests.phantoms import smooth, volume

from arssr.benchmark import runner
from arssr.benchmark.contenders import EngineRun, Run, alone, engine, interpolation, loop, plain
from arssr.benchmark.runner import AtScale, Benchmark, Other, run_benchmark
from arssr.benchmark.tables import tables, to_markdown
from arssr.engine.encoding.footprint import footprint
from arssr.engine.machine import Speed
from arssr.errors import ArSSRError

SCAN = volume(smooth((14, 12, 10), sigma=1))


def a_benchmark(seconds: float = 10.0) -> Benchmark:
    """Of a run of the engine that took so long, 4 of it for encoding."""
    run = engine(lively_network("light"), SCAN, 2.0)
    assert run.plan is not None
    plan = run.plan
    assert plan is not None
    speed = Speed(plan.layout.flops / 2, plan.decode_flops / 3)  # 2 s and 3 s at best
    pace = Speed(plan.layout.flops / 3, plan.decode_flops / 4.5)
    run = EngineRun(seconds, 4.0, 1e9, plan=plan, air=0.25, pace=pace)
    other = Other("plain", 35.0, None, 0.5, "half | of it")
    at = AtScale(2.0, (28, 24, 20), run, [other])
    machine = {"cpu": "a CPU", "threads": 2, "torch": "2"}
    network = {"encoder": "light", "parameters": 12345}
    part = (7, 6, 5)
    return Benchmark("tiny", network, machine, "float32", SCAN.grid.shape, speed, [at], part)


@pytest.mark.parametrize("flavour", ["paper", "residual"])
@pytest.mark.parametrize("encoder", ["rdn", "light"])
def test_every_way_runs(encoder: str, flavour: str) -> None:
    with thin_encoders():
        network = lively_network(encoder, flavour)
        alive = footprint(network).numbers
        for run in (engine(network, SCAN, 1.5), plain(network, SCAN, 1.5, alive)):
            assert 0 < run.encode_seconds < run.seconds and run.peak_bytes > 1e6
        several = loop(network, SCAN, 1.5, alive, 2)
        assert 0 < several.encode_seconds < several.seconds
    assert interpolation(SCAN, 1.5, "linear").encode_seconds == 0


def test_bare_work_beside_the_engine_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from arssr.benchmark import contenders

    now = 0.0  # on a clock that only bare work moves

    def bare_work() -> None:
        nonlocal now
        now += 0.05

    for name, flops in (("convolution_work", 5e9), ("product_work", 10e9)):
        monkeypatch.setattr(contenders, name, lambda *_, flops=flops: (bare_work, flops))
    monkeypatch.setattr(contenders, "_PACE_SECONDS", -1.0)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    run = engine(lively_network("light"), SCAN, 2.0)
    assert now > 1  # there was bare work beside the engine's
    assert run.seconds == pytest.approx(0, abs=1e-9)
    assert run.encode_seconds == pytest.approx(0, abs=1e-9)
    assert run.pace.convolution == pytest.approx(1e11)
    assert run.pace.product == pytest.approx(2e11)


def test_where_memory_is_short_the_plain_way_encodes_as_a_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from arssr.benchmark import contenders

    network, image = lively_network("light"), torch.rand(9, 8, 7)
    with torch.inference_mode():
        expected, streamed = contenders._encode_at_once(network, image, 100.0)
        assert not streamed
        monkeypatch.setattr(contenders, "available_bytes", lambda: 1000)
        found, streamed = contenders._encode_at_once(network, image, 100.0)
    assert streamed
    torch.testing.assert_close(found, expected, rtol=0, atol=4e-6 * float(expected.abs().max()))


def test_shares_are_the_best_possible_time_over_the_time_taken() -> None:
    benchmark = a_benchmark()
    shares = benchmark.shares(benchmark.scales[0].run, benchmark.best)
    np.testing.assert_allclose(shares, (2 / 4, 3 / 6, 5 / 10))
    [at] = json.loads(json.dumps(benchmark.to_json()))["scales"]
    np.testing.assert_allclose(at["engine"]["share_of_best"]["both"], 0.5)
    np.testing.assert_allclose(at["engine"]["share_of_pace"]["both"], 0.75)


def test_the_tables_say_it() -> None:
    page = to_markdown([a_benchmark()], "Speed")
    assert page.startswith("# Speed\n")
    assert "| engine | 10 | 1 | 1 GB |  |" in page
    assert "| plain | 35 | 3.5 |  | half \\| of it |" in page
    assert "| 50% | 50% | 50% |" in page and "| 75% | 75% | 75% |" in page
    assert "12,345 parameters" in page and "14×12×10" in page and "25%" in page
    assert [title for title, _, _ in tables(a_benchmark())] == [
        "Work",
        "Share of bare work",
        "What was predicted",
        "2×, to 28×24×20 voxels",
    ]


def test_extrapolation_counts_voxels_and_planes() -> None:
    small = volume(smooth((7, 6, 5), sigma=1))
    whole = runner._extrapolated("", Run(3.0, 1.0, 5e6), SCAN, small, 2.0, once=True)
    assert (whole.seconds, whole.peak_bytes, whole.share) == (24.0, None, 0.125)
    # 28 encodings of 8 times the voxels in 1/2 s each; 1/28 of the output's planes in 2 s
    looped = runner._extrapolated("", Run(3.0, 1.0, 5e6), SCAN, small, 2.0, once=False)
    assert looped.seconds == pytest.approx(28 * 8 / 2 + 2 * 28 / 2 * 4)
    assert "2 of 28 planes and 12.5% of the voxels" in looped.note
    same = runner._extrapolated("", Run(3.0, 1.0, 5e6, True), SCAN, SCAN, 2.0, once=True)
    assert (same.seconds, same.peak_bytes) == (3.0, 5e6) and "did not fit" in same.note


def test_all_of_it_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is, without the processes, which take seconds to begin."""
    threads_seen = []

    def here(work, *given, threads):  # type: ignore[no-untyped-def]
        threads_seen.append(threads)
        return work(*given)

    monkeypatch.setattr(runner, "alone", here)
    monkeypatch.setattr(runner, "measure", lambda *_: {"float32": Speed(1e10, 1e10)})
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    said: list[str] = []
    found = run_benchmark("tiny", lively_network("light"), SCAN, [2.0], 0.05, report=said.append)
    assert [at.scale for at in found.scales] == [2.0] and said
    assert list(found.by_threads) == [1, 2, 3] and set(threads_seen) == {1, 2, 3}
    assert list(found.by_scale) == [1.5, 2, 3, 4] and found.by_voxels
    names = [other.name for other in found.scales[0].others]
    assert names[:3] == ["trilinear", "cubic", "float32, encoded once"] and len(names) == 4
    assert "## tiny" in to_markdown([found], "Speed")


def _dies() -> None:
    import os

    os._exit(1)


@pytest.mark.slow
def test_a_process_of_its_own_with_its_threads() -> None:
    assert alone(torch.get_num_threads, threads=2) == 2
    with pytest.raises(ArSSRError, match="killed"):
        alone(_dies, threads=1)
