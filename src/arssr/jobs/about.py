"""What is known of an image: `arssr info`."""

from collections.abc import Mapping
from typing import Any

from arssr.domain import Look
from arssr.formats.kind import INTENSITIES
from arssr.resolution import Resolution, band_grid, cut_to_band, measure_resolution
from arssr.volume import Volume
from arssr.weights.limits import unlike_training


def about(
    volume: Volume, card: Mapping[str, Any], resolution: Resolution | None = None
) -> dict[str, Any]:
    """Where it lies, how it is stored and how finely it was measured, as plain values.

    card: of weights that it may be given to; a warning says where it looks like none that they
    know. resolution: where it is known.
    """
    resolution = resolution or measure_resolution(volume)
    unlike = []
    if volume.kind.what == INTENSITIES:
        unlike = unlike_training(card, Look.of(cut_to_band(volume, resolution).data))
    measured = band_grid(volume.grid, resolution)
    cut = {"super_resolved_from_mm": measured.describe()["spacing_mm"]}
    return {
        **volume.grid.describe(),
        "extent_mm": [round(float(mm), 3) for mm in volume.grid.extent_mm],
        "affine": volume.grid.affine.tolist(),
        "slices": volume.slices.describe() if volume.slices else None,
        "samples": volume.kind.what,
        "stored_as": str(volume.storage.dtype),
        "slope": volume.storage.slope,
        "intercept": volume.storage.inter,
        "range": [float(volume.data.min()), float(volume.data.max())],
        "warnings": [*volume.warnings, *unlike],
        "resolution": resolution.describe(),
        **(cut if measured != volume.grid else {}),
    }
