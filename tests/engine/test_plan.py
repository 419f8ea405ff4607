"""Tiles: each voxel once, each tile with its whole halo, never above the budget, least work."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arssr.engine.plan import Tile, cut, plan_tiles
from arssr.errors import ArSSRError

shapes = st.tuples(*[st.integers(1, 30)] * 3)
halos = st.integers(0, 12)


def size(box: tuple[slice, slice, slice]) -> int:
    return math.prod(s.stop - s.start for s in box)


def work(tiles: list[Tile]) -> int:
    return sum(size(tile.padded) for tile in tiles)


def smallest_peak(shape: tuple[int, int, int], halo: int) -> int:
    """Voxels that the worst single-voxel tile computes."""
    return math.prod(min(n, 2 * halo + 1) for n in shape)


@given(shapes, halos, st.floats(1, 20), st.floats(0, 1))
def test_every_voxel_once_with_its_halo_within_the_budget(
    shape: tuple[int, int, int], halo: int, bytes_per_voxel: float, share: float
) -> None:
    least, most = smallest_peak(shape, halo) * bytes_per_voxel, math.prod(shape) * bytes_per_voxel
    budget = least + share * (most - least)
    times_owned = np.zeros(shape, int)
    for tile in plan_tiles(shape, halo, bytes_per_voxel, budget):
        times_owned[tile.core] += 1
        assert size(tile.padded) * bytes_per_voxel <= budget
        for core, padded, inner, n in zip(tile.core, tile.padded, tile.inner, shape, strict=True):
            assert padded == slice(max(core.start - halo, 0), min(core.stop + halo, n))
            assert range(n)[padded][inner] == range(n)[core]
    assert (times_owned == 1).all()


@given(st.tuples(*[st.integers(1, 7)] * 3), st.integers(0, 2), st.floats(0, 1))
def test_no_other_cut_does_less_work(shape: tuple[int, int, int], halo: int, share: float) -> None:
    least, most = smallest_peak(shape, halo), math.prod(shape)
    budget = least + share * (most - least)
    rivals = (
        cut(shape, counts, halo) for counts in itertools.product(*[range(1, n + 1) for n in shape])
    )
    fitting = [work(r) for r in rivals if max(size(tile.padded) for tile in r) <= budget]
    assert work(plan_tiles(shape, halo, 1, budget)) == min(fitting)


def test_nothing_is_cut_that_fits() -> None:
    [tile] = plan_tiles((40, 50, 60), 28, 768 * 4, 40 * 50 * 60 * 768 * 4)
    assert tile.core == tile.padded == tile.inner == (slice(0, 40), slice(0, 50), slice(0, 60))


def test_a_head_that_almost_fits_is_cut_once_across_its_longest_axis() -> None:
    """RDN in bfloat16 on a 1 mm head: 10.9 GB at once."""
    front, back = plan_tiles((181, 217, 181), 28, 768 * 2, 8e9)
    assert front.core == (slice(0, 181), slice(0, 108), slice(0, 181))
    assert back.padded == (slice(0, 181), slice(108 - 28, 217), slice(0, 181))


def test_a_budget_below_one_voxel_with_its_halo_is_refused_with_what_it_takes() -> None:
    with pytest.raises(ArSSRError, match=r"1 MB .* 3\.65 MB"):
        plan_tiles((100, 9, 11), 20, 900, 1e6)  # 41 × 9 × 11 voxels of 900 bytes
    assert plan_tiles((100, 9, 11), 20, 900, 3.7e6)
