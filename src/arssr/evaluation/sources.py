"""The high-resolution volumes of an evaluation: found, named, told apart by their content."""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path

from arssr.errors import ArSSRError
from arssr.evaluation.metrics import SMALLEST
from arssr.files import find_images_below, is_image, sha256, stem, told_apart
from arssr.resolution import measure_resolution
from arssr.survey import require_intensities
from arssr.volume import Volume

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A volume that is read when it is needed; `sha256` is that of the file or of the samples."""

    name: str
    sha256: str
    origin: Path | Volume = field(compare=False)

    def read(self) -> Volume:
        """The volume. Raises ArSSRError as `Volume.read` does, and for labels and phase.

        Warns of axes along which it is no sharp truth: what was never measured cannot be missed.
        """
        volume = self.origin if isinstance(self.origin, Volume) else Volume.read(self.origin)
        volume.kind.require_intensities(self.name)
        for name, axis in zip("ijk", measure_resolution(volume).axes, strict=True):
            if axis.is_zero_filled or axis.is_soft:
                logger.warning("%s: no sharp truth along %s, %s", self.name, name, axis.in_words())
        return volume


def find_volumes(patterns: Iterable[str]) -> list[Path]:
    """Images by file, folder (subfolders too) or pattern (`hcp/*/T1w.nii.gz`), each once.

    Raises ArSSRError for what does not exist and for patterns that match nothing.
    """
    paths: list[Path] = []
    for pattern in patterns:
        if Path(pattern).exists():
            paths.append(Path(pattern))
            continue
        found = map(Path, sorted(glob(pattern, recursive=True)))  # noqa: PTH207 - absolute too
        matches = [path for path in found if path.is_dir() or is_image(path)]
        if not matches:
            raise ArSSRError(f"no such file or folder, and nothing that matches: {pattern}")
        paths += matches
    return find_images_below(paths)


def require_reference(path: Path) -> Volume:
    """A volume that results can be measured against, for a `survey`; raises ArSSRError if not."""
    return require_intensities(path, SMALLEST, "to measure against")


def sources(origins: Sequence[str | Path | Volume]) -> list[Source]:
    """Volumes and image files as sources, under the shortest names that tell them apart.

    What is there twice counts once, with a warning. Raises ArSSRError for an unreadable file.
    """
    given = [Path(origin) if isinstance(origin, str) else origin for origin in origins]
    unique: dict[str, Source] = {}
    for name, origin in zip(_names(given), given, strict=True):
        content = _content_sha256(origin)
        if content in unique:
            logger.warning("%s is the same as %s: left out", name, unique[content].name)
        else:
            unique[content] = Source(name, content, origin)
    return list(unique.values())


def _content_sha256(origin: Path | Volume) -> str:
    if isinstance(origin, Volume):
        digest = hashlib.sha256(origin.grid.affine.tobytes())
        digest.update(str(origin.data.shape).encode())
        digest.update(origin.data.tobytes())
        return digest.hexdigest()
    try:
        return sha256(origin)
    except OSError as error:
        raise ArSSRError(f"cannot read {origin}: {error.strerror or error}") from None


def _names(origins: Sequence[Path | Volume]) -> list[str]:
    """File names without suffix, with as many folders before them as make them distinct.

    >>> _names([Path("hcp/1001/T1w.nii.gz"), Path("hcp/1002/T1w.nii.gz")])
    ['1001/T1w', '1002/T1w']
    """
    files = [origin for origin in origins if isinstance(origin, Path)]
    of_files = dict(zip(files, told_apart(files), strict=True))
    names = [
        origin.name if isinstance(origin, Volume) else _without_suffix(of_files[origin], origin)
        for origin in origins
    ]
    return [
        f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name
        for i, name in enumerate(names)
    ]


def _without_suffix(name: str, path: Path) -> str:
    return name.removesuffix(path.name.removeprefix(stem(path)))
