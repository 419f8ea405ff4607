"""High-resolution images on the training device, ready to be sampled."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from arssr.errors import ArSSRError
from arssr.files import told_apart
from arssr.intensity import Normalisation
from arssr.scan import as_measured
from arssr.survey import require_intensities, require_size
from arssr.volume import Volume

_log = logging.getLogger(__name__)
CPU = torch.device("cpu")
_NONE = Normalisation.identity()
_FOREGROUND = 0.1  # normalised intensity above which a voxel is worth a look
_CENTRES = 4096
_WHOLE = 64  # voxels along the longest axis: smaller images are patches
_CUT_TO = 4  # an axis that is cut to its own band keeps one in so many voxels at least
_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Item:
    """One high-resolution image and where its foreground lies.

    image: (I, J, K) float16, normalised; rounding it costs as much as noise 75 dB below 1.
    units: what takes it to the intensities that the network sees (for the paper: the file's).
    thick_axes: those that may be degraded where a sample has a single thick axis.
    noise: what the image itself has; told on top of what a sample adds.
    """

    name: str
    image: Tensor
    centres: np.ndarray  # (M, 3) voxel indices of a random subset of the foreground
    units: Normalisation = _NONE
    thick_axes: tuple[int, ...] = (0, 1, 2)
    noise: float = 0.0

    @classmethod
    def of(cls, name: str, normalised: np.ndarray, device: torch.device = CPU) -> "Item":
        """An item of a normalised image (I, J, K)."""
        centres = np.argwhere(normalised > _FOREGROUND).astype(np.int32)
        chosen = np.random.default_rng(0).choice(len(centres), min(_CENTRES, len(centres)), False)
        half = np.clip(normalised, -_LARGEST, _LARGEST).astype(np.float16, order="C")
        return cls(name, torch.from_numpy(half).to(device), centres[chosen])

    @property
    def nbytes(self) -> int:
        """Memory that the image takes on the device."""
        return self.image.nbytes


def require_truth(path: Path, smallest: int, normalise: bool = True) -> Volume:
    """An image that can be trained on, as it is stored, for a `survey`.

    Raises ArSSRError as `load_item` does. Warns of nothing: whoever reads it again will.
    """
    volume = require_intensities(path, smallest, "to train on")
    if normalise and min(volume.grid.shape) < _CUT_TO * smallest:
        _require_measured(path, sharp_truth(volume)[0], smallest)
    return volume


def load_item(
    path: Path,
    smallest: int,
    normalise: bool = True,
    device: torch.device = CPU,
    name: str | None = None,
) -> Item:
    """Read an image on the voxels that were measured (`sharp_truth`).

    `normalise=False` keeps it and its intensities as stored, as the reference program does.
    name: what it is called, if not as its file.

    Raises ArSSRError for an image of fewer than `smallest` voxels along an axis or of a single
    value, and for labels, probabilities and phase.
    """
    volume = require_intensities(path, smallest, "to train on")
    for doubt in volume.warnings:
        _log.warning("%s: %s", path, doubt)
    thick_axes: tuple[int, ...] = (0, 1, 2)
    if normalise:
        volume, facts = sharp_truth(volume, name or path.name)
        thick_axes = tuple(facts["sharp_axes"])
        _require_measured(path, volume, smallest)
    norm = Normalisation.fit(volume.data, str(path))
    item = Item.of(name or path.name, norm.apply(volume.data), device)
    return replace(item, thick_axes=thick_axes) if normalise else replace(item, units=norm)


def _require_measured(path: Path, cut: Volume, smallest: int) -> None:
    require_size(cut, smallest, f"{path} was measured on too few voxels to train on")


def sharp_truth(volume: Volume, name: str | None = None) -> tuple[Volume, dict[str, Any]]:
    """An image on the voxels that were measured, and facts about it as plain values.

    Taught with an image that was stored finer, a network learns that there is no fine detail.
    Facts are `cut_to_band`, where it was cut, and `sharp_axes`: those along which the image is
    not soft (`AxisResolution.is_soft`), all where none is left. A warning says which are, if the
    image has a `name`. Of patches (below 64 voxels along every axis) spectra tell too little: they
    are left as they are.
    """
    if max(volume.grid.shape) < _WHOLE:
        return volume, {"sharp_axes": [0, 1, 2]}
    measured = as_measured(volume)
    axes = measured.resolution.axes
    sharp = [axis for axis in range(3) if not axes[axis].is_soft]
    for axis in {0, 1, 2}.difference(sharp) if name else ():
        _log.warning("%s: soft along %s, %s", name, "ijk"[axis], axes[axis].in_words())
    return measured.volume, measured.describe() | {"sharp_axes": sharp or [0, 1, 2]}


def load_items(
    paths: Sequence[Path],
    smallest: int,
    normalise: bool = True,
    progress: Callable[[int, int], None] | None = None,
    device: torch.device = CPU,
) -> list[Item]:
    """Read images, each at least `smallest` voxels along every axis.

    Raises ArSSRError for an empty list or an image that is too small.
    """
    if not paths:
        raise ArSSRError("no images to train on")
    items = []
    for number, (path, name) in enumerate(zip(paths, told_apart(paths), strict=True), start=1):
        items.append(load_item(path, smallest, normalise, device, name))
        if progress:
            progress(number, len(paths))
    return items
