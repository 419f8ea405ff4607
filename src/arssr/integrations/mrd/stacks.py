"""MRD images of a session as volumes, and a volume as an MRD image.

MRD says where the *centre* of a slice or volume lies (`position`, LPS mm) and where its rows and
columns run; `field_of_view` is that of a volume, or of a slice with its thickness. Where an image
was turned after reconstruction, `read_dir` and `phase_dir` are still those of the acquisition, and
attributes say how it lies.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from ismrmrd import Meta
from ismrmrd.image import ImageHeader

from arssr.errors import ArSSRError
from arssr.formats.dicom_grid import even_step
from arssr.formats.lps import TURNED, lps_to_ras
from arssr.formats.samples import Encoding
from arssr.formats.slices import slices_of
from arssr.grid import Floats, Grid
from arssr.integrations.mrd.image import (
    KEEP_GEOMETRY,
    MRDImage,
    attributes_of,
    in_decimals,
    listed,
    vector,
)
from arssr.volume import Volume

# What tells the volumes of a series from one another.
_OF_VOLUME = ("average", "contrast", "phase", "repetition", "set", "image_type")
_SAME_DIRECTION = 1e-3
_SAME_PLACE_MM = 1e-3
_LARGEST = 2**16 - 1  # voxels along an axis: MRD counts them in 16 bits

# Attributes that are true of one slice, or name one image or series. `IceMiniHead` numbers slices
# of which there are others now. What public OpenRecon recipes leave out where the number of slices
# changes (github.com/neurodesk/neurocontainers, openreconi2iexample).
_OF_ONE_IMAGE = {
    *("IceMiniHead", "DicomEngineDimString", "ImageTypeValue3", "MFInstanceNumber"),
    *("SOPInstanceUID", "SeriesInstanceUID", "MultiFrameSOPInstanceUID"),
    *("PSMultiFrameSOPInstanceUID", "PSSeriesInstanceUID", "NumberInSeries"),
    *("SliceNo", "AnatomicalSliceNo", "ChronSliceNo", "ProtocolSliceNumber", "SliceLocation"),
    *("Actual3DImagePartNumber", "AnatomicalPartitionNo", "SlicePosLightMarker"),
}
_OF_ONE_IMAGE_BEGIN = ("ReferencedGSPS", "ReferencedImageSequence")


@dataclass(frozen=True)
class Stack:
    """Slices of one volume in order along their normal, or one image that is a volume."""

    images: Sequence[MRDImage]
    volume: Volume


def grouped(images: Iterable[MRDImage]) -> list[list[MRDImage]]:
    """The images of each volume, whatever order they came in; a volume by itself."""
    groups: dict[tuple[int, ...], list[MRDImage]] = {}
    for number, image in enumerate(images):
        head = image.header
        apart = number + 1 if head.matrix_size[2] > 1 else 0
        key = (head.image_series_index, apart, *(getattr(head, name) for name in _OF_VOLUME))
        groups.setdefault(key, []).append(image)
    return list(groups.values())


def stack_of(images: Sequence[MRDImage], *, three_d: bool = False) -> Stack:
    """The volume that images make up. three_d: a slab was encoded as a whole.

    Raises ArSSRError where they do not: other sizes or directions, missing slices, two at one
    place, no place at all.
    """
    label = f"series {images[0].header.image_series_index}"
    row, column, normal = _directions(images[0], label)
    size_mm = _numbers(images[0].header.field_of_view)
    x, y, z = images[0].header.matrix_size
    if not (np.isfinite(size_mm).all() and (size_mm > 0).all() and min(x, y, z) > 0):
        raise ArSSRError(f"{label}: an image has no size")
    for image in images[1:]:
        other = _numbers(image.header.field_of_view)
        if tuple(image.header.matrix_size) != (x, y, z) or not np.allclose(other, size_mm, 1e-4):
            raise ArSSRError(f"{label}: its slices differ in size")
        if not np.allclose(_directions(image, label), (row, column, normal), atol=_SAME_DIRECTION):
            raise ArSSRError(f"{label}: its slices are not parallel")
    if len({image.samples.dtype for image in images}) > 1:
        raise ArSSRError(f"{label}: its slices are of different types")
    centres = np.array([_numbers(image.header.position) for image in images])
    if not np.isfinite(centres).all():
        raise ArSSRError(f"{label}: an image has no place")
    order = np.argsort(centres @ normal)
    centres = centres[order]
    if len(images) > 1 and np.diff(centres @ normal).min() < _SAME_PLACE_MM:
        raise ArSSRError(f"{label}: two of its slices lie at the same place")
    step = normal * size_mm[2] / z if z > 1 else even_step(centres, normal, size_mm[2], label)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([row * size_mm[0] / x, column * size_mm[1] / y, step], axis=1)
    affine[:3, 3] = centres[0] - affine[:3, :3] @ (np.array([x, y, z]) - 1) / 2
    with np.errstate(over="ignore"):
        data = np.concatenate([images[n].samples[0] for n in order]).T.astype(np.float32)
    if not np.isfinite(data).all():
        raise ArSSRError(f"{label}: there are NaN or infinite values")
    grid = Grid((x, y, len(images) * z), lps_to_ras(affine))
    said = {"MRAcquisitionType": "3D" if three_d else "2D"}
    slices = slices_of(said if z > 1 else said | {"SliceThickness": size_mm[2]}, grid, 2)
    return Stack([images[n] for n in order], Volume(data, grid, slices=slices))


def result_image(
    stack: Stack, result: Volume, series_index: int, image_index: int, remark: str
) -> MRDImage:
    """The result as one MRD image, a volume: header and attributes as the middle slice has them,
    but for what says where it lies, which it is, and what was done.

    Raises ArSSRError where it has more voxels along an axis than MRD counts.
    """
    grid, source = result.grid, stack.images[len(stack.images) // 2]
    if max(grid.shape) > _LARGEST:
        raise ArSSRError(f"a result of {max(grid.shape)} voxels along an axis is too large for MRD")
    axes = (grid.affine[:3, :3] / grid.spacing_mm).T * TURNED
    header = ImageHeader.from_buffer_copy(source.header)
    header.matrix_size[:] = grid.shape
    header.field_of_view[:] = (grid.spacing_mm * grid.shape).tolist()
    header.position[:] = (grid.to_world((np.array(grid.shape) - 1) / 2) * TURNED).tolist()
    header.slice_dir[:] = axes[2].tolist()
    header.slice = 0
    header.image_series_index, header.image_index = series_index, image_index
    samples = Encoding(source.samples.dtype).encode(result.data)
    meta = _meta(source, axes, grid.shape[2], remark)
    return MRDImage(header, attributes_of(meta), samples.T[None])


def _meta(source: MRDImage, axes: Floats, slices: int, remark: str) -> Meta:
    """The attributes of a result: those of its source that are still true, and its own."""
    meta = Meta(
        (name, value)
        for name, value in source.meta.items()
        if name not in _OF_ONE_IMAGE and not name.startswith(_OF_ONE_IMAGE_BEGIN)
    )
    meta.setdefault("DataRole", "Image")
    for name, more in (
        ("ImageProcessingHistory", "ARSSR"),
        ("SequenceDescriptionAdditional", "ARSSR"),
        ("ImageComments", remark),  # so MRD calls it,
        ("ImageComment", remark),  # and so do FIRE's programs
    ):
        meta[name] = [*listed(meta, name), more]
    names = ("ImageRowDir", "ImageColumnDir", "ImageSliceNormDir")
    meta |= {name: in_decimals(axis) for name, axis in zip(names, axes, strict=True)}
    # the header says where it lies, and slices of the source are no longer counted
    meta[KEEP_GEOMETRY] = "0"
    meta["slice_count"] = meta["NumberOfSlices"] = str(slices)
    meta["partition_count"] = "1"
    return meta


def original_image(image: MRDImage) -> MRDImage:
    """What goes back of an image as it came: it, and the wish that it is not turned."""
    try:
        meta = image.meta
    except ArSSRError:
        return image
    if KEEP_GEOMETRY in meta:
        return image
    kept = attributes_of(Meta({**meta, KEEP_GEOMETRY: "1"}))
    return MRDImage(image.header, kept, image.samples)


def _numbers(field: Iterable[float]) -> Floats:
    """A field of a header, by way of Python's floats: numpy warns of some of what may come."""
    return np.array([float(each) for each in field])


def _directions(image: MRDImage, label: str) -> Floats:
    """(3, 3) unit vectors, LPS: along x (columns), along y (rows), and from slice to slice."""
    head = image.header
    row, column = vector(image.meta, "ImageRowDir"), vector(image.meta, "ImageColumnDir")
    if row is None or column is None:
        row, column = _numbers(head.read_dir), _numbers(head.phase_dir)
    lengths = np.linalg.norm([row, column], axis=1)
    if not (np.abs(lengths - 1) < 0.01).all() or abs(row @ column) > _SAME_DIRECTION:
        raise ArSSRError(f"{label}: an image does not say where its rows and columns run")
    row, column = row / lengths[0], column / lengths[1]
    normal = np.cross(row, column)
    backwards = _numbers(head.slice_dir) @ normal < 0
    return np.stack([row, column, -normal if backwards else normal])
