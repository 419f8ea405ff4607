"""Several thick scans of one head become one: what each step of `arssr merge` gains.

    python benchmarks/merge.py ../shared/data/val/karawun_FLAIR.nii.gz [--crop 96] [--noise 1 3]

Three orthogonal stacks of the truth, 4 of its voxels from slice to slice, of which 20 % are gaps,
with Rician noise, and moved by up to 5 mm and 5 degrees, which no header tells. They are read from
the continuous spline of the truth, point by point, by code of this file.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from arssr.formats.slices import Slices
from arssr.grid import Grid
from arssr.volume import Volume

DISTANCE = 4  # voxels of the truth from slice to slice
GAP = 0.2  # of that, not covered
STEPS = 2  # points that are read per voxel of the truth, across a slice
REACH = 1.5  # of a Gaussian profile, in its width at half maximum
MOST_MM, MOST_DEGREES = 5.0, 5.0


def motion_of(generator: np.random.Generator, centre_mm: np.ndarray) -> np.ndarray:
    """(4, 4) a rigid motion around a point: up to 5 mm and 5 degrees along and about each axis."""
    angles = np.radians(generator.uniform(-MOST_DEGREES, MOST_DEGREES, 3))
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        about = np.eye(3)
        about[a, a] = about[b, b] = np.cos(angle)
        about[a, b], about[b, a] = -np.sin(angle), np.sin(angle)
        turn = about @ turn
    motion = np.eye(4)
    motion[:3, :3] = turn
    motion[:3, 3] = centre_mm - turn @ centre_mm + generator.uniform(-MOST_MM, MOST_MM, 3)
    return motion


def stack_of(
    truth: Volume, axis: int, motion: np.ndarray, sigma: float, generator: np.random.Generator
) -> Volume:
    """A stack whose slices follow each other along an axis of the truth; Gaussian profile.

    motion: from the space of the truth to that of the stack.
    """
    scale = [1.0, 1.0, 1.0]
    scale[axis] = 1 / DISTANCE
    grid = truth.grid.scaled(scale)
    spline = ndimage.spline_filter(truth.data.astype(np.float32), 3, np.float32, mode="nearest")
    to_truth = np.linalg.inv(motion @ truth.grid.affine) @ grid.affine
    width = (1 - GAP) * DISTANCE
    n = int(np.ceil(REACH * width * STEPS))
    offsets = np.arange(-n, n + 1) / STEPS
    weights = np.exp(-4 * np.log(2) * (offsets / width) ** 2)
    data = np.zeros(grid.shape)
    for offset, weight in zip(offsets, weights / weights.sum(), strict=True):
        shift = np.zeros(3)
        shift[axis] = offset / DISTANCE
        data += weight * ndimage.affine_transform(
            spline,
            to_truth[:3, :3],
            to_truth[:3, 3] + to_truth[:3, :3] @ shift,
            output_shape=grid.shape,
            output=np.float32,
            mode="nearest",
            prefilter=False,
        )
    real, imaginary = (sigma * generator.standard_normal(grid.shape) for _ in range(2))
    noisy = np.hypot(data + real, imaginary) if sigma else data
    mm = float(grid.spacing_mm[axis])
    return Volume(noisy, grid, slices=Slices(axis, (1 - GAP) * mm, mm))
