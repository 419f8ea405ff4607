"""One model on one machine, all measured in one run: against the machine's own best, against other
ways to the same result, and with more threads, voxels and finer grids.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from arssr.benchmark.contenders import EngineRun, Run, alone, engine, interpolation, loop, plain
from arssr.engine.encoding.footprint import footprint
from arssr.engine.machine import Speed, cpu_model, measure
from arssr.engine.plan import decoder_flops
from arssr.grid import shape_in_words
from arssr.interpolation import resample
from arssr.networks import ImplicitVoxelNetwork
from arssr.volume import Volume

Report = Callable[[str], None]

_SPEED_SECONDS = 3.0  # for the machine's own best, before and after all the rest
_LOOP_PLANES = 2
_PARTS = (0.25, 0.5, 1.0)  # of the voxels, and scales: what scaling is shown over
_SCALES = (1.5, 2.0, 3.0, 4.0)
# What ordinary programs are expected to reach of the machine's best; only decides how large a scan
# they are given.
_ORDINARY = 0.4


@dataclass(frozen=True)
class Other:
    """A contender: its seconds and bytes for the whole scan, and how they were come by.

    share: of the scan's voxels that it was run on; seconds are extrapolated from there, and
    peak_bytes is None where that was not the whole scan.
    """

    name: str
    seconds: float
    peak_bytes: float | None
    share: float
    note: str = ""


@dataclass(frozen=True)
class AtScale:
    """One refinement of the scan: what the engine took, and what others take."""

    scale: float
    shape: tuple[int, ...]
    run: EngineRun
    others: list[Other]


@dataclass(frozen=True)
class Benchmark:
    """Everything that was measured.

    best: the machine's own speed in the precision of the network. by_threads, by_voxels,
    by_scale: runs of the engine on a scan of `part_shape`, or a part of its voxels.
    """

    name: str
    network: dict[str, Any]
    machine: dict[str, Any]
    precision: str
    shape: tuple[int, ...]
    best: Speed
    scales: list[AtScale]
    part_shape: tuple[int, ...]
    by_threads: dict[int, EngineRun] = field(default_factory=dict)
    by_voxels: dict[tuple[int, ...], EngineRun] = field(default_factory=dict)
    by_scale: dict[float, EngineRun] = field(default_factory=dict)

    def shares(self, run: EngineRun, of: Speed) -> tuple[float, float, float]:
        """Of a speed: encoding of its convolutions, all the rest of its products, and both
        together (the seconds that the work would take at that speed, over those it took).
        """
        encode = run.plan.layout.flops / of.convolution
        decode = run.plan.decode_flops / of.product
        rest = run.seconds - run.encode_seconds
        return encode / run.encode_seconds, decode / rest, (encode + decode) / run.seconds

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model": {"name": self.name, **self.network, "precision": self.precision},
            "machine": {**self.machine, "best_flops": asdict(self.best)},
            "input": list(self.shape),
            "scales": [
                {
                    "scale": at.scale,
                    "output": list(at.shape),
                    "engine": self._engine(at.run),
                    "others": [asdict(other) for other in at.others],
                }
                for at in self.scales
            ],
            "scaling": {
                "input": list(self.part_shape),
                "threads": [{"threads": n} | self._engine(r) for n, r in self.by_threads.items()],
                "voxels": [{"input": list(n)} | self._engine(r) for n, r in self.by_voxels.items()],
                "scale": [{"scale": k} | self._engine(r) for k, r in self.by_scale.items()],
            },
        }

    def _engine(self, run: EngineRun) -> dict[str, Any]:
        return {
            "seconds": run.seconds,
            "encode_seconds": run.encode_seconds,
            "peak_bytes": run.peak_bytes,
            "predicted_seconds": run.plan.seconds(self.best),
            "predicted_peak_bytes": run.plan.memory,
            "air_skipped": run.air,
            "encode_flops": run.plan.layout.flops,
            "decode_flops": run.plan.decode_flops,
            "pace_flops": asdict(run.pace),
            "share_of_best": self._shares(run, self.best),
            "share_of_pace": self._shares(run, run.pace),
        }

    def _shares(self, run: EngineRun, of: Speed) -> dict[str, float]:
        return dict(zip(("encode", "decode", "both"), self.shares(run, of), strict=True))


def run_benchmark(
    name: str,
    network: ImplicitVoxelNetwork,
    scan: Volume,
    scales: Sequence[float] = (2.0, 4.0),
    seconds: float = 60.0,
    scaling: bool = True,
    report: Report = lambda _: None,
) -> Benchmark:
    """Measure a network (on the CPU) on a scan.

    seconds: about the longest that an ordinary program may take; where it would take longer it is
    run on the same scan with fewer voxels, and extrapolated. scaling: runs with other numbers of
    threads, voxels and scales too. report: told what is being done.
    """
    threads = torch.get_num_threads()
    precision = network.precision
    report("speed of the machine")
    speeds = [measure(torch.device("cpu"), _SPEED_SECONDS)]
    found = []
    for scale in scales:
        report(f"{scale:g}x: engine")
        run = alone(engine, network, scan, scale, threads=threads)
        others = _others(network, scan, scale, seconds, speeds[0]["float32"], threads, report)
        found.append(AtScale(scale, scan.grid.scaled(scale).shape, run, others))
    small = scan
    by: list[dict[Any, EngineRun]] = [{}, {}, {}]
    if scaling:
        # about as many seconds for each of these runs too
        longest = max(_expected(at.run, at.scale) for at in found)
        small = _smaller(scan, seconds / 2 / longest)
        by = _scaling(network, small, scales[0], threads, report)
    report("speed of the machine")
    speeds.append(measure(torch.device("cpu"), _SPEED_SECONDS))
    best = Speed(
        max(s[precision].convolution for s in speeds), max(s[precision].product for s in speeds)
    )
    return Benchmark(
        name,
        {"encoder": network.config.encoder, "parameters": network.parameter_count},
        {"cpu": cpu_model(), "threads": threads, "torch": torch.__version__},
        precision,
        scan.grid.shape,
        best,
        found,
        small.grid.shape,
        *by,
    )


def _others(
    network: ImplicitVoxelNetwork,
    scan: Volume,
    scale: float,
    seconds: float,
    speed: Speed,
    threads: int,
    report: Report,
) -> list[Other]:
    """Trilinear, cubic, one plain run, the reference program's loop."""
    runs = []
    for name, kind in (("trilinear", "linear"), ("cubic", "cubic")):
        report(f"{scale:g}x: {name}")
        run = alone(interpolation, scan, scale, kind, threads=threads)
        runs.append(Other(name, run.seconds, run.peak_bytes, 1.0))
    grid = scan.grid.scaled(scale)
    taken = footprint(network)
    encode = taken.flops * _voxels(scan.grid.shape)
    decode = decoder_flops(network) * _voxels(grid.shape)
    encode, decode = (
        encode / (_ORDINARY * speed.convolution),
        decode / (_ORDINARY * speed.product),
    )
    report(f"{scale:g}x: float32, encoded once")
    small = _smaller(scan, seconds / (encode + decode))
    run = alone(plain, network, small, scale, taken.numbers, threads=threads)
    runs.append(_extrapolated("float32, encoded once", run, scan, small, scale, once=True))
    report(f"{scale:g}x: reference loop")
    small = _smaller(scan, seconds / (_LOOP_PLANES * encode))
    run = alone(loop, network, small, scale, taken.numbers, _LOOP_PLANES, threads=threads)
    name = "reference loop, encoded for each plane"
    runs.append(_extrapolated(name, run, scan, small, scale, once=False))
    return runs


def _extrapolated(
    name: str, run: Run, scan: Volume, small: Volume, scale: float, once: bool
) -> Other:
    """What a run on `small` says of the whole scan: work is in proportion to voxels."""
    shape, seen = scan.grid.scaled(scale).shape, small.grid.scaled(scale).shape
    share = _voxels(small.grid.shape) / _voxels(scan.grid.shape)
    encodes = 1.0 if once else shape[0] / _LOOP_PLANES
    planes = seen[0] if once else _LOOP_PLANES
    decoded = planes * seen[1] * seen[2] / _voxels(shape)
    rest = run.seconds - run.encode_seconds
    parts = [] if once else [f"{_LOOP_PLANES} of {shape[0]} planes"]
    if share < 1:
        parts.append(f"{share:.1%} of the voxels")
    notes = [f"extrapolated from {' and '.join(parts)}"] if parts else []
    if run.streamed:
        notes.append("encoded plane by plane: the whole did not fit")
    return Other(
        name,
        run.encode_seconds / share * encodes + rest / decoded,
        run.peak_bytes if share == 1 else None,
        share,
        ", ".join(notes),
    )


def _scaling(
    network: ImplicitVoxelNetwork, scan: Volume, scale: float, threads: int, report: Report
) -> list[dict[Any, EngineRun]]:
    """The engine's runs by threads, by voxels and by scale."""
    counts = sorted({min(2**n, threads) for n in range(threads.bit_length() + 1)})
    known: dict[tuple[Any, ...], EngineRun] = {}

    def run(scan: Volume, scale: float, threads: int) -> EngineRun:
        key = scan.grid.shape, scale, threads
        if key not in known:
            report(f"engine: {shape_in_words(scan.grid.shape)}, {scale:g}x, {threads} threads")
            known[key] = alone(engine, network, scan, scale, threads=threads)
        return known[key]

    parts = [_smaller(scan, part) for part in _PARTS]
    return [
        {count: run(scan, scale, count) for count in counts},
        {part.grid.shape: run(part, scale, threads) for part in parts},
        {k: run(scan, k, threads) for k in _SCALES},
    ]


def _expected(run: EngineRun, scale: float) -> float:
    """Seconds at the finest of the scales."""
    rest = run.seconds - run.encode_seconds
    return run.encode_seconds + rest * max(1.0, (max(_SCALES) / scale) ** 3)


def _smaller(scan: Volume, share: float) -> Volume:
    """The same scan with about that share of its voxels; as it is where that is all of them."""
    if share >= 1:
        return scan
    shape = [max(1, round(n * share ** (1 / 3))) for n in scan.grid.shape]
    return resample(scan, scan.grid.with_shape(shape))


def _voxels(shape: Sequence[int]) -> float:
    return float(np.prod(shape, dtype=float))
