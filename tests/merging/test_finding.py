"""How the person moved between two scans."""

from pathlib import Path

import numpy as np
import pytest
from tests.merging.heads import head
from tests.phantoms import rotated

from arssr.grid import Floats, Grid
from arssr.interpolation import resample
from arssr.merging.finding import find_motion
from arssr.merging.fit import SAME, fit
from arssr.merging.poses import head_centre, register
from arssr.volume import Volume

DATA = Path(__file__).parents[3] / "shared/data/train"
FIRST = Volume(head().data, Grid(head().grid.shape, np.diag([4.0, 4, 4, 1])))  # life-size


def moved(by_mm: tuple[float, float, float] = (4, -3, 5)) -> tuple[Volume, Floats]:
    """The head after a motion, and the motion."""
    motion = rotated(FIRST.grid, (4, -3, 5)).affine @ np.linalg.inv(FIRST.grid.affine)
    motion[:3, 3] += by_mm
    where = Grid(FIRST.grid.shape, np.linalg.inv(motion) @ FIRST.grid.affine)
    return Volume(resample(FIRST, where).data, FIRST.grid), motion


def off_mm(found: Floats, motion: Floats) -> float:
    points = FIRST.grid.to_world(np.argwhere(FIRST.data > 20))
    apart = points @ (found - motion)[:3, :3].T + (found - motion)[:3, 3]
    return float(np.linalg.norm(apart, axis=1).mean())


def test_without_shading_the_motion_is_what_registration_finds() -> None:
    other, motion = moved()
    found = find_motion(FIRST, other)
    assert off_mm(found, motion) < 0.1
    np.testing.assert_array_equal(found, register(FIRST, other, head_centre(FIRST)))


def test_shading_does_not_pull() -> None:
    other, motion = moved()
    along = np.linspace(-0.5, 0.5, FIRST.grid.shape[0], dtype=np.float32)[:, None, None]
    shaded = other.with_data(other.data * 2**along, other.grid)
    pulled = off_mm(register(FIRST, shaded, head_centre(FIRST)), motion)
    assert off_mm(find_motion(FIRST, shaded), motion) < 0.6 * pulled


def test_a_scan_that_headers_put_elsewhere_is_found() -> None:
    there = np.eye(4)
    there[:3, 3] = (300, -200, 100)
    other = Volume(FIRST.data, Grid(FIRST.grid.shape, there @ FIRST.grid.affine))
    assert off_mm(find_motion(FIRST, other), there) < 0.1


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="needs the images of ../shared")
def test_two_heads_of_one_scanner_do_not_fit() -> None:
    """The two that are most alike of those in benchmarks/merge_fit.py."""
    first, other = (Volume.read(DATA / f"ds002748-{n}_T1w.nii.gz") for n in ("03", "04"))
    coarse = [resample(scan, scan.grid.with_spacing(2.5)) for scan in (first, other)]
    assert fit(*coarse, find_motion(*coarse)) < SAME
