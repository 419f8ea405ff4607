"""Real lesions, outlined once (outlines.json): their contrast and volume after degrading and back.

An outline is what lies above a level in the image, smoothed by one voxel within its planes, inside
a box, and hangs together with one voxel. Of 2D scans, which have no truth across their slices,
only the plane is degraded. `lesions.py` runs this.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from whole import Whole

from arssr.api import Model
from arssr.evaluation.protocol import Setting
from arssr.interpolation import resample
from arssr.volume import Volume

OUTLINES = Path(__file__).with_name("outlines.json")
SCALES = (2, 3, 4)
AROUND_MM = (2.0, 5.0)  # the surroundings, from the outline
NEAR_MM = 2.0  # of the outline: there the volume is counted
MARGIN = 30  # voxels that are kept around an outline; of a 2D scan's slices 2
WHOLE = 12  # a crop is so many voxels long, or a multiple: whole voxels at 2, 3 and 4 times


@dataclass(frozen=True)
class Outline:
    """A lesion: in `file`, what is brighter than `above` in `box` and connected to `within`."""

    file: str
    name: str
    box: list[list[int]]
    above: float
    within: list[int]

    def of(self, scan: Volume) -> NDArray[np.bool_]:
        """Where it is."""
        thick = scan.grid.thick_axes()
        smooth = ndimage.gaussian_filter(scan.data, [0 if a in thick else 1 for a in range(3)])
        box = tuple(slice(*ends) for ends in self.box)
        inside = np.zeros(scan.data.shape, bool)
        inside[box] = smooth[box] > self.above
        parts = ndimage.label(inside)[0]
        return parts == parts[tuple(self.within)]


def outlines() -> list[Outline]:
    """Those that are committed."""
    return [Outline(**entry) for entry in json.loads(OUTLINES.read_text(encoding="utf-8"))]


def cut_out(scan: Volume, outline: NDArray[np.bool_]) -> tuple[Volume, NDArray[np.bool_]]:
    """The surroundings of a lesion, which are degraded."""
    thick, box = scan.grid.thick_axes(), []
    for axis, (n, found) in enumerate(
        zip(outline.shape, ndimage.find_objects(outline.astype(np.uint8))[0], strict=True)
    ):
        whole, margin = (1, 2) if axis in thick else (WHOLE, MARGIN)
        size = min(-(-(found.stop - found.start + 2 * margin) // whole), n // whole) * whole
        start = min(max(0, (found.start + found.stop - size) // 2), n - size)
        box.append(slice(start, start + size))
    i, j, k = box
    return scan.with_data(scan.data[i, j, k], scan.grid.part((i, j, k))), outline[i, j, k]


class Measure:
    """Contrast and volume of an outlined lesion in images on one grid."""

    def __init__(self, truth: Volume, outline: NDArray[np.bool_]) -> None:
        spacing = truth.grid.spacing_mm.copy()
        spacing[truth.grid.thick_axes()] = 1e3  # surroundings in the same slices
        away = ndimage.distance_transform_edt(~outline, sampling=spacing)
        self._outline, self._near = outline, away <= NEAR_MM
        self._around = (away >= AROUND_MM[0]) & (away <= AROUND_MM[1])
        self.half = self._level(truth) + self.contrast(truth) / 2

    def contrast(self, image: Volume) -> float:
        """The mean inside less the median around."""
        return float(image.data[self._outline].mean()) - self._level(image)

    def volume(self, image: Volume) -> int:
        """Voxels in and near the outline that are above half of the truth's contrast."""
        return int((image.data[self._near] > self.half).sum())

    def _level(self, image: Volume) -> float:
        return float(np.median(image.data[self._around]))


def measured(
    scan: Volume, outline: NDArray[np.bool_], model: Model | None
) -> list[tuple[str, float, float]]:
    """Setting, and the shares of contrast and volume that a model, or cubic, brings back."""
    truth, inside = cut_out(scan, outline)
    flat, measure, rows = truth.grid.thick_axes(), Measure(truth, inside), []
    for name in ("kspace",) if flat else ("kspace", "slice-box"):
        for scale in SCALES:
            scales = tuple(1.0 if axis in flat else float(scale) for axis in range(3))
            setting = Setting(name, (scales[0], scales[1], scales[2]))
            low = setting.measure(truth)
            if model is None:
                result = resample(low, truth.grid)
            else:
                told = ["slice" if axis in flat else setting.acquisition for axis in range(3)]
                whole = Whole.of(setting.measure(scan))
                result = whole.upsample(model, low, truth.grid, told)
            contrast = measure.contrast(result) / measure.contrast(truth)
            rows.append((str(setting), contrast, measure.volume(result) / measure.volume(truth)))
    return rows
