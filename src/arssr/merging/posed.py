"""A scan at its pose, or each of its interleaves at one of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arssr.consistency import Acquisition
from arssr.grid import Floats, Grid
from arssr.merging.sampling import Sampling


@dataclass(frozen=True)
class Interleaves:
    """Groups of slices that moved against each other: of N the slices n, n + N, n + 2N, …, or the
    passes in which they were measured.

    axis: along which slices follow each other. motions: from the space of the scan, which is that
    of its first group, to that of each; (4, 4), RAS+ mm. passes: the group of each slice; () for
    every Nth.
    """

    axis: int
    motions: tuple[Floats, ...] = (np.eye(4),)
    passes: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """How many groups there are."""
        return len(self.motions)

    def divided(self, count: int) -> "Interleaves":
        """The same slices in so many groups, none of which has moved against the first."""
        return Interleaves(self.axis, (np.eye(4),) * count)

    def by_passes(self, passes: tuple[int, ...]) -> "Interleaves":
        """The same slices in these groups, none of which has moved against the first."""
        return Interleaves(self.axis, (np.eye(4),) * (1 + max(passes)), passes)

    def of(self, number: int) -> tuple[slice | list[int], ...]:
        """Where a group lies in what was measured."""
        along: list[slice | list[int]] = [slice(None)] * 3
        along[self.axis] = slice(number, None, len(self.motions))
        if self.passes:
            along[self.axis] = [k for k, of_slice in enumerate(self.passes) if of_slice == number]
        return tuple(along)


class Posed:
    """A: what an acquisition makes of what is read, group by group, where its slices lie."""

    def __init__(
        self,
        acquisition: Acquisition,
        common: Grid,
        fine: Grid,
        motion: Floats,
        interleaves: Interleaves,
        mask: NDArray[np.bool_] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """See `Sampling` and `stack_of`."""
        self._acquisition, self._interleaves = acquisition, interleaves
        self._samplings = [
            Sampling(common, fine, of_group @ motion, mask, device)
            for of_group in interleaves.motions
        ]

    def measure(self, coefficients: Tensor) -> Tensor:
        """A x of an image with these spline coefficients, on the grid of the acquisition."""
        return self._by_groups([sampling.read(coefficients) for sampling in self._samplings])

    def spread(self, values: Tensor, onto: Tensor) -> None:
        """Add Aᵀ of values (I, J, K) to coefficients, in place."""
        for number, sampling in enumerate(self._samplings):
            part = values
            if len(self._samplings) > 1:
                part, where = torch.zeros_like(values), self._interleaves.of(number)
                part[where] = values[where]
            sampling.spread(self._acquisition.spread(part), onto)

    def seen_share(self) -> Tensor:
        """(I, J, K) how much of what each voxel measures lies where something is read, 0 to 1."""
        return self._by_groups([sampling.seen() for sampling in self._samplings])

    def _by_groups(self, images: Sequence[Tensor]) -> Tensor:
        """What is measured of an image for each group."""
        measured = self._acquisition.measure(images[0])
        for number, image in enumerate(images[1:], start=1):
            where = self._interleaves.of(number)
            measured[where] = self._acquisition.measure(image)[where]
        return measured
