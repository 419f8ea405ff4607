"""Which voxels are read, and with which weights."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.lattices import along_an_axis

from arssr.engine.decoding.taps import Taps, nearest_voxel
from arssr.interpolation import axis_matrix


@given(n=st.integers(1, 6), positions=along_an_axis)
def test_taps_are_linear_interpolation(n: int, positions: np.ndarray) -> None:
    for zeros_outside, matrix in (
        (False, axis_matrix("linear", n, positions)),
        (True, np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(n)))),
    ):
        taps = Taps.at(positions, n, zeros_outside)
        samples = torch.randn(n, 2, 1, 3, dtype=torch.float64)
        expected = torch.tensordot(torch.from_numpy(matrix), samples, dims=1)
        np.testing.assert_allclose(taps.matrix(n), matrix, atol=1e-12)
        planes = torch.cat([planes for _, planes in taps.planes(samples, 3)])
        torch.testing.assert_close(planes, expected)
        window, inner = taps.window()
        touched = inner.matrix(window.stop - window.start)
        np.testing.assert_allclose(touched, matrix[:, window], atol=1e-12)


def test_the_nearest_voxel() -> None:
    positions = np.array([-3, -0.6, -0.5, 0.49, 0.5, 2.4, 2.6, 9])
    assert nearest_voxel(positions, 3).tolist() == [0, 0, 0, 0, 1, 2, 2, 2]
