"""High-resolution images on the training device, ready to be sampled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from arssr.errors import ArSSRError
from arssr.intensity import Normalisation
from arssr.volume import Volume

CPU = torch.device("cpu")
_NONE = Normalisation.identity()
_FOREGROUND = 0.1  # normalised intensity above which a voxel is worth a look
_CENTRES = 4096
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


def load_item(
    path: Path, smallest: int, normalise: bool = True, device: torch.device = CPU
) -> Item:
    """Read an image; `normalise=False` keeps its intensities, as the reference program does.

    Raises ArSSRError for an image of fewer than `smallest` voxels along an axis.
    """
    data = Volume.read(path).data
    if min(data.shape) < smallest:
        shape = "×".join(map(str, data.shape))
        raise ArSSRError(f"{path} is too small to train on: {shape}, needs {smallest} voxels")
    norm = Normalisation.fit(data, str(path))
    item = Item.of(path.name, norm.apply(data), device)
    return item if normalise else Item(item.name, item.image, item.centres, norm)


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
    for number, path in enumerate(paths, start=1):
        items.append(load_item(path, smallest, normalise, device))
        if progress:
            progress(number, len(paths))
    return items
