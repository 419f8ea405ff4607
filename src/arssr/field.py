"""The continuous voxel function of one volume: built once, read anywhere.

Wu et al. 2022 (arXiv 2110.14476) call it the implicit voxel function. A scale, a spacing, another
image's grid, an oblique plane, a list of points: all the same reading with other coordinates.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike

from arssr.antialias import averaged, parts_ijk
from arssr.engine.air import active_voxels, read_for
from arssr.engine.clock import Stopwatch
from arssr.engine.decoding.on_cpu import decode_lattice
from arssr.engine.decoding.on_gpu import decode_blocks
from arssr.engine.decoding.points import decode_points
from arssr.engine.decoding.taps import nearest_voxel
from arssr.engine.features import FeatureMap
from arssr.engine.out_of_memory import Runner
from arssr.engine.plan import Plan, Reading, make_plan, reading_of
from arssr.engine.transfer import to_device
from arssr.errors import ArSSRError
from arssr.grid import AxisPositions, Grid, Shape, corner_voxels
from arssr.intensity import Normalisation, beyond
from arssr.interpolation import SplineCoefficients, apply_axis_matrices, axis_matrix, outside
from arssr.networks import LARGEST_CELL, ImplicitVoxelNetwork
from arssr.on_device import Finish, normalised, samples_on
from arssr.progress import ReportProgress as ReportProgress
from arssr.progress import silent as silent
from arssr.readings import BOTH, Readings
from arssr.volume import Volume
from arssr.weights.interval import Interval

# What a device may still be computing, and waiting for it: values, and half-widths where wanted.
Coming = Callable[[], tuple[np.ndarray, ...]]
# Computes the planes of a slab from features; is told the share of them that is done.
ReadSlab = Callable[[FeatureMap, slice, Callable[[float], None]], Coming]
# What reads a field on a grid in slabs, as `VoxelField.read` does, and reports its progress.
Read = Callable[["VoxelField", Grid, ReportProgress], Iterator[np.ndarray]]

_OBLIQUE_CHUNK = 2**20  # points
_POINT_PLANES = 16  # of a window of features, read together by scattered points
_BEYOND_FP16 = "this image goes beyond the range of fp16; use bf16 or float32"


class VoxelField(Readings):
    """What `network` makes of `volume`, as a function of place. Intensities are the volume's.

    acquisition_ijk: per axis kspace, slice, spline or unknown, as far as the network is told.
    noise: its standard deviation in normalised intensity, or None for unknown.
    usual_noise: what training images have of it; the network is told what is beyond that
        (`told_noise`).
    memory: bytes that the whole process may take; by default a share of what is free.
    skip_air: leave air (`arssr.engine.air`) to the interpolation that the network corrects.
    samples: the volume's, where the network is, if they are there already.
    interval: what makes intervals of the half-widths that `network` tells (`networks.spread`).

    held: bytes that whoever reads it needs besides, to be set before that; they are planned for.

    Nothing is computed before the first reading. Features are then kept if they fit; else they
    are computed in a window that moves with the reading. They and arithmetic are in the network's
    dtype, on its device. Raises ArSSRError where the memory is too small.
    Beyond the field of view the border value holds for one voxel; farther out lies air, the
    lowest value of the normalisation.
    """

    def __init__(
        self,
        network: ImplicitVoxelNetwork,
        volume: Volume,
        normalisation: Normalisation,
        *,
        acquisition_ijk: Sequence[str] = ("unknown",) * 3,
        noise: float | None = None,
        usual_noise: float = 0.0,
        memory: float | None = None,
        skip_air: bool = True,
        progress: ReportProgress = silent,
        samples: torch.Tensor | None = None,
        interval: Interval | None = None,
    ) -> None:
        self.volume = volume
        self.normalisation = normalisation
        self.interval = interval
        self.acquisition_ijk = tuple(acquisition_ijk)
        self.noise, self.usual_noise = noise, usual_noise
        self.memory = memory
        self.held = 0.0
        self._progress = progress
        if samples is None:
            samples = samples_on(volume.data, network.device)
        self.image = normalised(samples, normalisation)
        self._condition = network.condition(acquisition_ijk, self.told_noise)
        if network.corrects and skip_air:
            self.active = active_voxels(self.image)
        else:
            self.active = np.ones(self.image.shape, bool)
        self._core = read_for(self.active)
        self._spline: SplineCoefficients | None = None
        self._runner = Runner(network)
        self._encoding = Stopwatch()

    @property
    def told_noise(self) -> float | None:
        """The noise that the network is told, in normalised intensity; None for unknown."""
        return None if self.noise is None else beyond(self.noise, self.usual_noise)

    @property
    def network(self) -> ImplicitVoxelNetwork:
        """The network that computes: the one given, or its copy on the CPU (`Runner`)."""
        return self._runner.network

    @property
    def keeps_features(self) -> bool:
        """See `Readings.keeps_features`."""
        return self._plan(self._reading(self.grid)).layout.whole

    @property
    def grid(self) -> Grid:
        """Where the samples lie that the field was made of."""
        return self.volume.grid

    @property
    def encode_seconds(self) -> float:
        """What features have taken so far."""
        return self._encoding.seconds

    @property
    def air(self) -> float:
        """The share of the input's voxels that is left to the interpolation."""
        return 1 - float(self.active.mean())

    def plan(self, grid: Grid) -> Plan:
        """What `slabs(grid)` will take, before anything is computed."""
        fine = grid.scaled(parts_ijk(grid, self.grid))  # what is really read
        return self._plan(self._reading(fine))

    def finished(
        self, grid: Grid, progress: ReportProgress, finishes: Sequence[Finish]
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """See `Readings.finished`."""
        self._require_outputs(len(finishes))
        parts = parts_ijk(grid, self.grid)
        if max(parts) > 1:
            fine = self.read(grid.scaled(parts), progress, len(finishes))
            yield from self.apart(averaged(fine, parts, grid.shape[2]), finishes)
            return
        reading = self._reading(grid)
        lattice = grid.axis_positions_in(self.grid)
        read = (
            partial(self._oblique, grid, finishes)
            if lattice is None
            else self._lattice(grid, lattice, finishes)
        )
        coming: deque[Coming] = deque()
        for slab in self._runner.resumed(partial(self._computed, reading, read, progress)):
            coming.append(slab)
            del slab
            # a GPU computes the next slab while this one leaves it
            while len(coming) > (self._runner.device.type == "cuda"):
                yield coming.popleft()()
        while coming:
            yield coming.popleft()()

    def _computed(
        self, reading: Reading, read: ReadSlab, progress: ReportProgress, start: int
    ) -> Iterator[tuple[int, Coming]]:
        """Slabs from plane `start` on, each with the plane that follows it."""
        total, plan = reading.shape[2], self._plan(reading)
        features = self._map(plan)
        while start < total:
            planes = slice(start, min(start + plan.slab_planes, total))

            def report(share: float, planes: slice = planes) -> None:
                done = planes.start + share * (planes.stop - planes.start)
                progress("decoding", done / total)

            start = planes.stop
            yield start, read(features, planes, report)
        features.close()

    def read_by(
        self, read: Read, grid: Grid, progress: ReportProgress = silent
    ) -> Iterator[np.ndarray]:
        """What `read` makes of this field; of an ensemble, the mean of what it makes of each."""
        return read(self, grid, progress)

    def read_at(
        self, points_ras_mm: ArrayLike, spacing_mm: ArrayLike | None = None, outputs: int = 1
    ) -> np.ndarray:
        """See `Readings.read_at`."""
        self._require_outputs(outputs)
        points = np.asarray(points_ras_mm, np.float64)
        if points.shape[-1:] != (3,):
            raise ArSSRError(f"points need three coordinates each; these have shape {points.shape}")
        if not np.isfinite(points).all():
            raise ArSSRError("points must be finite; these have NaN or infinite coordinates")
        size = np.full(3, self.grid.spacing_mm / 2 if spacing_mm is None else spacing_mm, float)
        if not (np.isfinite(size) & (size > 0)).all():
            raise ArSSRError(f"a voxel size must be greater than 0 and finite, not {spacing_mm!r}")
        index = self.grid.to_index(points).reshape(-1, 3)

        def read(_: int) -> Iterator[tuple[int, np.ndarray]]:
            yield len(index), self._scattered(index, size / self.grid.spacing_mm, outputs)

        [values] = self._runner.resumed(read)
        return values.reshape(outputs, *points.shape[:-1])

    def features(self) -> torch.Tensor:
        """Features (I, J, K, F) of the input, in the network's dtype, on its device.

        Zeros where air has been skipped. Raises ArSSRError where they do not fit into memory.
        """
        found = self._map(self._plan(self._reading(self.grid)))
        if not found.layout.whole:
            raise ArSSRError("the features of the whole image do not fit into memory")
        i, j, k = self._shape
        self._require(found, np.array([0, self._shape[found.layout.axis] - 1]))
        return found[slice(0, i), slice(0, j), slice(0, k)]

    @property
    def _shape(self) -> Shape:
        i, j, k = self.image.shape
        return i, j, k

    def _reading(self, grid: Grid) -> Reading:
        return reading_of(grid, self.grid, self.active)

    def _plan(self, reading: Reading, held: float = 0.0) -> Plan:
        runner = self._runner
        share, kept = runner.memory_share, runner.kept.layout if runner.kept else None
        try:
            return make_plan(
                self.network,
                self._shape,
                self._core,
                reading,
                self.memory,
                share,
                kept,
                held + self.held,
            )
        except ArSSRError:
            if runner.device.type == "cpu":
                raise
        runner.leave_gpu("not enough memory")
        return self._plan(reading, held)

    def _map(self, plan: Plan) -> FeatureMap:
        """Features to read from: those that are kept, or new ones."""
        if self._runner.kept:
            return self._runner.kept
        told = None if self._condition is None else to_device(self._condition, self._runner.device)
        report = partial(self._progress, "encoding")  # no closure: features go when the field does
        features = FeatureMap(self.network, self._image_there(), told, plan.layout, report)
        if features.layout.whole:
            self._runner.kept = features
        return features

    def _require(self, features: FeatureMap, planes: np.ndarray) -> None:
        """Have the features ready that are read around these planes of the image."""
        with self._encoding.on(self._runner.device):
            features.require(int(planes.min()) - 1, int(planes.max()) + 2)

    def _image_there(self) -> torch.Tensor:
        """The image where the network is."""
        self.image = to_device(self.image, self._runner.device)
        return self.image

    def _lattice(self, grid: Grid, lattice: AxisPositions, finishes: Sequence[Finish]) -> ReadSlab:
        """What reads slabs of a grid whose axes run along the input's."""
        along: list[np.ndarray] = [np.empty(0)] * 3  # positions along the image's axes
        for source_axis, positions in zip(lattice.axes, lattice.positions, strict=True):
            along[source_axis] = positions
        last = lattice.axes[2]
        size = grid.cell_in(self.grid)
        cell = np.minimum(size, LARGEST_CELL)
        matrices = [
            torch.from_numpy(axis_matrix("cubic", n, p).astype(np.float32))
            for n, p in zip(self._shape, along, strict=True)
        ]

        def read(features: FeatureMap, planes: slice, report: Callable[[float], None]) -> Coming:
            device = self._runner.device
            decode = decode_blocks if device.type == "cuda" else decode_lattice
            parts = [slice(None)] * 3
            parts[last] = planes
            i, j, k = (p[part] for p, part in zip(along, parts, strict=True))
            if self.network.corrects:
                chosen = [to_device(m[p], device) for m, p in zip(matrices, parts, strict=True)]
                values = apply_axis_matrices(self._image_there(), chosen)
            else:
                values = torch.zeros((len(i), len(j), len(k)), device=device)
            spread = torch.zeros_like(values) if len(finishes) == BOTH else None
            self._require(features, nearest_voxel(along[last][planes], self._shape[last]))
            for box, block in decode(self.network, features, (i, j, k), cell, self.active, report):
                values[box] += block[..., 0]
                if spread is not None:
                    spread[box] = block[..., 1]
            values.mul_(self.normalisation.scale).add_(self.normalisation.offset)
            for axis, (p, n) in enumerate(zip((i, j, k), self._shape, strict=True)):
                beyond = np.flatnonzero(outside(p, n))
                if len(beyond):
                    there = to_device(beyond, device)
                    values.index_fill_(axis, there, self.normalisation.offset)
            made = [values] if spread is None else [values, self._half_widths_(spread, size)]
            doubt = _BEYOND_FP16 if self.network.dtype == torch.float16 else ""
            leaving = [
                finish.leaving(each.permute(lattice.axes), doubt)
                for each, finish in zip(made, finishes, strict=True)
            ]
            return lambda: tuple(arrived() for arrived in leaving)

        return read

    def _in_units(self, values: np.ndarray, computed_in: torch.dtype) -> np.ndarray:
        """Normalised values in the input's units."""
        if computed_in == torch.float16 and not np.isfinite(values).all():
            raise ArSSRError(_BEYOND_FP16)
        return self.normalisation.invert(values)

    def _oblique(
        self,
        grid: Grid,
        finishes: Sequence[Finish],
        features: FeatureMap,
        planes: slice,
        report: Callable[[float], None],
    ) -> Coming:
        """A slab of a grid whose axes run across the input's."""
        to_source = grid.index_map_to(self.grid)
        shape = (*grid.shape[:2], planes.stop - planes.start)
        first = to_source[:3, 3] + planes.start * to_source[:3, 2]
        corners = corner_voxels(shape)

        def positions(index: np.ndarray) -> np.ndarray:
            return index @ to_source[:3, :3].T + first

        axis = features.layout.axis
        self._require(features, nearest_voxel(positions(corners)[:, axis], self._shape[axis]))
        data = np.empty((len(finishes), *shape), np.float32)
        flat = data.reshape(len(finishes), -1)
        count = flat.shape[1]
        for start in range(0, count, _OBLIQUE_CHUNK):
            stop = min(start + _OBLIQUE_CHUNK, count)
            index = positions(np.stack(np.unravel_index(np.arange(start, stop), shape), axis=-1))
            cell = grid.cell_in(self.grid)
            flat[:, start:stop] = self._values(features, index, cell, len(finishes))
            report(stop / count)
        return lambda: next(self.apart([data], finishes))

    def _scattered(self, index: np.ndarray, cell: np.ndarray, outputs: int) -> np.ndarray:
        """`_values` at voxel coordinates (P, 3) of the input, in any order."""
        axis = int(np.argmax(self._shape))
        reading = Reading((1, 1, 1), axis, False, _POINT_PLANES, 0.0, float(len(index)))
        features = self._map(self._plan(reading))
        nearest = nearest_voxel(index[:, axis], self._shape[axis])
        # a window of features moves once through the image, whatever the order of the points
        group = np.zeros(len(index), int) if features.layout.whole else nearest // _POINT_PLANES
        values = np.empty((outputs, len(index)), np.float32)
        for number in np.unique(group):
            chosen = group == number
            self._require(features, nearest[chosen])
            values[:, chosen] = self._values(features, index[chosen], cell, outputs)
        features.close()
        return values

    def _values(
        self, features: FeatureMap, index: np.ndarray, cell: np.ndarray, outputs: int
    ) -> np.ndarray:
        """(outputs, P): values, and for `BOTH` half-widths, in the input's units, at voxel
        coordinates (P, 3) of the image.
        """
        voxels = [nearest_voxel(index[:, a], n) for a, n in enumerate(self._shape)]
        wanted = self.active[tuple(voxels)]
        made = np.zeros((outputs, len(index)), np.float32)
        small = np.minimum(cell, LARGEST_CELL)
        made[:, wanted] = decode_points(self.network, features, index[wanted], small).T[:outputs]
        values = made[0]
        if self.network.corrects:
            if self._spline is None:
                self._spline = SplineCoefficients(self.image.cpu().numpy())
            values += self._spline.at(index)
        values = self._in_units(values, self.network.dtype)
        beyond = outside(index, np.array(self._shape))
        values[beyond.any(axis=1)] = self.normalisation.offset
        made[0] = values
        if outputs == BOTH:
            self._half_widths_(torch.from_numpy(made[1]), cell)
        return made
