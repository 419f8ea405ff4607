"""What is read of a field: images, slabs and points, values alone or with half-widths."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike

from arssr.errors import ArSSRError
from arssr.grid import Grid, Shape
from arssr.intensity import Normalisation
from arssr.networks import ImplicitVoxelNetwork
from arssr.on_device import Finish
from arssr.planes import (
    Cut,
    as_html,
    brightness_at_a_glance,
    grid_in_words,
    pictures,
    range_in_words,
    three_cuts,
)
from arssr.progress import ReportProgress, silent, usual
from arssr.volume import Volume
from arssr.weights.interval import Interval

AS_IT_IS = Finish()
BOTH = 2  # outputs: values and half-widths


def together(slabs: Iterable[Sequence[np.ndarray]], shape: Shape) -> list[np.ndarray]:
    """Slabs (I, J, n), one for each output, as arrays (I, J, K); a single one is not copied."""
    whole, done = list[np.ndarray](), 0
    for slab in slabs:
        planes = slab[0].shape[2]
        if planes == shape[2]:
            whole = list(slab)
            continue
        whole = whole or [np.empty(shape, np.float32) for _ in slab]
        for image, part in zip(whole, slab, strict=True):
            image[..., done : done + planes] = part
        done += planes
    return whole


class Readings(ABC):
    """Every way to read a field, made of two: slabs on a grid (`finished`), and points (`read_at`).

    volume: what the field was made of. acquisition_ijk, noise: as the network is told; the noise in
    normalised intensity, None for unknown. interval: None for a field without half-widths.
    """

    volume: Volume
    acquisition_ijk: tuple[str, ...]
    noise: float | None
    normalisation: Normalisation
    interval: Interval | None

    @property
    @abstractmethod
    def network(self) -> ImplicitVoxelNetwork:
        """What computes the values."""

    @property
    @abstractmethod
    def keeps_features(self) -> bool:
        """Whether features stay for the next reading, once they are computed.

        Raises ArSSRError where the memory is too small to compute any.
        """

    @abstractmethod
    def finished(
        self, grid: Grid, progress: ReportProgress, finishes: Sequence[Finish]
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """Slabs as `slabs` has them, of values and, for a second finish, of half-widths.

        Along axes that are averaged down the half-widths are averaged, too, which is more than
        enough: the errors of neighbours are no more alike than that.
        """

    @abstractmethod
    def read_at(
        self, points_ras_mm: ArrayLike, spacing_mm: ArrayLike | None = None, outputs: int = 1
    ) -> np.ndarray:
        """`at` as (outputs, …): values, and for `BOTH` half-widths."""

    def on(self, grid: Grid, progress: ReportProgress | None = None) -> Volume:
        """The field on any grid: other spacing, other axes, oblique.

        progress: hears what is done and how much of it, see `progress.usual`.
        """
        return self._images(grid, progress, 1)[0]

    def on_with_half_widths(
        self, grid: Grid, progress: ReportProgress | None = None
    ) -> tuple[Volume, Volume]:
        """`on`, and the half-widths there: with the probability of `interval` the truth is within
        value ± half-width. Both in the units of the image, computed together.

        Raises ArSSRError for a field without an interval.
        """
        values, half_widths = self._images(grid, progress, BOTH)
        return values, half_widths

    def _images(self, grid: Grid, progress: ReportProgress | None, outputs: int) -> list[Volume]:
        slabs = self.finished(grid, progress or usual(), (AS_IT_IS,) * outputs)
        return [self.volume.with_data(each, grid) for each in together(slabs, grid.shape)]

    def slabs(
        self, grid: Grid, progress: ReportProgress = silent, finish: Finish = AS_IT_IS
    ) -> Iterator[np.ndarray]:
        """The field on any grid as slabs (I, J, n) float32, the next planes along its last axis.

        As many together as the memory allows: an output may be larger than that. Along axes that
        are coarser than the input's it is read finely and averaged down. finish: what becomes of
        each slab, which then may be of another type.
        """
        for (slab,) in self.finished(grid, progress, (finish,)):
            yield slab

    def read(
        self, grid: Grid, progress: ReportProgress = silent, outputs: int = 1
    ) -> Iterator[np.ndarray]:
        """`slabs` as (outputs, I, J, n): values, and for `BOTH` half-widths.

        Raises ArSSRError for half-widths of a field without an interval.
        """
        for slab in self.finished(grid, progress, (AS_IT_IS,) * outputs):
            yield np.stack(slab) if outputs > 1 else slab[0][None]

    def at(self, points_ras_mm: ArrayLike, spacing_mm: ArrayLike | None = None) -> np.ndarray:
        """Values (…,) float32 at points (…, 3) in RAS+ mm.

        spacing_mm: the size of the voxel that a value should stand for, one or one along each of
        the input's axes; by default half the input's.
        """
        values: np.ndarray = self.read_at(points_ras_mm, spacing_mm)[0]
        return values

    def at_with_half_widths(
        self, points_ras_mm: ArrayLike, spacing_mm: ArrayLike | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """`at`, and the half-widths there, as `on_with_half_widths` has them."""
        values, half_widths = self.read_at(points_ras_mm, spacing_mm, BOTH)
        return values, half_widths

    def __repr__(self) -> str:
        where = repr(self.volume.grid).removeprefix("Grid(").removesuffix(")")
        return f"{type(self).__name__}({self.volume.name}: {where}, {self._told})"

    def _repr_html_(self) -> str:
        """Three planes, which alone are decoded, and facts. Features are computed if they were not
        yet; where they would not stay for the next reading, or cannot be, the scan is shown.
        """
        volume, network = self.volume, self.network
        finest_mm = float(volume.grid.spacing_mm.min())
        cuts, black_white = three_cuts(volume.grid), brightness_at_a_glance(volume.data)
        try:
            if not self.keeps_features:
                raise ArSSRError("no features of it stay in memory")
            planes = self._read_cuts(cuts, finest_mm)
            shown = f"the field, read as voxels of {finest_mm:.3g} mm"
        except ArSSRError as error:
            planes = [cut.nearest(volume.data) for cut in cuts]
            shown = f"the scan, as {error}"
        facts = {
            **grid_in_words(volume.grid),
            "told": self._told,
            "network": f"{network.config.encoder} encoder, {network.precision} on {network.device}",
            "half-widths": "" if self.interval is None else f"of {self.interval.probability:.0%}",
            "shown": f"{shown}; {range_in_words(black_white)}",
        }
        title = f"{type(self).__name__} of {volume.name}"
        return as_html(title, facts, pictures(cuts, planes, black_white))

    def _read_cuts(self, cuts: Sequence[Cut], spacing_mm: float) -> list[np.ndarray]:
        """Values (H, W) at the pixels of each plane, all read together."""
        points = [self.volume.grid.to_world(cut.index_ijk).reshape(-1, 3) for cut in cuts]
        values = self.at(np.concatenate(points), spacing_mm)
        parts = np.split(values, np.cumsum([len(each) for each in points])[:-1])
        shapes = [cut.index_ijk.shape[:2] for cut in cuts]
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    @property
    def _told(self) -> str:
        """What the network is told of the scan: its axes, and the noise in its units."""
        noise = "unknown" if self.noise is None else f"{self.noise * self.normalisation.scale:.3g}"
        return f"{' '.join(self.acquisition_ijk)}, noise {noise}"

    def apart(
        self, slabs: Iterable[np.ndarray], finishes: Sequence[Finish]
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """What is read (outputs, I, J, n), each output finished in its own way.

        Slabs may be overwritten. Averaged half-widths may have rung: none is below that of air.
        """
        for slab in slabs:
            if len(slab) == BOTH and self.interval:
                least = np.float32(self.interval.air * self.normalisation.scale)
                np.maximum(slab[1], least, out=slab[1])
            yield tuple(f.here(each) for f, each in zip(finishes, slab, strict=True))

    def _require_outputs(self, outputs: int) -> None:
        if outputs > 1:
            self._require_interval()

    def _require_interval(self) -> Interval:
        if self.interval is None:
            raise ArSSRError("this field was made without an interval, so it has no half-widths")
        return self.interval

    def _half_widths_(self, spread: torch.Tensor, cell: np.ndarray) -> torch.Tensor:
        """Half-widths in units of the image, of what the network tells, in place."""
        interval = self._require_interval()
        factor = interval.factor(self.acquisition_ijk, cell.tolist())
        return interval.half_widths_(spread, factor).mul_(self.normalisation.scale)
