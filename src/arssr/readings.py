"""What is read of a field: images, slabs and points, values alone or with half-widths."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike

from arssr.errors import ArSSRError
from arssr.grid import Grid, Shape
from arssr.intensity import Normalisation
from arssr.on_device import Finish
from arssr.volume import Volume
from arssr.weights.interval import Interval

ReportProgress = Callable[[str, float], None]
"""Is told what is being done, in words, and the share of it that is done."""

AS_IT_IS = Finish()
BOTH = 2  # outputs: values and half-widths


def silent(_what: str, _share: float) -> None:
    """Reports to nobody."""


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

    volume: what the field was made of. acquisition_ijk: as the network is told. interval: None for
    a field without half-widths.
    """

    volume: Volume
    acquisition_ijk: tuple[str, ...]
    normalisation: Normalisation
    interval: Interval | None

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

    def on(self, grid: Grid, progress: ReportProgress = silent) -> Volume:
        """The field on any grid: other spacing, other axes, oblique."""
        return self._images(grid, progress, 1)[0]

    def on_with_half_widths(
        self, grid: Grid, progress: ReportProgress = silent
    ) -> tuple[Volume, Volume]:
        """`on`, and the half-widths there: with the probability of `interval` the truth is within
        value ± half-width. Both in the units of the image, computed together.

        Raises ArSSRError for a field without an interval.
        """
        values, half_widths = self._images(grid, progress, BOTH)
        return values, half_widths

    def _images(self, grid: Grid, progress: ReportProgress, outputs: int) -> list[Volume]:
        slabs = self.finished(grid, progress, (AS_IT_IS,) * outputs)
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
