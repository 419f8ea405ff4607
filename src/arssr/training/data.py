"""High-resolution images in memory, ready to be sampled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from arssr.errors import ArSSRError
from arssr.intensity import Normalisation
from arssr.volume import Volume

_FOREGROUND = 0.1  # normalised intensity above which a voxel is worth a look
_CENTRES = 4096


@dataclass(frozen=True)
class Item:
    """One high-resolution image: normalised (I, J, K) float32 and where its foreground lies."""

    name: str
    image: Tensor
    centres: np.ndarray  # (M, 3) voxel indices of a random subset of the foreground


def load_item(path: Path, normalise: bool = True) -> Item:
    """Read an image; `normalise=False` keeps its intensities, as the reference program does."""
    data = Volume.read(path).data
    norm = Normalisation.fit(data, str(path))
    centres = np.argwhere(norm.apply(data) > _FOREGROUND)
    chosen = np.random.default_rng(0).choice(len(centres), min(_CENTRES, len(centres)), False)
    image = torch.from_numpy(np.ascontiguousarray(norm.apply(data) if normalise else data))
    return Item(path.name, image, centres[chosen])


def load_items(
    paths: Sequence[Path],
    smallest: int,
    normalise: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> list[Item]:
    """Read images, each at least `smallest` voxels along every axis.

    Raises ArSSRError for an empty list or an image that is too small.
    """
    if not paths:
        raise ArSSRError("no images to train on")
    items = []
    for number, path in enumerate(paths, start=1):
        item = load_item(path, normalise)
        if min(item.image.shape) < smallest:
            shape = "×".join(map(str, item.image.shape))
            raise ArSSRError(f"{path} is too small to train on: {shape}, needs {smallest} voxels")
        items.append(item)
        if progress:
            progress(number, len(paths))
    return items
