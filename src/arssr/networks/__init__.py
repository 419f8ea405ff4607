"""The networks, the paper's and ours, and nothing else: no files, no progress bars."""

from arssr.networks.model import (
    ACQUISITIONS,
    LARGEST_CELL,
    NATIVE,
    NOISE_UNIT,
    SEEN,
    UNKNOWN,
    ImplicitVoxelNetwork,
    ModelConfig,
    condition_channels,
    condition_vector,
)

__all__ = [
    "ACQUISITIONS",
    "LARGEST_CELL",
    "NATIVE",
    "NOISE_UNIT",
    "SEEN",
    "UNKNOWN",
    "ImplicitVoxelNetwork",
    "ModelConfig",
    "condition_channels",
    "condition_vector",
]
