"""Feature maps that are there, and lattices to read them on."""

import numpy as np
import torch
from hypothesis import strategies as st
from tests.engine.thin import lively_network

from arssr.engine.boxes import Box

NETWORKS = {flavour: lively_network("light", flavour) for flavour in ("paper", "residual")}
Positions = tuple[np.ndarray, np.ndarray, np.ndarray]

shapes = st.tuples(*[st.integers(1, 6)] * 3)
# inside, on the edges of the field of view, at voxel centres, and up to two voxels outside
anywhere = st.one_of(st.floats(-2.5, 8), st.sampled_from([-0.5, 0.0, 1.0, 0.5, 5.5]))
along_an_axis = st.lists(anywhere, min_size=1, max_size=7).map(np.array)
lattices = st.tuples(*[along_an_axis] * 3)
cells = st.tuples(*[st.floats(0.1, 1)] * 3).map(np.array)


class Features:
    """A feature map that is there, as a tensor (I, J, K, 8)."""

    def __init__(self, values: torch.Tensor) -> None:
        self.values, self.shape = values, values.shape

    def __getitem__(self, box: Box) -> torch.Tensor:
        return self.values[box]

    def rows(self, index_ijk: np.ndarray) -> torch.Tensor:
        return self.values[tuple(torch.from_numpy(index_ijk.T))]


def features_of(shape: tuple[int, int, int], seed: int = 0) -> Features:
    return Features(torch.randn(*shape, 8, generator=torch.Generator().manual_seed(seed)))
