"""Files that napari opens and saves through `arssr`, with their place in space."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_warning
from numpy.typing import NDArray

from arssr.files import is_dicom_image
from arssr.formats.kind import LABELS
from arssr.integrations.napari.layers import LayerData, opened, volume_of
from arssr.volume import read_quietly

PathOrPaths = str | Sequence[str]


def get_reader(path: PathOrPaths) -> Callable[[PathOrPaths], list[LayerData]] | None:
    """What reads a file, or a folder that holds DICOM files itself; None for all else."""
    if not isinstance(path, str):
        return None
    found = Path(path)
    if found.is_dir() and not any(map(is_dicom_image, filter(Path.is_file, found.iterdir()))):
        return None
    return read


def read(path: PathOrPaths) -> list[LayerData]:
    """One layer; what its file contradicts itself in is a notification.

    Raises ArSSRError as `Volume.read` does.
    """
    volume = read_quietly(Path(path if isinstance(path, str) else path[0]))
    for warning in volume.warnings:
        show_warning(f"{volume.name}: {warning}")
    return [opened(volume, labels=volume.kind.what == LABELS)]


def write_image(path: str, data: NDArray[Any], attributes: dict[str, Any]) -> list[str]:
    """An image to a file, whose suffix is the format, in the type of the file it came from.

    The world is taken for (inferior, posterior, left) mm. What is there is replaced: napari has
    asked. Raises ArSSRError as `Volume.write` does.
    """
    return [str(volume_of(Image(data, **attributes)).write(path, overwrite=True))]


def write_labels(path: str, data: NDArray[Any], attributes: dict[str, Any]) -> list[str]:
    """A label map likewise."""
    return [str(volume_of(Labels(data, **attributes)).write(path, overwrite=True))]
