"""Decoding in large blocks, as a GPU does it: here on a CPU, and the same as plane by plane."""

from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.test_decode import (
    NETWORKS,
    Positions,
    cells,
    features_of,
    lattices,
    shapes,
)

from arssr.engine import blocks
from arssr.engine.blocks import decode_blocks
from arssr.engine.decode import decode_lattice, nearest_voxel
from arssr.engine.lattice import cut, wanted_box

CPU = torch.device("cpu")


def put_together(
    decoded: Iterator[tuple[tuple[slice, slice, slice], torch.Tensor]], positions: Positions
) -> np.ndarray:
    values = torch.zeros([len(p) for p in positions])
    written = torch.zeros(values.shape)
    for box, block in decoded:
        assert block.dtype == torch.float32
        values[box] = block
        written[box] += 1
    assert (written <= 1).all()
    return values.numpy()


@pytest.mark.parametrize("flavour", NETWORKS)
@settings(max_examples=60)
@given(
    shape=shapes, positions=lattices, cell=cells, voxels=st.integers(1, 99), holes=st.floats(0, 1)
)
def test_blocks_and_planes_agree(
    flavour: str,
    shape: tuple[int, int, int],
    positions: Positions,
    cell: np.ndarray,
    voxels: int,
    holes: float,
) -> None:
    network, features = NETWORKS[flavour], features_of(shape)
    active = np.random.default_rng(0).random(shape) >= holes
    given = network, features, positions, cell, active
    expected = put_together(decode_lattice(*given), positions)
    with patch.object(blocks, "_VOXELS", voxels):
        found = put_together(decode_blocks(*given), positions)
    np.testing.assert_allclose(found, expected, atol=3e-5)
    np.testing.assert_array_equal(found == 0, expected == 0)


@given(shape=shapes, positions=lattices, holes=st.floats(0, 1))
def test_the_wanted_box_has_all_that_is_wanted(
    shape: tuple[int, int, int], positions: Positions, holes: float
) -> None:
    active = np.random.default_rng(0).random(shape) >= holes
    nearest = [nearest_voxel(p, n) for p, n in zip(positions, shape, strict=True)]
    wanted = active[np.ix_(*nearest)]
    box = wanted_box(active, positions)
    if box is None:
        assert not wanted.any()
    else:
        assert wanted[box].sum() == wanted.sum()


def test_the_wanted_box_is_the_least() -> None:
    active = np.zeros((4, 5, 6), bool)
    active[1, 2, 3] = active[2, 2, 4] = True
    i, j, k = (np.arange(2 * n) / 2 - 0.25 for n in (4, 5, 6))
    assert wanted_box(active, (i, j, k)) == (slice(2, 6), slice(4, 6), slice(6, 10))


@given(shape=st.tuples(*[st.integers(1, 20)] * 3), most=st.integers(1, 300))
def test_cuts_cover_a_lattice_once(shape: tuple[int, int, int], most: int) -> None:
    times = np.zeros(shape, int)
    for box in cut(shape, most):
        times[box] += 1
        assert np.prod([s.stop - s.start for s in box]) <= most
    assert (times == 1).all()
