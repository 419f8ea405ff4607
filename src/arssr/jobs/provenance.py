"""Where a result comes from: a JSON sidecar beside every image that is written."""

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from arssr.api import Model
from arssr.field import VoxelField
from arssr.files import sha256, sidecar, write_text
from arssr.grid import Grid
from arssr.upsampling.facts import Facts
from arssr.volume import Volume
from arssr.weights.licence import NOT_STATED
from arssr.weights.limits import told_of_slices


def describe(
    source: Volume,
    grid: Grid,
    options: Mapping[str, Any],
    model: Model | None = None,
    field: VoxelField | None = None,
) -> Facts:
    """All it takes to make the result on `grid` again, as plain values.

    model: what was asked for; it has had its say where a field was made. Of that, `told` is what
    the options came to: the acquisition per axis, `because` of what for slices that do not touch,
    and the noise in units of the image (null where unknown), beyond what training images have of
    the scan's own `noise`; `air_skipped` is the share of the
    scan's voxels that was left to the interpolation.
    """
    facts: Facts = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": dict(_versions()),
        "options": dict(options),
        "input": {
            "file": source.path.name if source.path else None,
            "sha256": sha256(source.path) if source.path else None,
            **source.grid.describe(),
            "slices": source.slices.describe() if source.slices else None,
        },
        "output": grid.describe(),
    }
    if model is not None:
        facts |= _of_model(model)
    if field is not None:
        facts |= _of_field(field)
    chosen_by_us = options.get("acquisition", "auto") == "auto"
    answer = told_of_slices(model.card, source.slices) if model is not None else None
    if field is not None and chosen_by_us and answer is not None:
        facts["told"] = {**facts["told"], "because": answer[1]}
    return facts


@cache
def _versions() -> dict[str, str]:
    return {
        "arssr": version("arssr"),
        "torch": version("torch"),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _of_model(model: Model) -> Facts:
    return {
        "model": {
            "name": model.name,
            "sha256": model.weights.sha256,
            "licence": model.card.get("licence", NOT_STATED),
            "config": model.config.to_dict(),
        },
        "device": str(model.device),
        "precision": model.precision,
    }


def _of_field(field: VoxelField) -> Facts:
    noise, told = (
        None if level is None else float(f"{level * field.normalisation.scale:.6g}")
        for level in (field.noise, field.told_noise)
    )
    return {
        "noise": noise,
        "told": {"acquisition_ijk": list(field.acquisition_ijk), "noise": told},
        "device": str(field.network.device),  # where it was computed, if a GPU was too small
        "precision": field.network.precision,
        "air_skipped": round(field.air, 4),
    }


def write_sidecar(image: Path, facts: Mapping[str, Any]) -> Path:
    """Write the facts beside an image; returns the path."""
    path = sidecar(image)
    write_text(path, json.dumps(facts, indent=2) + "\n")
    return path
