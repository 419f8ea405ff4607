"""Self-ensemble: the scan flipped, super-resolved, turned back and averaged.

A flipped image of an anatomy is as good an image, but a network's answer to it is not quite the
flipped answer. What differs is error, and a mean has less of it (Timofte et al. 2016,
arXiv 1511.02228; Lim et al. 2017, arXiv 1707.02921, "geometric self-ensemble").

A volume that is flipped together with its affine lies where it lay, so a member is a field like
any other, read on the same grid, and nothing has to be turned back. Members are computed one after
the other, as features of several would not fit where those of one just do; what is held meanwhile
is their sum. Where that is too large for the memory, the output is made in parts.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from arssr.antialias import averaged, parts_ijk
from arssr.engine.plan import FEWER_PLANES, Plan, budget_of
from arssr.errors import ArSSRError
from arssr.field import Read, ReportProgress, VoxelField, silent
from arssr.grid import Grid
from arssr.intensity import Normalisation
from arssr.networks import ImplicitVoxelNetwork
from arssr.on_device import Finish
from arssr.volume import Volume
from arssr.weights.interval import Interval

Flip = tuple[int, ...]  # the axes that are turned round

# In an order in which the first four are the half turns about each axis: they treat the axes
# alike, undo each other, and a left hand stays one.
_FLIPS: tuple[Flip, ...] = ((), (0, 1), (0, 2), (1, 2), (0,), (1,), (2,), (0, 1, 2))
_MEMBERS = (1, 4, 8)
_SUM_SHARE = 0.5  # of the memory that is left, for the sum of the members
_SUM_BYTES = 4  # per voxel of the output
_MEMBER_BYTES = 5  # per voxel of the input: its image and which of it is air
# What members leave in the allocator that the next does not find again, beyond what a process
# grows by anyhow: 35 MB measured (light, 96^3 voxels at 2x, --ensemble 4 --memory 540MB).
_LEFT_BYTES = 50e6


def flips(members: int) -> tuple[Flip, ...]:
    """The axes that each member of an ensemble flips. Raises ArSSRError where it has none so many.

    >>> flips(4)
    ((), (0, 1), (0, 2), (1, 2))
    """
    if members not in _MEMBERS:
        raise ArSSRError(f"an ensemble has 1, 4 or 8 members, not {members}")
    return _FLIPS[:members]


class EnsembleField(VoxelField):
    """The mean of the fields that a network makes of a volume and of its flips.

    members: the axes that each flips. The rest as of `VoxelField`; what is told of an axis stays
    with it. Nothing is kept between readings: each computes the features of every member again.
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
        members: Sequence[Flip] = _FLIPS,
    ) -> None:
        super().__init__(
            network,
            volume,
            normalisation,
            acquisition_ijk=acquisition_ijk,
            noise=noise,
            usual_noise=usual_noise,
            memory=memory,
            skip_air=skip_air,
            progress=progress,
            samples=samples,
            interval=interval,
        )
        self._flips, self._skip_air = members, skip_air

    @property
    def keeps_features(self) -> bool:
        """None of any member."""
        return False

    def plan(self, grid: Grid) -> Plan:
        """See `VoxelField.plan`."""
        fine = grid.scaled(parts_ijk(grid, self.grid))  # what is really read
        parts, held, _ = self._parts(fine)
        plan = self._plan(self._reading(fine), held)
        return replace(plan, members=len(self._flips), parts=parts)

    def finished(
        self, grid: Grid, progress: ReportProgress, finishes: Sequence[Finish]
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """See `VoxelField.finished`; half-widths are the mean of those of the members."""
        self._require_outputs(len(finishes))
        cut = parts_ijk(grid, self.grid)
        if max(cut) > 1:  # the filter reaches from one part of the output into the next
            fine = self.read(grid.scaled(cut), progress, len(finishes))
            found = averaged(fine, cut, grid.shape[2])
        else:
            self.plan(grid)  # refuses what does not fit
            read = partial(VoxelField.read, outputs=len(finishes))
            found = self.read_by(read, grid, progress)
        yield from self.apart(found, finishes)

    def read_by(
        self, read: Read, grid: Grid, progress: ReportProgress = silent
    ) -> Iterator[NDArray[np.float32]]:
        """See `VoxelField.read_by`; the last member's slabs, by then the mean, go as they come."""
        parts, _, room = self._parts(grid)
        planes = math.ceil(grid.shape[2] / parts)
        count, total = len(self._flips), np.empty(0, np.float32)
        for start in range(0, grid.shape[2], planes):
            part = grid.part((slice(None), slice(None), slice(start, start + planes)))
            total.fill(0)
            for number, flip in enumerate(self._flips):
                where = f"member {number + 1} of {count}"
                if parts > 1:
                    where += f", part {start // planes + 1} of {parts}"
                done = 0
                member = self._member(flip, room, where)
                for slab in read(member, part, _naming(where, progress)):
                    if not total.size:
                        total = np.zeros((len(slab), *grid.shape[:2], planes), np.float32)
                    so_far = total[..., done : done + slab.shape[-1]]
                    so_far += slab
                    done += slab.shape[-1]
                    if number + 1 == count:
                        yield so_far / np.float32(count)
                self._runner.network = member.network  # on the CPU, if it had to go there
                del member  # and its features, before the next has any

    def read_at(
        self, points_ras_mm: ArrayLike, spacing_mm: ArrayLike | None = None, outputs: int = 1
    ) -> NDArray[np.float32]:
        """See `VoxelField.read_at`. It computes all members: ask for many points at once."""
        self._require_outputs(outputs)
        budget, resident = budget_of(self.memory)
        room = budget - resident - self._member_bytes
        total = np.zeros((outputs, *np.shape(points_ras_mm)[:-1]), np.float32)
        for number, flip in enumerate(self._flips):
            where = f"member {number + 1} of {len(self._flips)}"
            member = self._member(flip, room, where)
            total += member.read_at(points_ras_mm, spacing_mm, outputs)
            self._runner.network = member.network
            del member
        return np.divide(total, np.float32(len(self._flips)), dtype=np.float32)

    def features(self) -> torch.Tensor:
        """Raises ArSSRError: there is no one map of them."""
        raise ArSSRError("an ensemble has features for every member; take a field without one")

    @property
    def _member_bytes(self) -> float:
        return _MEMBER_BYTES * float(self.volume.data.size) + _LEFT_BYTES

    def _parts(self, grid: Grid) -> tuple[int, float, float]:
        """In how many parts an output is made, the bytes held meanwhile, and those left besides.

        Larger parts, which are less work, where they leave the members room enough.
        """
        budget, resident = budget_of(self.memory)
        budget -= self.held
        outputs = self.network.decoder.channels
        plane = outputs * _SUM_BYTES * float(grid.shape[0]) * grid.shape[1]
        count = grid.shape[2]
        planes = int(np.clip(_SUM_SHARE * (budget - resident) // plane, 1, count))
        while True:
            parts = math.ceil(count / planes)
            held = math.ceil(count / parts) * plane + self._member_bytes
            if planes == 1 or self._has_room(grid, held):
                return parts, held, budget - resident - held
            planes = max(1, planes // FEWER_PLANES)

    def _has_room(self, grid: Grid, held: float) -> bool:
        try:
            self._plan(self._reading(grid), held)
        except ArSSRError:
            return False
        return True

    def _member(self, flip: Flip, room: float, where: str) -> VoxelField:
        """The field of the flipped volume, which may take `room` bytes more than the process has.

        So all members find the same room, whatever those before them left behind.
        """
        scan = self.volume
        member = VoxelField(
            self.network,
            scan.with_data(np.flip(scan.data, flip), scan.grid.flipped(flip)),
            self.normalisation,
            acquisition_ijk=self.acquisition_ijk,
            noise=self.noise,
            usual_noise=self.usual_noise,
            skip_air=self._skip_air,
            progress=_naming(where, self._progress),
            interval=self.interval,
        )
        _, resident = budget_of(None)
        member.memory = resident + room
        return member


def _naming(where: str, progress: ReportProgress) -> ReportProgress:
    """Progress that says which of several it is about."""
    return lambda what, share: progress(f"{what}, {where}", share)
