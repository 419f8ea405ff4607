"""What is known of an image: `arssr info`."""

from typing import Any

from arssr.resolution import Resolution, band_grid, measure_resolution
from arssr.volume import Volume


def about(volume: Volume, resolution: Resolution | None = None) -> dict[str, Any]:
    """Where it lies, how it is stored and how finely it was measured, as plain values.

    resolution: where it is known.
    """
    resolution = resolution or measure_resolution(volume)
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
        "warnings": list(volume.warnings),
        "resolution": resolution.describe(),
        **(cut if measured != volume.grid else {}),
    }
