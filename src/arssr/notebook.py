"""Images in a notebook that one can turn, by NiiVue (https://niivue.com, Taylor et al.)."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from isal import igzip

from arssr.errors import ArSSRWarning
from arssr.extras import require
from arssr.grid import Floats, Grid, corner_voxels
from arssr.planes import brightness_at_a_glance
from arssr.volume import Image, Volume

if TYPE_CHECKING:
    from ipywidgets import VBox

_HEIGHT = 420  # pixels
_MOST_VOXELS = 2**26  # that NiiVue draws on; it takes 4 bytes of the graphics card for each
_INTEGERS = 2**15 - 1
_ROUNDING = 1e-3  # voxels that a grid may end before what it holds


def view(before: Image, after: "Image | None" = None) -> "VBox":
    """Three linked planes of an image, or of two with a slider from one to the other.

    Each image is handed over on its own grid, and shown in its place in the world: they need not
    lie on the same. Where the second sees nothing, the first stays. Grey levels are those of the
    first. The patient's right is on the left.
    Move the crosshair with the left mouse button, through slices with the wheel; the right
    button, dragged over a region, fits the grey levels to it.

    Raises ArSSRError where ipyniivue is not installed, and as `Volume.coerce` does.
    """
    require("notebook", "arssr.view")
    import ipyniivue
    import ipywidgets

    images = [Volume.coerce(image) for image in ([before] if after is None else [before, after])]
    _warn_if_apart(images)
    low, high = brightness_at_a_glance(images[0].data)
    shown = [
        ipyniivue.Volume(
            name=f"{image.name}.nii.gz",
            data=as_nifti(image.data, image.grid),
            colormap="gray",
            cal_min=low,
            cal_max=high if high > low else low + 1,
        )
        for image in images
    ]
    viewer = ipyniivue.NiiVue(
        height=_HEIGHT, is_radiological_convention=True, sagittal_nose_left=True
    )
    if after is None:
        viewer.load_volumes(shown)
        return ipywidgets.VBox([viewer])
    # NiiVue draws whatever lies on the first image on the voxels of that, so it gets one that is
    # fine enough for both, and black.
    canvas = common_grid(images[1].grid, images[0].grid)
    black = as_nifti(np.zeros(canvas.shape, np.float32), canvas)
    ground = ipyniivue.Volume(name="black.nii.gz", data=black, cal_min=0.0, cal_max=1.0)
    viewer.load_volumes([ground, *shown])
    slider = ipywidgets.FloatSlider(value=1, min=0, max=1, step=0.01, readout=False)
    ipywidgets.jslink((slider, "value"), (shown[1], "opacity"))
    ends = [ipywidgets.Label(text) for text in ("before", "after")]
    return ipywidgets.VBox([viewer, ipywidgets.HBox([ends[0], slider, ends[1]])])


def _warn_if_apart(images: Sequence[Volume]) -> None:
    """A slider from one image to another is no use where neither sees what the other sees."""
    first, last = images[0], images[-1]
    if first.grid.lies_beside(_corners_ras_mm(last.grid)):
        sentence = f"{first.name} and {last.name} share no place: they are shown side by side"
        warnings.warn(sentence, ArSSRWarning, stacklevel=3)


def as_nifti(data: np.ndarray, grid: Grid) -> bytes:
    """A compressed NIfTI file of an image (I, J, K), as 16-bit integers; NaN is its lowest value.

    Nothing but samples and place: what a header says besides may change how it is shown.
    """
    finite = data[np.isfinite(data)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    slope, inter = (high - low) / (2 * _INTEGERS) or 1.0, (high + low) / 2
    steps = (np.nan_to_num(data, nan=low, posinf=high, neginf=low) - inter) / slope
    image = nib.Nifti1Image(np.rint(steps).astype(np.int16), grid.affine)
    image.header.set_slope_inter(slope, inter)
    image.header.set_xyzt_units("mm")
    return bytes(igzip.compress(image.to_bytes(), 1))


def common_grid(grid: Grid, other: Grid) -> Grid:
    """A grid with the axes of the first that holds both, as fine along each axis as the finer.

    >>> common_grid(Grid((4, 4, 4), np.eye(4)), Grid((8, 8, 2), np.diag([0.5, 0.5, 4, 1])))
    Grid(9×9×8 voxels of 0.5×0.5×1 mm, RAS)
    """
    corners = np.concatenate([grid.to_index(_corners_ras_mm(each)) for each in (grid, other)])
    start, end = corners.min(axis=0), corners.max(axis=0)
    step = np.minimum(1, other.cell_in(grid))
    step *= max(1.0, float(np.prod((end - start) / step) / _MOST_VOXELS) ** (1 / 3))
    i, j, k = np.ceil((end - start) / step - _ROUNDING).astype(int).tolist()
    index_map = np.diag([*step, 1.0])
    index_map[:3, 3] = start + step / 2
    return Grid((i, j, k), grid.affine @ index_map)


def _corners_ras_mm(grid: Grid) -> Floats:
    """(8, 3) of the field of view."""
    return grid.to_world(corner_voxels([n + 1 for n in grid.shape]) - 0.5)
