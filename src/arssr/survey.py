"""A look at every image before work on them begins: what cannot be used, and what is known already.

Nobody likes to hear of one damaged file a run, nor of one after hours.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arssr.domain import Look
from arssr.errors import ArSSRError, in_one_line
from arssr.files import counted, sha256, told_apart
from arssr.grid import shape_in_words
from arssr.identity import samples_sha256
from arssr.volume import Volume, open_frames

_log = logging.getLogger(__name__)

_LISTED = 50  # that a message names
_READERS = 4  # threads; decompressing, sorting and hashing leave Python's lock to the others


@dataclass(frozen=True)
class Seen:
    """An image that can be used: where it is, what it is called, the hashes it is known by, and
    how it looks (`Look.describe`; None where that cannot be told).
    """

    path: Path
    name: str
    sha256: str
    samples_sha256: str
    look: Mapping[str, float] | None = None

    def describe(self) -> dict[str, Any]:
        """As plain values, for cards and manifests."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "samples_sha256": self.samples_sha256,
            "look": self.look,
        }


def named(paths: Sequence[Path]) -> dict[str, Path]:
    """Images by names that tell them apart."""
    return dict(zip(told_apart(paths), paths, strict=True))


def survey(
    images: Mapping[str, Path],
    require: Callable[[Path], Volume],
    on_image: Callable[[], object] = lambda: None,
    known: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> tuple[list[Seen], list[str]]:
    """The images that can be used, and of each of the others a sentence that says why not.

    require: reads an image; raises ArSSRError where it is not what is needed. on_image: called
        after each. known: what `Seen.describe` said of files that need not be read again, by hash.
    """

    def look(name: str, path: Path) -> Seen | str:
        try:
            whole = sha256(path)
            samples = known.get(whole) or described(require(path).data)
        except (ArSSRError, OSError) as error:
            return in_one_line(error)
        return Seen(path, name, whole, samples["samples_sha256"], samples.get("look"))

    found, unusable = list[Seen](), list[str]()
    with ThreadPoolExecutor(_READERS) as pool:
        for one in pool.map(look, images, images.values()):
            if isinstance(one, Seen):
                found.append(one)
            else:
                unusable.append(one)
            on_image()
    return found, unusable


def described(data: NDArray[np.float32]) -> dict[str, Any]:
    """What `Seen.describe` says of an image's samples, whatever its file is called."""
    look = Look.of(data)
    return {"samples_sha256": samples_sha256(data), "look": look.describe() if look else None}


def settle(unusable: Sequence[str], total: int, skip: bool | None) -> None:
    """Refuse what cannot be used, all at once, or (`skip`) warn of it.

    skip: None where the command has no option that says so.

    Raises ArSSRError for any unusable image, and in any case where there is no other.
    """
    if not unusable:
        return
    listed = list(unusable[:_LISTED])
    if len(unusable) > _LISTED:
        listed.append(f"and {len(unusable) - _LISTED} more")
    head = f"{len(unusable)} of {counted(total, 'image')} cannot be used"
    if skip and len(unusable) < total:
        for sentence in (*listed, f"{head}: left out"):
            _log.warning(sentence)
        return
    is_way_out = skip is not None and len(unusable) < total
    way_out = "; --skip-unusable leaves them out" if is_way_out else ""
    raise ArSSRError("\n  ".join([f"{head}{way_out}:", *listed]))


def require_intensities(path: Path, smallest: int, purpose: str) -> Volume:
    """An image in which something varies, of so many voxels along each axis; its warnings unsaid.

    purpose: what it is to be used for ("to train on"). Raises ArSSRError as `Volume.read` does,
    and for a constant image, one that is too small, labels, probabilities and phase.
    """
    with open_frames(path) as frames:
        if len(frames) > 1:
            raise ArSSRError(
                f"{path}: is a 4D image of {len(frames)} frames, and a 3D one is needed {purpose}"
            )
        volume = frames.frame(0)
    volume.kind.require_intensities(path)
    require_size(volume, smallest, f"{path} is too small {purpose}")
    if volume.data.min() == volume.data.max():
        raise ArSSRError(f"{path}: every voxel is {volume.data.flat[0]:g}, nothing {purpose}")
    return volume


def require_size(volume: Volume, smallest: int, sentence: str) -> None:
    """Raises ArSSRError where an axis is shorter: the sentence, the size, and what is needed."""
    if min(volume.grid.shape) < smallest:
        shape = shape_in_words(volume.grid.shape)
        raise ArSSRError(f"{sentence}: {shape}, needs {smallest} voxels along each axis")


def require_apart(taught: Iterable[Seen], judges: Iterable[Seen]) -> None:
    """Raises ArSSRError where images are on both sides, whatever their names and formats."""
    known = {image.samples_sha256: image for image in taught}
    twice = [(image, known[s]) for image in judges if (s := image.samples_sha256) in known]
    if twice:
        pairs = ", ".join(
            f"{a.path} is {b.path}" if a.path != b.path else f"{a.path}" for a, b in twice[:_LISTED]
        )
        raise ArSSRError(
            "what is trained on says nothing in validation; images on both sides by their "
            f"voxels: {pairs}"
        )
