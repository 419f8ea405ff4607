"""The engine and what it is compared with, each run in a process of its own."""

import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from arssr.engine.encoding.encode import encode_box
from arssr.engine.machine import Speed, Work, convolution_work, product_work
from arssr.engine.memory import available_bytes
from arssr.engine.plan import Plan
from arssr.errors import ArSSRError
from arssr.evaluation.meter import Meter
from arssr.field import VoxelField
from arssr.intensity import Normalisation
from arssr.interpolation import Kind, resample
from arssr.networks import ImplicitVoxelNetwork
from arssr.volume import Volume
from arssr.workers import worker_pool

T = TypeVar("T")

_UNKNOWN = ("unknown",) * 3  # acquisition: what the network is told changes no work
_PUSHED = 4  # planes at a time, where the plain way has to be encoded by the stream
_FITS = 0.6  # of the memory that is free
_PACE_SECONDS, _PACE_TIMES = 0.5, 4  # bare work beside the engine's: how often, and how much


@dataclass(frozen=True)
class Run:
    """What a run took. encode_seconds: of `seconds`; 0 where there is nothing to encode.

    peak_bytes: of the process, resident. streamed: the features were computed plane by plane,
    because all layers of the whole scan do not fit at once.
    """

    seconds: float
    encode_seconds: float
    peak_bytes: float
    streamed: bool = False


@dataclass(frozen=True, kw_only=True)
class EngineRun(Run):
    """plan: made beforehand. air: share of the scan's voxels that was left to interpolation.

    pace: what a bare convolution reached while features were encoded, and a bare product in the
    rest of the time. On a machine that others use too that is not what it reaches at its best.
    """

    plan: Plan
    air: float
    pace: Speed


def alone(work: Callable[..., T], *given: Any, threads: int) -> T:
    """What `work(*given)` returns in a fresh process with so many threads.

    Raises ArSSRError where the process is killed.
    """
    with worker_pool(1) as pool:
        try:
            return pool.submit(_with_threads, threads, work, given).result()
        except BrokenProcessPool:
            raise ArSSRError(f"{work.__name__}: its process was killed (memory?)") from None


def _with_threads(threads: int, work: Callable[..., T], given: tuple[Any, ...]) -> T:
    torch.set_num_threads(threads)
    return work(*given)


class _Bare:
    """Bare work, done a little at a time. seconds: all that it took beside other work."""

    def __init__(self, work: Work) -> None:
        self._work, self._flops = work
        self._done = self._busy = self.seconds = 0.0
        self.measure()
        self.seconds = 0.0  # nothing else was going on yet

    @torch.inference_mode()
    def measure(self) -> None:
        started = time.perf_counter()
        self._work()  # what the caches held was something else
        before = time.perf_counter()
        for _ in range(_PACE_TIMES):
            self._work()
        ended = time.perf_counter()
        self._busy += ended - before
        self._done += _PACE_TIMES * self._flops
        self.seconds += ended - started

    @property
    def speed(self) -> float:
        return self._done / self._busy


class _Pace:
    """Told of progress, it does a little bare work now and then, and knows what that takes."""

    def __init__(self, dtype: torch.dtype) -> None:
        cpu = torch.device("cpu")
        self.encoding = _Bare(convolution_work(dtype, cpu))
        self.rest = _Bare(product_work(dtype, cpu))
        self._last = time.perf_counter()

    def __call__(self, what: str, _share: float) -> None:
        if time.perf_counter() - self._last > _PACE_SECONDS:
            (self.encoding if what == "encoding" else self.rest).measure()
            self._last = time.perf_counter()


def engine(network: ImplicitVoxelNetwork, scan: Volume, scale: float) -> EngineRun:
    """As `arssr upsample` does it, without reading and writing files."""
    grid = scan.grid.scaled(scale)
    pace = _Pace(network.dtype)
    with Meter() as meter:
        normalisation = Normalisation.fit(scan.data, "the scan")
        field = VoxelField(network, scan, normalisation, progress=pace)
        plan = field.plan(grid)
        for _ in field.slabs(grid, pace):
            pass
    return EngineRun(
        meter.seconds - pace.encoding.seconds - pace.rest.seconds,
        field.encode_seconds - pace.encoding.seconds,
        meter.peak_mib * 2**20,
        plan=plan,
        air=field.air,
        pace=Speed(pace.encoding.speed, pace.rest.speed),
    )


def interpolation(scan: Volume, scale: float, kind: Kind) -> Run:
    """Without a network."""
    with Meter() as meter:
        resample(scan, scan.grid.scaled(scale), kind)
    return Run(meter.seconds, 0.0, meter.peak_mib * 2**20)


def plain(network: ImplicitVoxelNetwork, scan: Volume, scale: float, numbers: float) -> Run:
    """What an ordinary program does: float32, the encoder once over the whole scan, then every
    output voxel through trilinear reading and the decoder, plane by plane.

    numbers: of the encoder, alive for each voxel (`arssr.engine.encoding.footprint`).
    """
    shape = scan.grid.scaled(scale).shape
    return _ordinary(network, scan, scale, range(shape[0]), numbers, once=True)


def loop(
    network: ImplicitVoxelNetwork, scan: Volume, scale: float, numbers: float, planes: int
) -> Run:
    """What the reference program does: the encoder again for each output plane; here for so many
    of them, in the middle.
    """
    first = (scan.grid.scaled(scale).shape[0] - planes) // 2
    return _ordinary(network, scan, scale, range(first, first + planes), numbers, once=False)


@torch.inference_mode()
def _ordinary(
    network: ImplicitVoxelNetwork,
    scan: Volume,
    scale: float,
    planes: range,
    numbers: float,
    once: bool,
) -> Run:
    network = network.float().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    grid = scan.grid.scaled(scale)
    to_source = grid.index_map_to(scan.grid)  # a finer grid's axes run along the scan's
    along = [
        torch.from_numpy((step * np.arange(n) + first).astype(np.float32))
        for step, first, n in zip(to_source.diagonal(), to_source[:3, 3], grid.shape, strict=False)
    ]
    cell = torch.full((1, 3), 1 / scale)
    encode_seconds = 0.0
    with Meter() as meter:
        normalised = Normalisation.fit(scan.data, "the scan").apply(scan.data)
        image = torch.from_numpy(np.ascontiguousarray(normalised))
        result = torch.zeros(grid.shape)
        if network.corrects and once:
            result += torch.from_numpy(resample(scan.with_data(normalised, scan.grid), grid).data)
        features: torch.Tensor | None = None
        for plane in planes:
            if features is None or not once:
                features = None  # let go of before there are new ones
                before = time.perf_counter()
                features, streamed = _encode_at_once(network, image, numbers)
                encode_seconds += time.perf_counter() - before
            i, j, k = torch.meshgrid(along[0][plane : plane + 1], *along[1:], indexing="ij")
            positions = torch.stack([i, j, k], dim=-1).view(1, -1, 3)
            values = network.decode(features, positions, cell)
            result[plane] += values[..., 0].view(grid.shape[1:])
    return Run(meter.seconds, encode_seconds, meter.peak_mib * 2**20, streamed)


def _encode_at_once(
    network: ImplicitVoxelNetwork, image: torch.Tensor, numbers: float
) -> tuple[torch.Tensor, bool]:
    """Features (1, F, I, J, K), and whether they had to be computed as a stream."""
    condition = network.condition(_UNKNOWN, noise=None)
    if 4.0 * (numbers + 2 * network.config.feature_dim) * image.numel() < _FITS * available_bytes():
        told = None if condition is None else condition[None]
        return network.encode(image[None, None], told), False
    i, j, k = image.shape
    features = torch.empty(1, network.config.feature_dim, i, j, k)
    core = slice(0, i), slice(0, j), slice(0, k)
    done = 0
    for portion in encode_box(network, image, condition, core, (0, 1, 2), _PUSHED):
        features[0, :, done : done + len(portion)] = portion.permute(3, 0, 1, 2)
        done += len(portion)
    return features, True
