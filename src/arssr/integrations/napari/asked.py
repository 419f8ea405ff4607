"""What the widget asks for, in the words of `Model.upsample`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels

from arssr.errors import ArSSRError
from arssr.integrations.napari.layers import grid_of, order_of

if TYPE_CHECKING:
    from arssr.api import Options

THICK, ISOTROPIC, SCALE, SPACING, LIKE = "thick", "isotropic", "scale", "spacing", "like"
TARGETS = {
    THICK: "Thick slices as fine as their plane",
    ISOTROPIC: "All axes as fine as the finest",
    SCALE: "Finer by a factor",
    SPACING: "To a voxel size in mm",
    LIKE: "On the grid of a layer",
}
ACQUISITIONS = {
    "auto": "As the scan says",
    "3D": "3D",
    "2D": "2D slices",
    "unknown": "Not known",
}


def options_of(
    layer: Image | Labels,
    target: str,
    numbers: str = "",
    like: Image | Labels | None = None,
    acquisition: str = "auto",
) -> "Options":
    """What to ask of a model for this layer.

    target: one of `TARGETS`. numbers: of SCALE and SPACING, one or three, in the order of the
    layer's axes. like: of LIKE. Raises ArSSRError for numbers that are none, and without `like`.
    """
    options: Options = {"labels": True} if isinstance(layer, Labels) else {}
    if not isinstance(layer, Labels):
        options["acquisition"] = acquisition
    if target == ISOTROPIC:
        options["isotropic"] = True
    elif target == SCALE:
        options["scale"] = _three(numbers, layer)
    elif target == SPACING:
        options["spacing"] = _three(numbers, layer)
    elif target == LIKE:
        if like is None:
            raise ArSSRError("choose the layer whose grid the result shall have")
        options["like"] = grid_of(like)
    return options


def usual_target(layer: Image | Labels) -> str:
    """THICK for a scan with thick slices, else SCALE."""
    return THICK if grid_of(layer).thick_axes() else SCALE


def _three(numbers: str, layer: Image | Labels) -> Sequence[float]:
    """One number or three of a text, in the order of the volume."""
    try:
        found = [float(number) for number in numbers.replace(",", " ").split()]
    except ValueError:
        found = []
    if len(found) not in (1, 3):
        raise ArSSRError(f"one number or three are needed, such as 2 or 4 1 1, not {numbers!r}")
    given = np.broadcast_to(found, 3)
    return [float(given[axis]) for axis in np.argsort(order_of(layer))]
