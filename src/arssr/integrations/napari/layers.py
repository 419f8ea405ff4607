"""Layers of napari as volumes, and back.

napari counts axes as arrays are stored, slowest first, and draws the last two of them: the second
downwards, the third to the right. So volumes are shown in a world of (inferior, posterior, left)
millimetres, RAS+ reversed and negated: axial planes, anterior up, the patient's right on the left.
It is right-handed for napari's camera (since 0.6), so that nothing is mirrored in 3D either.

A layer of any other world is taken as it is: whatever its axes mean, a result overlays it. A layer
that was made here keeps in its `metadata` what the file says besides (how samples are stored, how
thick slices are), as a volume without samples.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from arssr.errors import ArSSRError
from arssr.grid import Floats, Grid
from arssr.volume import Volume

KNOWN = "arssr"  # in `metadata`
LayerData = tuple[NDArray[Any], dict[str, Any], str]
"""Samples, the arguments of a layer by name, and its kind: as readers of napari give layers."""

_WORLD = np.zeros((4, 4))  # RAS+ mm → world, and back
_WORLD[[0, 1, 2], [2, 1, 0]], _WORLD[3, 3] = -1, 1
_AXES = ("inferior", "posterior", "left")
_REVERSED = (2, 1, 0)
_LOOK = ("colormap", "contrast_limits", "gamma", "blending", "interpolation2d", "interpolation3d")


def is_volume(layer: object) -> bool:
    """Whether a layer is a 3D image or label map."""
    if not isinstance(layer, Image | Labels):
        return False
    return layer.ndim == 3 and not (isinstance(layer, Image) and layer.rgb)


def volume_of(layer: Image | Labels) -> Volume:
    """A layer as a volume: its samples, where they lie (`grid_of`), what is known of its file.

    Raises ArSSRError for what is no 3D image, NaN and infinities, and voxels without a volume.
    """
    grid = grid_of(layer)
    samples = np.asarray(layer.data[0] if layer.multiscale else layer.data)
    volume = Volume.coerce((samples.transpose(np.argsort(order_of(layer))), grid.affine))
    known = layer.metadata.get(KNOWN)
    if isinstance(known, Volume):
        return known.with_data(volume.data, volume.grid)
    return replace(volume, storage=replace(volume.storage, dtype=samples.dtype))


def grid_of(layer: Image | Labels) -> Grid:
    """Where the voxels of a layer lie; no sample is read.

    Axes are in the order of the file, where the layer was read by `arssr`, and in reversed order
    otherwise, as files of most formats have them. Worlds in pixels are taken for mm.
    Raises ArSSRError for what is no 3D image, and for voxels without a volume.
    """
    if not is_volume(layer):
        raise ArSSRError(f"{layer.name}: is no 3D image or label map; take one volume of it")
    shape = (layer.data[0] if layer.multiscale else layer.data).shape
    axes = np.argsort(order_of(layer))  # of the layer, for each of the volume
    affine = _WORLD @ np.diag([*_mm(layer), 1]) @ _data_to_world(layer)[:, [*axes, 3]]
    i, j, k = (shape[axis] for axis in axes)
    return Grid((i, j, k), affine)


def order_of(layer: Image | Labels) -> tuple[int, int, int]:
    """Which axis of its volume each axis of a layer is."""
    known = layer.metadata.get(KNOWN)
    return _order_shown(known.grid.affine) if isinstance(known, Volume) else _REVERSED


def opened(volume: Volume, *, labels: bool) -> LayerData:
    """A volume from a file as a layer, an image or a label map."""
    attributes = {"name": volume.name, "axis_labels": _AXES, "units": ("mm",) * 3}
    return _layer(volume, _order_shown(volume.grid.affine), np.ones(3), attributes, labels)


def overlaid(volume: Volume, layer: Image | Labels, frame: Image | Labels) -> LayerData:
    """A result of `layer` as a layer, in the world of `frame`, the layer whose axes it has.

    It looks like `layer`: same colours, same window.
    """
    labels = isinstance(layer, Labels)
    look = ("colormap",) if labels else _LOOK
    attributes = {name: getattr(layer, name) for name in look}
    attributes |= {"axis_labels": frame.axis_labels, "units": frame.units}
    attributes["name"] = f"{layer.name} (ArSSR)"
    return _layer(volume, order_of(frame), _mm(frame), attributes, labels)


def _layer(
    volume: Volume,
    order: Sequence[int],
    mm: Floats,
    attributes: dict[str, Any],
    labels: bool,
) -> LayerData:
    data: NDArray[Any] = volume.data.transpose(order)
    if labels:
        data = np.rint(data).astype(_label_type(volume))
    to_world = np.diag([*(1 / mm), 1]) @ _WORLD @ volume.grid.affine[:, [*order, 3]]
    scale = np.linalg.norm(to_world[:3, :3], axis=0)
    without = np.broadcast_to(np.float32(0), volume.grid.shape)
    place = {"scale": scale, "affine": to_world @ np.diag([*(1 / scale), 1])}
    known = {"metadata": {KNOWN: replace(volume, data=without)}}
    return data, attributes | place | known, "labels" if labels else "image"


def _label_type(volume: Volume) -> np.dtype[Any]:
    """Whole numbers, as the file has them where it has some."""
    return volume.storage.written if volume.storage.is_whole else np.dtype(np.int32)


def _order_shown(affine: Floats) -> tuple[int, int, int]:
    """Which axis of a volume runs most nearly along each axis of the world."""
    i, j, k = np.argsort(io_orientation(_WORLD @ affine)[:, 0])
    return int(i), int(j), int(k)


def _data_to_world(layer: Image | Labels) -> Floats:
    """(4, 4) index of a voxel → world, in the units of the layer."""
    origin, *ends = (np.array(layer.data_to_world(p)) for p in ((0, 0, 0), *np.eye(3)))
    matrix = np.eye(4)
    matrix[:3] = np.stack([*(end - origin for end in ends), origin], axis=1)
    return matrix


def _mm(layer: Image | Labels) -> Floats:
    """(3,) millimetres of a unit of the world along each axis; 1 where it is no length."""
    units = [1 * unit for unit in layer.units]
    return np.array([u.to("mm").magnitude if u.check("[length]") else 1.0 for u in units])
