"""An encoder that the package does not know: a class, and nothing else."""

import torch
from torch import Tensor
from torch.nn import functional as F

from arssr.networks.encoders import Encoder, conv3


class UShaped(Encoder):
    """One level of a U: convolutions at full and at half resolution, joined at the end."""

    stride = 2  # pairs of voxels are pooled
    # From a voxel, the last convolution sees 1 farther, the coarse one the pair beside the pair
    # that this is in (up to 3 more), and the first 1 more.
    radius = 5

    def __init__(self, in_channels: int, feature_dim: int) -> None:
        super().__init__()
        self.first = conv3(in_channels, 8)
        self.coarse = conv3(8, 12)
        self.last = conv3(8 + 12, feature_dim)

    def forward(self, x: Tensor) -> Tensor:
        fine = F.relu(self.first(x))
        i, j, k = x.shape[2:]
        pairs = F.pad(fine, (0, k % 2, 0, j % 2, 0, i % 2), mode="replicate")
        wide = F.interpolate(F.relu(self.coarse(F.avg_pool3d(pairs, 2))), scale_factor=2)
        return self.last(torch.cat([fine, wide[..., :i, :j, :k]], dim=1))
