"""Images of SimpleITK, which reads NRRD (https://teem.sourceforge.net/nrrd/format.html) and writes
it and MetaImage.

Its arrays are (k, j, i), so that the transpose is (i, j, k).
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.extras import require
from arssr.files import replacing_all
from arssr.formats import nrrd, units
from arssr.formats.kind import LABELS, NOT_SAID, Kind
from arssr.formats.lps import lps_to_ras, ras_to_lps
from arssr.formats.opened import Opened
from arssr.formats.samples import (
    Encoding,
    frame_in_words,
    gather,
    require_3d,
    require_one_channel,
    require_one_value,
    slabs,
)
from arssr.formats.storage import Storage
from arssr.formats.writing import OpenSink, Outline, Sink
from arssr.grid import Grid

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813 - its customary name

NRRD, META = "NrrdImageIO", "MetaImageIO"
_INTEGERS = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")
_COMPRESSION_LEVEL = 1


def name_for_itk(path: Path) -> str:
    """A path as SimpleITK takes it, in UTF-8. Of another it ends the process, without a word.

    Raises ArSSRError where the name in the file system is not that, as of old archives.
    """
    if os.fsencode(path) != str(path).encode(errors="surrogatepass"):
        raise ArSSRError(f"{path}: SimpleITK takes only names that are UTF-8; rename it")
    return str(path)


def open_image(path: Path) -> Opened:
    """A .nrrd or .nhdr file; raises what SimpleITK does and ArSSRError."""
    name = name_for_itk(path)
    require("formats", f"reading {path}", "SimpleITK")
    import SimpleITK as sitk  # noqa: N813

    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # they would go to standard error
    reader = sitk.ImageFileReader()
    reader.SetImageIO(NRRD)
    reader.SetFileName(name)
    reader.ReadImageInformation()
    size = reader.GetSize()
    require_3d(size, str(path))
    shape = (size[0], size[1], size[2])
    frames = size[3] if len(size) > 3 else 1
    fields, header_end = nrrd.read_fields(path)
    affine = lps_to_ras(nrrd.turned_to_lps(fields) @ _affine_lps(reader))
    affine[:3] *= nrrd.mm_per_unit(fields, str(path))
    dtype = _numpy_types().get(reader.GetPixelID())
    try:
        grid = Grid(shape, affine)
    except ArSSRError as error:
        raise ArSSRError(f"{path}: {error}") from error

    def read(frame: int) -> NDArray[np.float32]:
        require_one_channel(reader.GetNumberOfComponents(), str(path))
        require_one_value(size, str(path))
        if reader.GetPixelID() not in _numpy_types():
            raise ArSSRError(f"{path}: the samples are no real numbers; give the magnitude image")

        def parts() -> Iterator[tuple[slice, NDArray[Any]]]:
            if frame == frames - 1:
                nrrd.require_check_sum(fields, header_end, path)
            if frames > 1:
                reader.SetExtractSize([*shape, 0])
                reader.SetExtractIndex([0, 0, 0, frame])
            image = reader.Execute()  # a view of it does not keep it alive
            samples = sitk.GetArrayViewFromImage(image).T.reshape(shape)
            yield from ((k, samples[..., k]) for k in slabs(shape))

        return gather(parts(), shape, frame_in_words(str(path), frame, frames))

    repetition_s = units.seconds(reader.GetSpacing()[3]) if frames > 1 else None
    segments = reader.HasMetaDataKey("Segment0_ID")  # as 3D Slicer writes them
    return Opened(
        grid,
        read,
        frames,
        storage=Storage(dtype, repetition_s=repetition_s),
        kind=Kind(LABELS, "its header names segments") if segments else NOT_SAID,
        warnings=nrrd.doubts(fields, header_end, path, shape, dtype),
    )


def is_itk(image: object) -> "TypeGuard[sitk.Image]":
    """Whether it is an image of SimpleITK, which is not imported for that."""
    loaded = sys.modules.get("SimpleITK")
    return loaded is not None and isinstance(image, loaded.Image)


def open_in_memory(image: "sitk.Image", label: str) -> Opened:
    """An image of SimpleITK, 3D or 4D; raises ArSSRError, beginning with the label.

    Its arrays are (k, j, i) in LPS, ours (i, j, k) in RAS.
    """
    import SimpleITK as sitk  # noqa: N813

    size = image.GetSize()
    require_3d(size, label)
    shape = (size[0], size[1], size[2])
    frames = size[3] if len(size) > 3 else 1
    try:
        grid = Grid(shape, lps_to_ras(_affine_lps(image)))
    except ArSSRError as error:
        raise ArSSRError(f"{label}: {error}") from error
    dtype = _numpy_types().get(image.GetPixelID())

    def read(frame: int) -> NDArray[np.float32]:
        require_one_channel(image.GetNumberOfComponentsPerPixel(), label)
        require_one_value(size, label)
        if dtype is None:
            raise ArSSRError(f"{label}: the samples are no real numbers; give the magnitude image")
        samples = sitk.GetArrayViewFromImage(image).T.reshape(*shape, -1)
        parts = ((k, samples[..., k, frame]) for k in slabs(shape))
        return gather(parts, shape, frame_in_words(label, frame, frames))

    return Opened(grid, read, frames, Storage(dtype))


def as_image(samples_kji: NDArray[Any], grid: Grid, repetition_s: float = 1.0) -> "sitk.Image":
    """An image of SimpleITK of samples (k, j, i), or (frames, k, j, i), on a grid."""
    require("formats", "an image of SimpleITK", "SimpleITK")
    import SimpleITK as sitk  # noqa: N813

    image = sitk.GetImageFromArray(samples_kji, isVector=False)
    affine, spacing = ras_to_lps(grid.affine), grid.spacing_mm
    n = image.GetDimension()
    direction = np.eye(n)
    direction[:3, :3] = affine[:3, :3] / spacing
    image.SetDirection(direction.ravel().tolist())
    image.SetSpacing([*spacing.tolist(), repetition_s][:n])
    image.SetOrigin([*affine[:3, 3].tolist(), 0.0][:n])
    return image


def read_vectors(path: Path) -> NDArray[np.float32]:
    """The vectors (I, J, K, components) of a .nrrd or .nhdr file, in LPS.

    Raises what SimpleITK and damaged content do, and ArSSRError where the file has them in other
    coordinates: its reader turns the grid to LPS, but not the vectors.
    """
    import SimpleITK as sitk  # noqa: N813

    fields, header_end = nrrd.read_fields(path)
    nrrd.require_check_sum(fields, header_end, path)
    if fields.get("space", "").lower() not in ("left-posterior-superior", "lps"):
        raise ArSSRError(f"{path}: only vectors in the space left-posterior-superior are read")
    if "measurement frame" in fields:
        raise ArSSRError(f"{path}: vectors in a measurement frame of their own are not read")
    image = sitk.ReadImage(name_for_itk(path), imageIO=NRRD)
    vectors = sitk.GetArrayFromImage(image).astype(np.float32)
    return np.moveaxis(vectors, -1, 0).T if image.GetNumberOfComponentsPerPixel() > 1 else vectors


def _affine_lps(reader: "sitk.ImageFileReader | sitk.Image") -> NDArray[np.float64]:
    """Of the first three axes; in a 4D image the last one is time."""
    n = reader.GetDimension()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(reader.GetDirection(), (n, n))[:3, :3] * reader.GetSpacing()[:3]
    affine[:3, 3] = reader.GetOrigin()[:3]
    return affine


def _numpy_types() -> dict[int, np.dtype[Any]]:
    """The type of array for each kind of scalar pixel."""
    import SimpleITK as sitk  # noqa: N813

    bits = {f"i{n // 8}": getattr(sitk, f"sitkInt{n}") for n in (8, 16, 32, 64)}
    bits |= {f"u{n // 8}": getattr(sitk, f"sitkUInt{n}") for n in (8, 16, 32, 64)}
    bits |= {f"f{n // 8}": getattr(sitk, f"sitkFloat{n}") for n in (32, 64)}
    return {pixel_id: np.dtype(name) for name, pixel_id in bits.items()}


def collected(image_io: str) -> OpenSink:
    """The sink of a format that is written when all planes are there.

    Integers without slope and intercept stay what they are, everything else is float32.
    """

    @contextmanager
    def open_collected(target: Path, image: Outline) -> Iterator[Sink]:
        yield _Collected(target, image, image_io)

    return open_collected


open_sink = collected(NRRD)


class _Collected:
    def __init__(self, target: Path, image: Outline, image_io: str) -> None:
        name_for_itk(target)
        self._target, self._image, self._image_io = target, image, image_io
        self.encoding = Encoding(image.storage.written_unscaled(*_INTEGERS))
        self._samples = np.empty(image.shape[::-1], self.encoding.dtype)
        self._planes = self._samples.reshape(-1, *self._samples.shape[-2:])
        self._done = 0

    def write(self, stored: NDArray[Any]) -> None:
        end = self._done + stored.shape[2]
        self._planes[self._done : end] = stored.T
        self._done = end

    def finish(self) -> None:
        import SimpleITK as sitk  # noqa: N813

        repetition_s = self._image.storage.repetition_s or 1.0
        image = as_image(self._samples, self._image.grid, repetition_s)
        if self._image.remark:
            image.SetMetaData("Comment", self._image.remark)
        writer = sitk.ImageFileWriter()
        writer.SetImageIO(self._image_io)
        writer.UseCompressionOn()
        writer.SetCompressionLevel(_COMPRESSION_LEVEL)
        with replacing_all(self._target) as temporary:
            writer.SetFileName(name_for_itk(temporary))
            try:
                writer.Execute(image)
            except RuntimeError as error:  # such as a full disk, without its name
                raise OSError(" ".join(str(error).split())) from error
