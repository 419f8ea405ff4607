"""A volume is samples and the grid they lie on; here is how it enters and leaves the disk.

In memory there is one convention: float32 in the units of the image (slope and intercept applied)
and RAS+ millimetres. What the file used instead (integer type, slope, intercept, microns, NIfTI-2)
is remembered and used again when a result is written. Samples pass through in slabs of some
slices, so that neither way needs a second copy of a large image.

Format: NIfTI-1 and NIfTI-2, https://nifti.nimh.nih.gov/nifti-1/
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, HeaderTypeError, SpatialImage
from nibabel.wrapstruct import WrapStructError
from numpy.typing import ArrayLike, NDArray

from arssr.errors import ArSSRError
from arssr.files import IMAGE_SUFFIXES, bytes_in_words, replacing, stem
from arssr.grid import Grid

# What a header says about the image as a whole, true of any resampling of it. The rest (shape,
# type, place, slice timing, vendor extensions) belongs to the samples and is written anew.
_KEPT_FIELDS = (
    *("descrip", "aux_file", "cal_min", "cal_max", "toffset"),
    *("intent_code", "intent_name", "intent_p1", "intent_p2", "intent_p3"),
)
_MM_PER_UNIT = {"unknown": 1.0, "mm": 1.0, "meter": 1e3, "micron": 1e-3}
_NIFTI1_LONGEST_AXIS = 32767
_SLAB_VOXELS = 2**22
_DAMAGE = (
    *(ImageFileError, HeaderDataError, HeaderTypeError, WrapStructError),
    *(OSError, EOFError, zlib.error, ValueError, OverflowError, MemoryError),
)


@dataclass(frozen=True, eq=False, repr=False)
class Volume:
    """A 3D image: `data` (I, J, K) float32 in the units of the image, and its `grid`.

    The other fields say how the image is stored on disk and matter only for writing: integer
    types come back as integers with the same `slope` and `inter` (value = stored * slope + inter),
    everything else is written as float32. `header` lends its description, codes and units.

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
    storage: np.dtype[Any] | None = None
    slope: float = 1.0
    inter: float = 0.0
    header: nib.Nifti1Header | None = None
    path: Path | None = None

    def __post_init__(self) -> None:
        data = np.asarray(self.data, dtype=np.float32)
        if data.shape != self.grid.shape:
            raise ArSSRError(f"Data of shape {data.shape} do not fit on {self.grid}.")
        if not (np.isfinite([self.slope, self.inter]).all() and self.slope):
            raise ArSSRError(
                f"Values cannot be stored with slope {self.slope}, inter {self.inter}."
            )
        object.__setattr__(self, "data", data)
        if self.storage is not None:
            object.__setattr__(self, "storage", np.dtype(self.storage))

    def __repr__(self) -> str:
        where = repr(self.grid).removeprefix("Grid(").removesuffix(")")
        return f"Volume({where}, stored as {self._stored_type}, {bytes_in_words(self.data.nbytes)})"

    @property
    def name(self) -> str:
        """The file's name without .nii or .nii.gz; "volume" for an image made in memory."""
        return stem(self.path) if self.path else "volume"

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Volume:
        """The 3D image in a .nii or .nii.gz file.

        Raises ArSSRError, naming the file, where there is none, where it is damaged, and where
        it does not hold one finite real 3D image with a place in space (see `from_nibabel`).
        """
        path = Path(path)
        try:
            if not path.exists():
                raise ArSSRError(f"{path}: there is no such file.")
            if path.is_dir():
                raise ArSSRError(f"{path}: this is a folder, not an image.")
            _suffix(path)
            # The file stays open while its slabs are read: a .gz can only be read in one go.
            image = nib.load(path, keep_file_open=True)
        except _DAMAGE as error:
            raise ArSSRError(
                f"{path}: cannot be read as a NIfTI image ({_reason(error)})."
            ) from error
        if not isinstance(image, SpatialImage):  # such as CIFTI, which is .nii by name too
            raise ArSSRError(f"{path}: this is a {type(image).__name__}, not a 3D image.")
        return replace(cls.from_nibabel(image), path=path)

    @classmethod
    def from_nibabel(cls, image: SpatialImage) -> Volume:
        """A nibabel image, of any spatial type, as a Volume with data of its own.

        4D images of a single frame count as 3D. Raises ArSSRError for other numbers of axes,
        RGB and complex samples, NaN and infinities, and a missing or singular affine.
        """
        filename = image.get_filename()
        label = filename or "The image"
        _check_samples(image, label)
        header = image.header if isinstance(image.header, nib.Nifti1Header) else None
        if image.affine is None:
            raise ArSSRError(f"{label}: the image has no affine, so no place in space.")
        affine = np.array(image.affine, dtype=np.float64)
        affine[:3] *= _mm_per_unit(header)
        try:
            grid = Grid(_three(image.shape), affine)
        except ArSSRError as error:
            raise ArSSRError(f"{label}: {error}") from error
        storage: np.dtype[Any] | None = _sample_type(image).newbyteorder("=")
        slope, inter = getattr(image.dataobj, "slope", 1), getattr(image.dataobj, "inter", 0)
        if np.ndim(slope) or np.ndim(inter):  # one for each slice, as Philips PAR files have
            storage, slope, inter = None, 1, 0
        return cls(
            data=_read_samples(image, label),
            grid=grid,
            storage=storage,
            slope=float(slope),
            inter=float(inter),
            header=None if header is None else header.copy(),
            path=Path(filename) if filename else None,
        )

    @classmethod
    def coerce(cls, image: str | os.PathLike[str] | SpatialImage | Volume) -> Volume:
        """A Volume from whatever stands for one: a path, a nibabel image or a Volume."""
        if isinstance(image, Volume):
            return image
        if isinstance(image, SpatialImage):
            return cls.from_nibabel(image)
        if isinstance(image, str | os.PathLike):
            return cls.read(image)
        raise ArSSRError(
            f"An image is a path, a nibabel image or a Volume, not {type(image).__name__} "
            "(an array becomes one with Volume(data, Grid(data.shape, affine)))."
        )

    def with_data(self, data: ArrayLike, grid: Grid) -> Volume:
        """Other samples of the same image: storage, units and name as here. How results arise."""
        return replace(self, data=np.asarray(data, dtype=np.float32), grid=grid)

    def to_nibabel(self) -> nib.Nifti1Image:
        """A float32 nibabel image (NIfTI-1, or -2 if need be) that shares this volume's data."""
        header = self._nifti_header(np.dtype(np.float32))
        image_type = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
        return image_type(self.data, self._affine_in_file_units, header)

    def write(self, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Write to exactly this .nii or .nii.gz file, whole or not at all; returns the path.

        NIfTI-1, or NIfTI-2 where the image came as such or an axis is longer than 32767. Integer
        types are rounded and clipped to their range. sform and qform are both written and agree
        as far as a qform can: it has no shear, and resolves a rotation by nearly 180° to 1e-3 rad.
        The sform is exact. Missing folders are made. Raises ArSSRError as `check_output` does,
        for NaN or infinite samples, and where the disk is full or refuses.
        """
        with open_writer(path, self, self.grid, overwrite) as writer:
            for slab in _slabs(self.grid.shape):
                writer.put(self.data[..., slab])
        return Path(path)

    @property
    def _stored_type(self) -> np.dtype[Any]:
        if self.storage is not None and self.storage.kind in "iu":
            return self.storage
        return np.dtype(np.float32)

    @property
    def _affine_in_file_units(self) -> NDArray[np.float64]:
        affine = self.grid.affine.copy()
        affine[:3] /= _mm_per_unit(self.header)
        return affine

    def _nifti_header(self, dtype: np.dtype[Any]) -> nib.Nifti1Header:
        """A complete header for these samples stored as `dtype`, with the fields worth keeping."""
        source = self.header
        long = max(self.grid.shape) > _NIFTI1_LONGEST_AXIS
        nifti2 = long or isinstance(source, nib.Nifti2Header)
        header = nib.Nifti2Header() if nifti2 else nib.Nifti1Header()
        unit, time_unit, code = "mm", "unknown", 0
        if source is not None:
            for field in _KEPT_FIELDS:
                header[field] = source[field]
            unit, time_unit = _units(source)
            code = int(source["sform_code"] or source["qform_code"])  # of the affine in use
        header.set_xyzt_units("mm" if unit == "unknown" else unit, time_unit)
        header.set_data_shape(self.grid.shape)
        header.set_data_dtype(dtype)
        whole = dtype.kind in "iu"
        header.set_slope_inter(self.slope if whole else 1, self.inter if whole else 0)
        header.set_sform(self._affine_in_file_units, code or "aligned")
        _set_qform(header, self._affine_in_file_units, code or "aligned")
        return header


class Writer:
    """Takes the planes of an image along its last axis, in order. (Stand-in.)"""

    def __init__(self, file: IO[bytes] | gzip.GzipFile, target: Path, image: Volume) -> None:
        self._file, self._target, self._left = file, target, image.grid.shape[2]
        self._header = image._nifti_header(image._stored_type)
        self._header.write_to(file)  # up to the first sample: there are no extensions

    def put(self, samples: NDArray[np.float32]) -> None:
        """The next n planes: (I, J, n) float32 in the units of the image."""
        if not np.isfinite(samples).all():
            raise ArSSRError(
                f"{self._target}: not written, the samples have NaN or infinite values."
            )
        dtype = self._header.get_data_dtype()
        if dtype.kind in "iu":
            slope, inter = self._header.get_slope_inter()  # as the file has them
            samples = _to_integers(samples, dtype, slope, inter)
        self._file.write(samples.astype(dtype, copy=False).tobytes(order="F"))
        self._left -= samples.shape[2]


@contextmanager
def open_writer(
    path: str | os.PathLike[str], like: Volume, grid: Grid, overwrite: bool = False
) -> Iterator[Writer]:
    """A file that is written plane by plane, whole or not at all, stored as `like` is."""
    target = check_output(path, overwrite)
    nothing = np.broadcast_to(np.float32(0), grid.shape)
    with replacing(target) as temporary, temporary.open("wb") as file, ExitStack() as stack:
        out: IO[bytes] | gzip.GzipFile = file
        if _suffix(target) == ".nii.gz":  # no name, no time: the same volume gives the same bytes
            zipped = gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0)
            out = stack.enter_context(zipped)
        writer = Writer(out, target, replace(like, data=nothing, grid=grid))
        yield writer
        if writer._left:
            raise ArSSRError(f"{target}: not written, {writer._left} planes are missing.")


def check_output(path: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """The path, if an image can be written there: ask before the work, not after.

    Raises ArSSRError for an unknown suffix, a folder, an existing file unless `overwrite`, and a
    place where no file can be made.
    """
    path = Path(path)
    _suffix(path)
    try:
        if path.is_dir():
            raise ArSSRError(f"{path}: this is a folder; name the file to write.")
        if not overwrite and (path.exists() or path.is_symlink()):
            raise ArSSRError(f"{path}: exists already; --overwrite (overwrite=True) replaces it.")
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            raise ArSSRError(f"{path}: cannot be written, {folder} is not a writable folder.")
    except OSError as error:
        raise ArSSRError(f"{path}: cannot be written ({_reason(error)}).") from error
    return path


def _suffix(path: Path) -> str:
    for suffix in IMAGE_SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    raise ArSSRError(f"{path}: the name of an image must end in .nii or .nii.gz.")


def _check_samples(image: SpatialImage, label: str) -> None:
    """Refuse, in words, what is not one real 3D image."""
    shape, dtype = image.shape, _sample_type(image)
    size = "×".join(str(n) for n in shape)
    if dtype.kind == "c":
        raise ArSSRError(f"{label}: the samples are complex; give the magnitude image instead.")
    if dtype.kind not in "iuf":
        raise ArSSRError(f"{label}: the samples are colours (RGB), not intensities.")
    if len(shape) < 3:
        raise ArSSRError(f"{label}: this is a {len(shape)}D image ({size}); 3D is needed.")
    if any(n != 1 for n in shape[3:]):
        raise ArSSRError(
            f"{label}: this is a {len(shape)}D image ({size}); give one 3D volume of it, such as "
            "the first one: nibabel.four_to_three(nibabel.load(path))[0]."
        )


def _read_samples(image: SpatialImage, label: str) -> NDArray[np.float32]:
    """(I, J, K) float32, C-contiguous, slope and intercept applied in double precision."""
    shape = _three(image.shape)
    first_frame = (0,) * (len(image.shape) - 3)
    try:
        data = np.empty(shape, dtype=np.float32)
        for slab in _slabs(shape):
            with np.errstate(over="ignore", invalid="ignore"):
                data[..., slab] = image.dataobj[(slice(None), slice(None), slab, *first_frame)]
            if not np.isfinite(data[..., slab]).all():
                raise ArSSRError(
                    f"{label}: the image has NaN or infinite values; replace them first, for "
                    "example with numpy.nan_to_num."
                )
    except _DAMAGE as error:
        size = bytes_in_words(4 * int(np.prod(shape, dtype=np.float64)))
        raise ArSSRError(
            f"{label}: the {size} of samples cannot be read: the file is cut short or damaged, or "
            f"they do not fit in memory ({_reason(error)})."
        ) from error
    return data


def _to_integers(
    samples: NDArray[np.float32], dtype: np.dtype[Any], slope: float, inter: float
) -> NDArray[Any]:
    """The nearest stored integers of these values: rounded, and clipped to the type's range."""
    stored = samples.astype(np.float64)
    stored -= inter
    stored /= slope
    limits = np.iinfo(dtype)
    highest = float(limits.max)
    if int(highest) > limits.max:  # 64-bit types end between two doubles
        highest = np.nextafter(highest, 0)
    return np.clip(np.rint(stored, out=stored), limits.min, highest, out=stored).astype(dtype)


def _sample_type(image: SpatialImage) -> np.dtype[Any]:
    """What the samples are stored as (in a header, or in an array in memory)."""
    return np.dtype(getattr(image.dataobj, "dtype", np.float32))


def _three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return shape[0], shape[1], shape[2]


def _slabs(shape: tuple[int, int, int]) -> Iterator[slice]:
    """Slices along k that together cover it, each of about four million voxels."""
    thickness = max(1, _SLAB_VOXELS // (shape[0] * shape[1]))
    return (slice(k, k + thickness) for k in range(0, shape[2], thickness))


def _mm_per_unit(header: nib.Nifti1Header | None) -> float:
    return 1.0 if header is None else _MM_PER_UNIT[_units(header)[0]]


def _units(header: nib.Nifti1Header) -> tuple[str, str]:
    """Names of the units of space and time; "unknown" for codes that the standard has not."""
    try:
        space, time = header.get_xyzt_units()
    except KeyError:
        return "unknown", "unknown"
    return space, time


def _set_qform(header: nib.Nifti1Header, affine: NDArray[np.float64], code: int | str) -> None:
    """Header.set_qform, with a quaternion that can be read again.

    A file holds b, c and d and readers take a = √(1 − b² − c² − d²): rounding must not make that
    the root of a negative number, which in NIfTI-2 nibabel writes but refuses to read.
    """
    header.set_qform(affine, code)
    bcd = np.array([header[f"quatern_{part}"] for part in "bcd"], dtype=np.float64)
    bcd /= max(1.0, float(np.linalg.norm(bcd)))
    header["quatern_b"], header["quatern_c"], header["quatern_d"] = bcd


def _reason(error: BaseException) -> str:
    """What went wrong, on one line."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__
