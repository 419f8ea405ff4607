"""Whether what was measured is still in a result: how far the scan lies from what its acquisition
makes of the result, y − A x (`arssr.consistency`), summed plane by plane as the result comes.

Where A is the true acquisition the truth is as far from the scan as its noise is. A network that
smooths or sharpens too much is farther, all over; what lies far apart in one place alone is a
fault of the result, of the scan, or of what was told of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d

from arssr.consistency import Acquisition, in_percent
from arssr.field import VoxelField
from arssr.formats.samples import SLAB_VOXELS
from arssr.grid import Floats, Grid
from arssr.intensity import Normalisation
from arssr.measuring import Measuring
from arssr.on_device import samples_on

# The side in voxels of the boxes, and their distance, in which a scan and a result are compared.
_BOX, _STEP = 4, 2
# What a box of them may differ by: the root of the squares of a share of the range and of so much
# noise. Results of `light` differ by up to 0.095 of the range without noise, by up to 0.105 with
# noise of 3 % (five volumes, four acquisitions, five scales: `python benchmarks/agreement.py`), and
# those of the six clinical scans by up to 0.092.
_ALLOWED, _ALLOWED_NOISE = 0.15, 3.0
# Per voxel of what was measured: the sum, which voxels count, and the squares; and the scan on
# other voxels, where it had to be brought there.
_BYTES, _BYTES_ELSEWHERE = 10, 12
_BYTES_OF_PLANES = 12  # per voxel of the planes that are added at a time


@dataclass(frozen=True)
class Agreement:
    """Whether a result can be compared with its scan, and with what: the acquisition that a field
    was told, its noise and its range in the units of the scan.

    noise: standard deviation in what was measured; None where it is unknown. evened: whether the
    scan is one whose slices were evened (`arssr.evenness`), to be said.
    """

    scan: Tensor
    acquisition: Acquisition
    noise: float | None
    span: float
    evened: bool = False

    @classmethod
    def of(cls, voxel_field: VoxelField, grid: Grid, evened: bool = False) -> "Agreement":
        """That of what a field is read as on `grid`. Raises ArSSRError as `Acquisition` does."""
        scan, seen_in, noise = voxel_field.volume, voxel_field.normalisation, voxel_field.noise
        acquisition = Acquisition(scan.grid, grid, voxel_field.acquisition_ijk, scan.slices)
        if noise is not None:
            noise *= seen_in.scale * acquisition.noise_left
        if seen_in == Normalisation.identity():
            seen_in = Normalisation.fit(scan.data)
        return cls(samples_on(scan.data), acquisition, noise, seen_in.scale, evened)

    def bytes(self, grid: Grid) -> float:
        """Of memory that it takes while the result on `grid` comes."""
        measured, result = (math.prod(map(float, g.shape)) for g in (self.acquisition.grid, grid))
        each = _BYTES + (0 if self.acquisition.as_stored else _BYTES_ELSEWHERE)
        return each * measured + _BYTES_OF_PLANES * min(result, SLAB_VOXELS)

    def found(self, measuring: Measuring) -> dict[str, Any]:
        """What came of it, for a sidecar, when all planes have been measured.

        residual: root mean square of y − A x over the voxels that `Acquisition.counted` counts, in
        units of the scan, and as `share_of_range`; `times_noise`, where there is noise. farthest:
        the same of the box of 4×4×4 measured voxels where it is largest, and its middle. agrees:
        whether that is no more than can be.
        """
        apart = measuring.whole()
        scan = self.scan.to(apart.device)
        counted = self.acquisition.counted(scan)
        apart.sub_(self.acquisition.measured(scan)).masked_fill_(counted.logical_not(), 0)
        square = apart.square_()
        count = max(1, int(counted.sum()))  # on coarser voxels none may be left
        residual = math.sqrt(float(square.sum(dtype=torch.float64)) / count)
        worst, at = self._farthest(square)
        if not math.isfinite(residual):
            return not_computed("the result has NaN or infinite values")
        noise = residual if self.noise is None else self.noise
        found = {
            "residual": _short(residual),
            "share_of_range": _short(residual / self.span),
            **({"times_noise": _short(residual / self.noise)} if self.noise else {}),
            "farthest": {
                "residual": _short(worst),
                "share_of_range": _short(worst / self.span),
                "centre_ras_mm": [round(float(mm), 1) for mm in at],
            },
            "agrees": worst <= math.hypot(_ALLOWED * self.span, _ALLOWED_NOISE * noise),
        }
        return {"in_words": _in_words(found, "it, evened," if self.evened else "it"), **found}

    def _farthest(self, square: Tensor) -> tuple[float, Floats]:
        """The root mean square in the box where it is largest, and the middle of that, RAS+ mm."""
        sides = [min(_BOX, n) for n in square.shape]
        means = avg_pool3d(square[None], sides, _STEP, ceil_mode=True)[0]
        best = np.unravel_index(int(means.argmax()), means.shape)
        first = _STEP * np.array(best)
        last = np.minimum(first + sides, square.shape) - 1
        return math.sqrt(float(means.max())), self.acquisition.grid.to_world((first + last) / 2)


def not_computed(because: str) -> dict[str, Any]:
    """What a sidecar says instead of `Agreement.found`."""
    return {"in_words": f"not computed: {because}"}


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _in_words(found: Mapping[str, Any], it: str) -> str:
    """it: the scan, as it was compared."""
    farthest = found["farthest"]
    where = f"around {place_in_words(farthest['centre_ras_mm'])}"
    there, all_over = (in_percent(each["share_of_range"]) for each in (farthest, found))
    if not found["agrees"]:
        return (
            f"measured again as the scan was, the result does not agree with {it.rstrip(',')}: "
            f"{where} they differ by {there} of the scan's range, all over by {all_over}"
        )
    times = found.get("times_noise")
    noise = "" if times is None else f", {noise_in_words(times)}"
    return (
        f"measured again as the scan was, the result differs from {it} by {all_over} of its "
        f"range{noise}; farthest by {there}, {where}"
    )


def noise_in_words(times: float) -> str:
    """How many times the noise of an `Agreement` a residual is; it may be less than the scan's.

    >>> noise_in_words(0.9)
    'within the noise that is left on the voxels that are compared'
    >>> noise_in_words(2.52)
    '2.5 times the noise that is left on the voxels that are compared'
    """
    share = "within" if times <= 1 else f"{times:.2g} times"
    return f"{share} the noise that is left on the voxels that are compared"


def place_in_words(point_ras_mm: Sequence[float]) -> str:
    """A place in the body.

    >>> place_in_words([-12.2, 30, 4.1])
    'L 12, A 30, S 4 mm'
    """
    sides = zip(("LR", "PA", "IS"), point_ras_mm, strict=True)
    return ", ".join(f"{ends[int(mm >= 0)]} {abs(mm):.0f}" for ends, mm in sides) + " mm"
