"""A volume is samples and the grid they lie on.

In memory there is one convention: float32 in the units of the image (slope and intercept applied)
and RAS+ millimetres. What the file used instead (integer type, slope, intercept, microns, NIfTI-2)
is remembered and used again when a result is written; `arssr.formats` knows how.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import nibabel as nib
import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import ArrayLike, DTypeLike, NDArray

from arssr.errors import ArSSRError
from arssr.files import bytes_in_words, stem
from arssr.formats import itk, nifti
from arssr.formats.kind import NOT_SAID, Kind, kind_of
from arssr.formats.opened import Opened, damage_in_words
from arssr.formats.registry import check_output, open_image, open_writer
from arssr.formats.slices import Slices, slices_beside
from arssr.formats.spatial import open_spatial
from arssr.formats.storage import IN_MEMORY, Storage
from arssr.formats.writing import Origin
from arssr.grid import Grid, shape_in_words
from arssr.planes import volume_as_html

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813 - its customary name

__all__ = [
    "Frames",
    "Image",
    "Origin",
    "Storage",
    "Volume",
    "check_output",
    "doubtful_grid_of",
    "grid_of",
    "open_frames",
    "open_writer",
    "read_quietly",
]

_log = logging.getLogger(__name__)
_FEWEST_STEPS = 20  # of integers, from the lowest sample to the highest: errors of 1.4 % of them
_ROUNDING = 0.01  # of an integer, which samples are off by that were integers

_UNNAMED = "the image"
Image: TypeAlias = (
    "str | os.PathLike[str] | SpatialImage | Volume | sitk.Image | tuple[ArrayLike, ArrayLike]"
)
"""What stands for an image: a file, a nibabel or SimpleITK image, a Volume, or an array (I, J, K)
and its affine (4, 4), voxel index → RAS+ mm. Axes are (i, j, k). SimpleITK has its own, (k, j, i)
and LPS, which is seen to. With `frames` an image may have a fourth axis."""


@dataclass(frozen=True, eq=False, repr=False)
class Volume:
    """A 3D image: `data` (I, J, K) float32 in the units of the image, and its `grid`.

    `path` and `series` say what it was read from, as `Volume.read` has them.
    `storage` says how the image is stored on disk and matters only for writing: integer types come
    back as integers with the same slope and intercept, everything else is written as float32.
    `slices` is what headers and sidecars say of thickness and distance; None where they do not.
    `kind` is what the samples are: intensities, if nothing says that they are something else.
    `remark` is what files with a place for a comment say of it, such as that it was computed.
    `warnings` are sentences about a file that contradicts itself, or does not say where the image
    lies: what is wrong, and what was taken for true. They are also logged when the file is read.

    >>> volume = Volume(np.zeros((4, 4, 3)), Grid((4, 4, 3), np.diag([1, 1, 5, 1])))
    >>> volume
    Volume(4×4×3 voxels of 1×1×5 mm, RAS, stored as float32, 192 B)
    >>> fine = volume.grid.scaled((1, 1, 5))
    >>> volume.with_data(np.zeros(fine.shape), fine)
    Volume(4×4×15 voxels of 1×1×1 mm, RAS, stored as float32, 960 B)

    Raises ArSSRError where the data are not of the grid's shape, for a slope of 0, and for a
    slope or inter that is not finite.
    """

    data: NDArray[np.float32]
    grid: Grid
    storage: Storage = IN_MEMORY
    path: Path | None = None
    slices: Slices | None = None
    kind: Kind = NOT_SAID
    warnings: tuple[str, ...] = ()
    remark: str = ""
    series: str | None = None

    def __post_init__(self) -> None:
        data = np.asarray(self.data, dtype=np.float32)
        if data.shape != self.grid.shape:
            raise ArSSRError(f"data of shape {data.shape} do not fit on {self.grid}")
        slope, inter = self.storage.slope, self.storage.inter
        if not (np.isfinite([slope, inter]).all() and slope):
            raise ArSSRError(f"values cannot be stored with slope {slope}, inter {inter}")
        object.__setattr__(self, "data", data)

    def __repr__(self) -> str:
        where = repr(self.grid).removeprefix("Grid(").removesuffix(")")
        size = bytes_in_words(self.data.nbytes)
        return f"Volume({where}, stored as {self.storage.written}, {size})"

    def _repr_html_(self) -> str:
        return volume_as_html(self)

    @property
    def name(self) -> str:
        """The file's name without its suffix; "volume" for an image made in memory."""
        return stem(self.path) if self.path else "volume"

    @property
    def label(self) -> str:
        """What sentences call it: its path, and which of the images there it is."""
        which = f" (series {self.series})" if self.series else ""
        return f"{self.path}{which}" if self.path else "the image"

    @classmethod
    def read(cls, path: str | os.PathLike[str], series: str | None = None) -> "Volume":
        """The 3D image in a file, or in a folder or .zip of DICOM files.

        series: which one where there are several: its UID, number, or a part of its description;
            where a series has several, words that tell it from the others, see docs/dicom.md.

        Raises ArSSRError, naming the file, where there is none, where it is damaged, and where
        it does not hold one finite real 3D image with a place in space (see `from_nibabel`).
        """
        return _logged(read_quietly(Path(path), series))

    @classmethod
    def from_nibabel(cls, image: SpatialImage) -> "Volume":
        """A nibabel image, of any spatial type, as a Volume with data of its own.

        4D images of a single frame count as 3D. Raises ArSSRError for other numbers of axes,
        RGB and complex samples, NaN and infinities, and a missing or singular affine.
        """
        filename = image.get_filename()
        opened = _open_nibabel(image)
        _require_one_frame(opened, filename or _UNNAMED)
        if filename:
            path = Path(filename)
            header = opened.storage.header
            slices, doubts = slices_beside(path, opened.grid, header)
            opened.warnings.extend(doubts)
            opened = replace(opened, slices=slices, kind=kind_of(path, header))
        return _logged(_from_opened(opened, 0, Path(filename) if filename else None))

    @classmethod
    def coerce(cls, image: Image) -> "Volume":
        """A Volume from whatever stands for one, see `Image`.

        Raises ArSSRError as `read` and `from_nibabel` do, and for what stands for none.
        """
        if isinstance(image, Volume):
            return image
        if isinstance(image, SpatialImage):
            return cls.from_nibabel(image)
        if isinstance(image, str | os.PathLike):
            return cls.read(image)
        opened = _open_in_memory(image)
        _require_one_frame(opened, _UNNAMED)
        return _from_opened(opened, 0, None)

    def with_data(self, data: ArrayLike, grid: Grid) -> "Volume":
        """Other samples of the same image: storage, units and name as here. How results arise.

        The slices stay what they are where the grid still has their planes (`Slices.on`); a grid
        that is finer, coarser or oblique across them has no slices.
        """
        slices = None if self.slices is None else self.slices.on(self.grid, grid)
        return replace(self, data=np.asarray(data, dtype=np.float32), grid=grid, slices=slices)

    def stored_as(self, dtype: DTypeLike, slope: float = 1.0, inter: float = 0.0) -> "Volume":
        """The same image, to be written in another type: value = stored * slope + inter.

        >>> Volume(np.zeros((4, 4, 3)), Grid((4, 4, 3), np.eye(4))).stored_as("int16")
        Volume(4×4×3 voxels of 1×1×1 mm, RAS, stored as int16, 192 B)
        """
        storage = replace(self.storage, dtype=np.dtype(dtype), slope=slope, inter=inter)
        return replace(self, storage=storage)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """`data`, for numpy: `np.asarray(volume)`."""
        return np.array(self.data, dtype=dtype, copy=copy)

    def to_sitk(self) -> "sitk.Image":
        """A float32 image of SimpleITK, with axes (i, j, k) and a place in LPS as it has them."""
        return itk.as_image(np.ascontiguousarray(self.data.T), self.grid)

    def to_nibabel(self) -> nib.Nifti1Image:
        """A float32 nibabel image (NIfTI-1, or -2 if need be) that shares this volume's data."""
        return nifti.as_image(self.data, self.storage, self.grid, self.remark)

    def write(
        self,
        path: str | os.PathLike[str],
        overwrite: bool = False,
        made_from: str | os.PathLike[str] | None = None,
        series: str | None = None,
    ) -> Path:
        """Write to exactly this file, whole or not at all; returns the path.

        The suffix is the format. Integer types are rounded and clipped to their range, with a
        warning where that leaves few steps (0 to 1 becomes black and white);
        `volume.stored_as("float32")` keeps all. Missing folders are made.
        made_from, series: the DICOM series that `NAME.dicom`, a folder with a derived series,
            takes patient and study from; see `read`.

        Raises ArSSRError as `check_output` does, for NaN or infinite samples, and where the disk
        is full or refuses.
        """
        origin = None if made_from is None else Origin(Path(made_from), series)
        with open_writer(path, self, self.grid, overwrite, origin=origin) as writer:
            writer.put(self.data)
        if _is_coarse(self):
            _log.warning(
                "%s: values from %.4g to %.4g were rounded to the few that %s has there; "
                "volume.stored_as('float32') keeps them",
                path,
                self.data.min(),
                self.data.max(),
                self.storage.dtype,
            )
        return Path(path)


def _is_coarse(volume: Volume) -> bool:
    """Whether the integers that it is stored as are too few for samples that lie between them."""
    storage = volume.storage
    span = float(np.ptp(volume.data)) / abs(storage.slope)
    if not (storage.is_whole and 0 < span < _FEWEST_STEPS):
        return False
    stored = (volume.data.astype(float) - storage.inter) / storage.slope
    return bool(np.abs(stored - np.rint(stored)).max() > _ROUNDING)


class Frames:
    """Several images of one grid, as a 4D file holds them; each is read when it is asked for."""

    def __init__(self, path: Path | None, opened: Opened) -> None:
        self.path, self._opened = path, opened

    def __len__(self) -> int:
        return self._opened.frames

    def __iter__(self) -> Iterator[Volume]:
        return map(self.frame, range(len(self)))

    @property
    def grid(self) -> Grid:
        """Where the samples of every frame lie."""
        return self._opened.grid

    @property
    def repetition_s(self) -> float | None:
        """Seconds from one frame to the next; None where the file does not say so."""
        return self._opened.storage.repetition_s if len(self) > 1 else None

    def frame(self, number: int) -> Volume:
        """One of them, counted from 0. Raises ArSSRError as `Volume.read` does.

        Compressed files are fastest in order: a step back starts again at their beginning.
        """
        if not 0 <= number < len(self):
            label = self.path or _UNNAMED
            raise ArSSRError(f"{label}: there is no frame {number}, only 0 to {len(self) - 1}")
        return _from_opened(self._opened, number, self.path)

    def close(self) -> None:
        """Give the file back; frames read before stay."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_frames(image: Image, series: str | None = None) -> Frames:
    """The frames of a 3D (one frame) or 4D image, to be read one by one; close it when done.

    series: which one of DICOM, see `Volume.read`. Raises ArSSRError as `Volume.coerce` does.
    """
    if isinstance(image, str | os.PathLike):
        return Frames(Path(image), open_image(Path(image), series))
    path = image.path if isinstance(image, Volume) else None
    return Frames(path, _open_in_memory(image))


def grid_of(image: "Grid | Image") -> Grid:
    """The grid of whatever stands for an image, or itself; no sample is read.

    So an image of any kind of samples has one: of several frames, with NaN, complex, in colour.
    Raises ArSSRError as `Volume.coerce` does where there is no grid.
    """
    if isinstance(image, Grid):
        return image
    if isinstance(image, str | os.PathLike):
        grid, doubts = doubtful_grid_of(Path(image))
        for doubt in doubts:
            _log.warning(doubt)
        return grid
    return image.grid if isinstance(image, Volume) else _open_in_memory(image).grid


def doubtful_grid_of(path: Path) -> tuple[Grid, list[str]]:
    """The grid of a file as `grid_of` has it, and its warnings, for whoever passes them on."""
    with open_image(path) as opened:
        return opened.grid, [f"{path}: {warning}" for warning in opened.warnings]


def _open_in_memory(image: Image) -> Opened:
    """Whatever stands for an image and is no file."""
    if isinstance(image, SpatialImage):
        return _open_nibabel(image)
    if itk.is_itk(image):
        return itk.open_in_memory(image, _UNNAMED)
    if isinstance(image, Volume):
        return Opened(
            image.grid,
            lambda _frame: image.data,
            storage=image.storage,
            slices=image.slices,
            kind=image.kind,
            warnings=list(image.warnings),
        )
    if isinstance(image, tuple) and len(image) == 2:
        return _open_array(*image)
    raise ArSSRError(
        "an image is a path, a nibabel or SimpleITK image, a Volume, or an array with its affine, "
        f"(array, affine), not {type(image).__name__}"
    )


def _open_array(data: ArrayLike, affine: ArrayLike) -> Opened:
    """Samples (i, j, k), or (i, j, k, frames), and voxel index → RAS+ mm."""
    with damage_in_words(f"{_UNNAMED}: is no array with an affine"):
        samples, to_ras = np.asarray(data), np.asarray(affine, np.float64)
        if to_ras.shape != (4, 4):
            raise ArSSRError(f"{_UNNAMED}: an affine is a 4×4 matrix, not of {to_ras.shape}")
    if samples.dtype.kind == "b":
        samples = samples.astype(np.uint8)
    return open_spatial(samples, to_ras, None, _UNNAMED)


def _open_nibabel(image: SpatialImage) -> Opened:
    header = image.header if isinstance(image.header, nib.Nifti1Header) else None
    label = image.get_filename() or _UNNAMED
    opened = open_spatial(image.dataobj, image.affine, header, label)
    return replace(opened, kind=kind_of(None, header))


def read_quietly(path: Path, series: str | None = None) -> Volume:
    """`Volume.read` for whoever passes its warnings on in another way than by logging them."""
    with open_image(path, series) as opened:
        _require_one_frame(opened, str(path))
        return replace(_from_opened(opened, 0, path), series=series)


def _logged(volume: Volume) -> Volume:
    for warning in volume.warnings:
        _log.warning("%s: %s", volume.path or "the image", warning)
    return volume


def _from_opened(opened: Opened, frame: int, path: Path | None) -> Volume:
    return Volume(
        data=opened.read(frame),
        grid=opened.grid,
        storage=opened.storage,
        path=path,
        slices=opened.slices,
        kind=opened.kind,
        warnings=tuple(opened.warnings),
    )


def _require_one_frame(opened: Opened, label: str) -> None:
    if opened.frames > 1:
        size = shape_in_words((*opened.grid.shape, opened.frames))
        raise ArSSRError(
            f"{label}: this is a 4D image ({size}); take all its frames with `arssr upsample "
            f"--frames` (in Python frames=True), or {opened.one_frame}"
        )
