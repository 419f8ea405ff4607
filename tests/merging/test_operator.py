"""What a scan makes of the common grid, and the adjoint of that."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from tests.phantoms import rotated, smooth

from arssr.consistency import Acquisition
from arssr.formats.slices import Slices
from arssr.grid import Grid
from arssr.interpolation import EDGE_PADDING, apply_axis_matrices, spline_matrix
from arssr.merging.posed import Interleaves, Posed
from arssr.merging.sampling import Sampling
from arssr.merging.solve import Problem
from arssr.merging.stack import Stack, fading, fine_grid, stack_of

COMMON = Grid((14, 12, 10), np.diag([1.0, 1, 1, 1]))


def coefficients(image: np.ndarray) -> torch.Tensor:
    """Padded coefficients of the spline through an image."""
    matrices = [torch.from_numpy(spline_matrix(n).astype(np.float32)) for n in image.shape]
    return apply_axis_matrices(torch.from_numpy(image), matrices)


def motion(seed: int) -> np.ndarray:
    """A motion of some mm and degrees."""
    turned = rotated(COMMON, np.random.default_rng(seed).uniform(-9, 9, 3))
    moved = turned.affine @ np.linalg.inv(COMMON.affine)
    moved[:3, 3] += np.random.default_rng(seed + 1).uniform(-2, 2, 3)
    return moved


def stack(
    seed: int,
    mask: np.ndarray | None = None,
    motions: Sequence[np.ndarray] = (),
    device: str = "cpu",
) -> Stack:
    """A thick, moved scan with gaps, whose slices lie along an axis by the seed.

    motions: of its interleaves.
    """
    axis, scale = seed % 3, np.ones(3)
    scale[axis] = 1 / 3
    scan = COMMON.scaled(scale)
    fine = fine_grid(scan, COMMON)
    names = ["slice" if a == axis else "kspace" for a in range(3)]
    acquisition = Acquisition(scan, fine, names, Slices(axis, 2.4, 3.0))
    measured = torch.from_numpy(smooth(scan.shape, seed)).to(device)
    zero = torch.zeros([n + 2 * EDGE_PADDING for n in COMMON.shape], device=device)
    everywhere = np.ones(COMMON.shape, bool)
    return stack_of(
        measured,
        acquisition,
        fine,
        COMMON,
        motion(seed),
        Interleaves(axis, tuple(motions) or (np.eye(4),)),
        0.1,
        torch.ones(scan.shape, device=device),
        zero,
        everywhere if mask is None else mask,
    )


def test_what_a_scan_makes_of_an_image_stays_on_its_device() -> None:
    """The meta device computes no numbers, but refuses to mix its tensors with those of a CPU."""
    meta = stack(1, device="meta")
    image = torch.zeros([n + 2 * EDGE_PADDING for n in COMMON.shape], device="meta")
    assert {meta.apart.device.type, meta.counts.device.type} == {"meta"}
    assert meta.measure(image).device.type == "meta"
    meta.spread(meta.apart, image)
    problem = Problem([meta], COMMON.shape, torch.arange(50, device="meta"))
    assert problem.normal(torch.zeros(50, device="meta")).device.type == "meta"


def test_a_spline_is_read_where_the_motion_leads() -> None:
    image, to_scan = smooth(COMMON.shape), motion(3)
    grid = Grid((9, 8, 7), np.diag([1.3, 1.1, 1.2, 1]) + np.array([[0, 0, 0, 1]] * 3 + [[0] * 4]))
    read = Sampling(COMMON, grid, to_scan).read(coefficients(image))
    world = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    back = np.linalg.inv(to_scan)
    at = COMMON.to_index(world @ back[:3, :3].T + back[:3, 3])
    expected = ndimage.map_coordinates(image, np.moveaxis(at, -1, 0), order=3, mode="nearest")
    inside = ((at >= -0.5) & (at < np.array(COMMON.shape) - 0.5)).all(axis=-1)
    assert inside.sum() > 100
    assert np.abs(read.numpy() - expected)[inside].max() < 1e-4
    assert not read.numpy()[~inside].any()


@given(st.integers(0, 50), st.integers(1, 3))
def test_spreading_is_the_adjoint_of_measuring(seed: int, groups: int) -> None:
    mask = np.random.default_rng(seed).random(COMMON.shape) < 0.7
    scan = stack(seed, mask, [motion(seed + group) for group in range(groups)])
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn([n + 2 * EDGE_PADDING for n in COMMON.shape], generator=generator)
    y = torch.randn(scan.apart.shape, generator=generator)
    onto = torch.zeros_like(x)
    scan.spread(y, onto)
    forward, backward = float((scan.measure(x) * y).sum()), float((x * onto).sum())
    size = float(scan.measure(x).norm() * y.norm())
    assert abs(forward - backward) < 1e-5 * size


@pytest.mark.parametrize("seed", range(3))
def test_interleaves_measure_what_scans_at_their_poses_do(seed: int) -> None:
    x = coefficients(smooth(COMMON.shape, sigma=1))
    moved = [np.eye(4), motion(7), motion(8)]
    together = stack(seed, motions=moved).posed
    measured, seen = together.measure(x), together.seen_share()
    for group, of_group in enumerate(moved):
        alone = stack(seed, motions=[of_group]).posed
        where = [slice(None)] * 3
        where[seed % 3] = slice(group, None, 3)
        assert torch.equal(measured[tuple(where)], alone.measure(x)[tuple(where)])
        assert torch.equal(seen[tuple(where)], alone.seen_share()[tuple(where)])


def test_a_scan_that_fits_its_guess_says_nothing_beyond_it() -> None:
    image = smooth((14, 12, 10), sigma=3)
    scan = COMMON.scaled((1, 1, 1 / 2))
    fine = fine_grid(scan, COMMON)
    acquisition = Acquisition(scan, fine, ("kspace", "kspace", "slice"))
    measured = acquisition.measure(torch.from_numpy(image))
    made = stack_of(
        measured,
        acquisition,
        fine,
        COMMON,
        np.eye(4),
        Interleaves(2),
        0.1,
        torch.ones(scan.shape),
        coefficients(image),
        np.ones(COMMON.shape, bool),
    )
    assert float(made.apart.abs().max()) < 1e-4


def test_what_lies_outside_the_common_grid_has_no_weight() -> None:
    shift = np.eye(4)
    shift[0, 3] = 5  # mm
    scan = COMMON
    acquisition = Acquisition(scan, scan, ("kspace",) * 3)
    share = Posed(acquisition, COMMON, scan, shift, Interleaves(2)).seen_share()
    assert not share[:5].any()
    assert bool((share[5:] == 1).all())


@pytest.mark.parametrize("axis", range(3))
def test_the_fine_grid_has_the_spacing_of_the_nearest_axis(axis: int) -> None:
    common = Grid((8, 8, 8), np.diag([1.0, 0.5, 2, 1]))
    turned = np.roll(common.affine, axis, axis=1)
    turned[:, 3], turned[:3, axis] = common.affine[:, 3], turned[:3, axis]
    order = [(a - axis) % 3 for a in range(3)]
    scan = Grid((4, 4, 4), np.column_stack([common.affine[:, order] * 2, [0, 0, 0, 1]]))
    assert np.allclose(fine_grid(scan, common).spacing_mm, common.spacing_mm[order])


def test_a_field_of_view_fades_out_at_its_end() -> None:
    weights = fading(Grid((60, 30, 12), np.diag([1.0, 1, 4, 1])))
    assert weights.max() == 1 and weights.min() < 0.001
    assert np.abs(np.diff(weights[:, 15, 6])).max() < 0.2
